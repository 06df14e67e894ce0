"""A company's backend and a person's browser against a running local stack, one HTTP request at a time."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import certifi
import pytest
import requests

from consentry import Vault
from dev.acme.consentry_api import Consentry
from dev.ready import Ready
from tests.support.account import client_of, session_of
from tests.support.html import Outline

RETURN_URL = "http://localhost:1/return"
type Json = dict[str, Any]


@dataclass
class Company:
    """Everything that a company with this stack can do; `browser` is its user's, with a cookie jar."""

    ready: Ready
    authorization_server: str
    browser: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.browser.trust_env = False
        self.browser.verify = self.ready.ca_bundle or True
        self.consentry = Consentry(self.ready)

    @property
    def aws(self) -> boto3.Session:
        return session_of(self.ready.access_key_id, self.ready.secret_access_key, self.ready.region)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        return client_of(self.aws, service, self.ready.aws_endpoint)

    @contextmanager
    def vault(self) -> Iterator[Vault]:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", self.ready.aws_endpoint)
            environment.setenv("CONSENTRY_API_URL", self.ready.base_url)
            environment.setenv("REQUESTS_CA_BUNDLE", self.ready.ca_bundle or certifi.where())
            table, function = self.ready.tables["connections"], self.ready.functions["RefreshFunction"]
            yield Vault(table=table, refresh_function=function, session=self.aws)

    def begin(self, tenant: str, integration: str, **wanted: object) -> Json:
        session = {"user_ref": "u-1", "integrations": [integration], "return_url": RETURN_URL, **wanted}
        return self.consentry.begin(tenant, session)

    def get(self, url: str) -> requests.Response:
        return self.browser.get(url, allow_redirects=False, timeout=30)

    def consents(self, url: str, *, decision: str = "allow", account: str = "acme") -> str:
        """Follow the link and decide at the provider; return the address of the callback, not yet opened."""
        departure = self.get(url)
        assert departure.status_code == 302, departure.text
        form = {"decision": decision, "account": account}
        decided = requests.post(departure.headers["Location"], data=form, allow_redirects=False, timeout=30)
        assert decided.status_code in {302, 303}, decided.text
        return decided.headers["Location"]

    def enters(self, url: str, inputs: Mapping[str, str], **texts: str) -> requests.Response:
        """Fill in the form for credentials as a browser does, and send it."""
        (form,) = Outline(self.get(url).text).all("input", name="form")
        fields = {"form": form["value"], **{f"input-{name}": value for name, value in inputs.items()}, **texts}
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        return self.browser.post(url, data=fields, headers=headers, allow_redirects=False, timeout=60)

    def ends(self, url: str) -> requests.Response:
        """Answer the question whether to disconnect as a browser does."""
        fields = {each["name"]: each["value"] for each in Outline(self.get(url).text).all("input", type="hidden")}
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        return self.browser.post(url, data=fields, headers=headers, allow_redirects=False, timeout=60)

    def connect(self, tenant: str, integration: str, *, account: str = "acme", **wanted: object) -> Json:
        """Go the whole way with confirmation; return the connection."""
        begun = self.begin(tenant, integration, **wanted)
        returned = query_of(self.get(self.consents(consent_url(begun), account=account)))
        return self.consentry.complete(tenant, returned["session"], returned["handle"], "u-1")

    def record(self, tenant: str, integration: str) -> Json | None:
        """The connection's row as DynamoDB shapes it."""
        key = {"tenant": {"S": tenant}, "connection": {"S": f"{integration}#default"}}
        table = self.ready.tables["connections"]
        found: Json = self.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
        return found.get("Item")

    def invoke(self, function: str, payload: Mapping[str, object]) -> Json:
        name = self.ready.functions[function]
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(payload))
        value: Json = json.loads(answer["Payload"].read())
        return value

    def control(self, order: str, **fields: object) -> Json:
        """Tell the authorization server what to do."""
        answer = requests.post(f"{self.authorization_server}/_control/{order}", json=fields, timeout=10)
        assert answer.ok, answer.text
        value: Json = answer.json()
        return value

    def asked(self, what: str) -> Any:  # noqa: ANN401 - the control API's own shapes
        """Ask the authorization server what it saw."""
        return requests.get(f"{self.authorization_server}/_control/{what}", timeout=10).json()


def consent_url(begun: Mapping[str, Any]) -> str:
    """Return where the consent of a session with one integration begins."""
    (url,) = begun["authorize_urls"].values()
    return str(url)


def form_url(begun: Mapping[str, Any], integration: str) -> str:
    """Return where credentials for an integration of the session are entered."""
    return str(begun["connect_url"]).replace("/connect?", f"/connect/{integration}?")


def disconnect_url(begun: Mapping[str, Any], integration: str) -> str:
    """Return where the session's person is asked whether to disconnect."""
    return form_url(begun, integration).replace("?", "/disconnect?")


def query_of(response: requests.Response) -> dict[str, str]:
    assert response.status_code in {302, 303}, response.text
    return dict(parse_qsl(urlsplit(response.headers["Location"]).query))
