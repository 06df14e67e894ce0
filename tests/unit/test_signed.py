"""Sessions by a vault: what is sent and signed, against an API on loopback, and what its refusals become."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from boto3.session import Session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from consentry import ConsentryError, ListedConnection, Vault
from consentry.errors import (
    Conflict,
    Expired,
    Forbidden,
    InvalidRequest,
    Misconfigured,
    NotFound,
    TryLater,
    UnreadableRecord,
)

LINK = "https://vault.test/connect?session=CNRY-ticket"
CONNECTION = {"tenant": "acme", "integration": "hubspot", "name": "default", "status": "active", "generation": 1}
KEY_ID, SECRET, REGION = "AKIDEXAMPLE", "CNRY-secret-key", "eu-west-1"


class Api:
    """Answers every request as it was told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 201
        self.body: bytes = json.dumps({"connect_url": LINK}).encode()
        self.sent: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, status: int, content: object) -> None:
        self.status = status
        self.body = content if isinstance(content, bytes) else json.dumps(content).encode()

    def vault(self, session: object = None, api_url: str | None = None) -> Vault:
        own = Session(KEY_ID, SECRET, region_name=REGION)
        return Vault(session=cast("Session", session or own), api_url=self.url if api_url is None else api_url)


@pytest.fixture
def api() -> Iterator[Api]:
    told = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.sent.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(told.body)))
            self.send_header("Location", "https://elsewhere.example/")
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def begin(vault: Vault, *integrations: str) -> str:
    return vault.connect_url(
        "acme", *(integrations or ("hubspot",)), user_ref="u-1", return_url="https://app.test/back"
    )


def signature(api: Api, path: str, headers: dict[str, str], body: bytes) -> str:
    """Sign the same request again, as the gateway does to compare."""
    request = AWSRequest("POST", api.url + path, data=body, headers={"Content-Type": headers["content-type"]})
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY_ID, SECRET), "execute-api", REGION)
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


def test_a_link_is_what_the_api_made_for_this_user_and_these_integrations(api: Api) -> None:
    assert begin(api.vault(), "hubspot", "hotjar") == LINK
    ((path, _, body),) = api.sent
    assert path == "/tenants/acme/sessions"
    assert json.loads(body) == {
        "user_ref": "u-1",
        "integrations": ["hubspot", "hotjar"],
        "return_url": "https://app.test/back",
        "name": "default",
        "completion": "confirm",
        "language": "",
    }


def test_a_request_is_signed_for_the_api_and_its_body(api: Api) -> None:
    begin(api.vault())
    ((path, headers, body),) = api.sent
    assert f"Credential={KEY_ID}/{headers['x-amz-date'][:8]}/{REGION}/execute-api/" in headers["authorization"]
    assert headers["authorization"].endswith(f"Signature={signature(api, path, headers, body)}")


def test_a_consent_that_came_back_is_completed_for_the_user_who_is_signed_in(api: Api) -> None:
    api.answers(200, {"connection": CONNECTION})
    done = api.vault().complete("acme", session="s-1_x", handle="CNRY-handle", user_ref="u-1")
    assert done == ListedConnection(tenant="acme", integration="hubspot", name="default", status="active", generation=1)
    ((path, _, body),) = api.sent
    assert (path, json.loads(body)) == (
        "/tenants/acme/sessions/s-1_x/complete",
        {"handle": "CNRY-handle", "user_ref": "u-1"},
    )


@pytest.mark.parametrize("session", ["", "../../x", "a/b", "a?b", "x" * 129, None])
def test_what_a_browser_brought_instead_of_a_session_is_not_put_into_a_path(api: Api, session: Any) -> None:  # noqa: ANN401 - None, from a query
    with pytest.raises(InvalidRequest) as caught:
        api.vault().complete("acme", session=session, handle="h", user_ref="u-1")
    assert (caught.value.code, api.sent) == ("unknown_session", [])


def test_a_tenant_that_is_none_is_not_put_into_a_path(api: Api) -> None:
    with pytest.raises(InvalidRequest):
        api.vault().connect_url("a/b", "hubspot", user_ref="u-1")
    assert api.sent == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, InvalidRequest), (403, Forbidden), (404, NotFound), (409, Conflict), (410, Expired), (503, TryLater)],
)
def test_a_refusal_of_the_api_is_an_error_with_its_code_and_sentence(
    api: Api, status: int, expected: type[ConsentryError]
) -> None:
    api.answers(status, {"code": "some_code", "detail": "Do this instead."})
    with pytest.raises(expected) as caught:
        begin(api.vault())
    assert (type(caught.value), caught.value.code, str(caught.value)) == (expected, "some_code", "Do this instead.")


@pytest.mark.parametrize("code", ["misconfigured", "operator_must_act", "unreadable_record"])
def test_what_the_operator_has_to_mend_is_told_apart(api: Api, code: str) -> None:
    api.answers(503, {"code": code, "detail": "Register a client id."})
    with pytest.raises(Misconfigured, match="Register a client id"):
        begin(api.vault())


def test_a_role_without_the_policy_is_told_which_one(api: Api) -> None:
    api.answers(403, {"message": "Forbidden"})
    with pytest.raises(Misconfigured) as caught:
        begin(api.vault())
    assert all(word in str(caught.value) for word in ("execute-api:Invoke", "ConnectPolicyArn", REGION))


@pytest.mark.parametrize(
    ("status", "content"), [(502, b"<html>"), (429, {"message": "Too Many Requests"}), (200, b"[]"), (302, b"")]
)
def test_an_answer_that_is_none_of_consentrys_is_worth_another_try(api: Api, status: int, content: object) -> None:
    api.answers(status, content)
    with pytest.raises(TryLater) as caught:
        begin(api.vault())
    assert len(api.sent) == 1
    assert str(status) in caught.value.detail


def test_an_api_that_is_another_one_is_told_apart(api: Api) -> None:
    api.answers(200, {"hello": "world"})
    with pytest.raises(Misconfigured, match="BaseUrl"):
        begin(api.vault())


def test_a_completed_connection_of_another_shape_is_refused(api: Api) -> None:
    api.answers(200, {"connection": "yes"})
    with pytest.raises(UnreadableRecord):
        api.vault().complete("acme", session="s", handle="h", user_ref="u-1")


def test_an_api_that_does_not_answer_leads_to_the_output_that_names_it() -> None:
    with pytest.raises(TryLater, match="BaseUrl"):
        begin(Api().vault(api_url="http://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["http://vault.test", "vault.test", "ftp://localhost", "https://"])
def test_a_link_that_is_a_secret_is_not_asked_for_in_the_clear(url: str) -> None:
    with pytest.raises(Misconfigured, match="https://"):
        begin(Api().vault(api_url=url))


def test_the_address_comes_from_the_environment_and_is_missed_where_it_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSENTRY_API_URL", api.url + "/")
    assert begin(api.vault(api_url="")) == LINK
    monkeypatch.delenv("CONSENTRY_API_URL")
    with pytest.raises(Misconfigured, match="CONSENTRY_API_URL"):
        begin(api.vault(api_url=""))


class Nobody:
    """A session without credentials, or without a region."""

    def __init__(self, region: str | None, credentials: Any) -> None:  # noqa: ANN401 - what boto3 returns
        self.region_name = region
        self.get_credentials = lambda: credentials


@pytest.mark.parametrize("session", [Nobody(REGION, None), Nobody(None, Credentials(KEY_ID, SECRET))])
def test_a_process_without_credentials_or_region_sends_nothing(api: Api, session: Nobody) -> None:
    with pytest.raises(Misconfigured, match="credentials or region"):
        begin(api.vault(session))
    assert api.sent == []
