"""The management API as Acme's backend calls it: JSON over HTTPS, each request signed with SigV4."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from consentry.model import DEFAULT_NAME, Secret
from dev.acme.trouble import Trouble
from dev.ready import Ready

SERVICE: Final = "execute-api"
TIMEOUT_SECONDS: Final = 40  # the API itself gives up after 30

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token on its way into an Authorization header."""

    access_token: Secret
    generation: int
    metadata: Mapping[str, object]


class Consentry:
    """One method for each route that Acme needs; every failure is a `Trouble` with the API's own sentence and code."""

    def __init__(self, ready: Ready) -> None:
        self._base_url = ready.base_url
        self._verify: str | bool = ready.ca_bundle or True
        credentials = Credentials(ready.access_key_id, ready.secret_access_key)
        self._signer = SigV4Auth(credentials, SERVICE, ready.region)

    def integrations(self) -> Sequence[Json]:
        """Those that can be used; one with a `problem` is its operator's to mend."""
        found: Sequence[Json] = self._call("GET", "/integrations")["integrations"]
        return [each for each in found if "problem" not in each]

    def connections(self, tenant: str) -> Sequence[Json]:
        found: Sequence[Json] = self._call("GET", _path("tenants", tenant, "connections"))["connections"]
        return found

    def begin(self, tenant: str, wanted: Mapping[str, object]) -> Json:
        """Create a connect session; the person goes to its `connect_url`, which is a secret until then."""
        return self._call("POST", _path("tenants", tenant, "sessions"), wanted)

    def complete(self, tenant: str, session: str, handle: str, user_ref: str) -> Json:
        """Finish a consent for the signed-in user; the vault refuses if another user began it."""
        path = _path("tenants", tenant, "sessions", session, "complete")
        connection: Json = self._call("POST", path, {"handle": handle, "user_ref": user_ref})["connection"]
        return connection

    def put_credentials(self, tenant: str, integration: str, inputs: Mapping[str, str], label: str) -> Json:
        path = _connection(tenant, integration, "credentials")
        connection: Json = self._call("PUT", path, {"inputs": dict(inputs), "label": label})["connection"]
        return connection

    def token(self, tenant: str, integration: str) -> Token:
        answer = self._call("GET", _connection(tenant, integration, "token"))
        return Token(
            access_token=Secret(answer["access_token"]), generation=answer["generation"], metadata=answer["metadata"]
        )

    def refresh(self, tenant: str, integration: str, rejected_generation: int) -> None:
        """Say that an API rejected a token that had not ended; return when there is a newer one, or none to be had."""
        path = _connection(tenant, integration, "refresh")
        self._call("POST", path, {"rejected_generation": rejected_generation})

    def _call(self, method: str, path: str, content: Mapping[str, object] | None = None) -> Json:
        body = b"" if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        signed = AWSRequest(method=method, url=self._base_url + path, data=body, headers=headers)
        self._signer.add_auth(signed)
        try:
            with requests.Session() as connection:
                connection.trust_env = False
                answer = connection.request(
                    method,
                    self._base_url + path,
                    data=body,
                    headers=dict(signed.headers.items()),
                    timeout=TIMEOUT_SECONDS,
                    verify=self._verify,
                    allow_redirects=False,
                )
        except requests.RequestException:
            raise Trouble("Consentry does not answer. Is the stack still running?", "unreachable") from None
        return _checked(answer)


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _connection(tenant: str, integration: str, what: str) -> str:
    return _path("tenants", tenant, "connections", integration, DEFAULT_NAME, what)


def _checked(answer: requests.Response) -> Json:
    """Return the JSON object of a good answer; RFC 9457 problems, and the gateway's own refusals, become `Trouble`."""
    try:
        content = answer.json()
    except requests.JSONDecodeError:
        content = None
    if answer.ok and isinstance(content, dict):
        return content
    said = content if isinstance(content, dict) else {}
    status = answer.status_code
    if status < HTTPStatus.BAD_REQUEST:
        raise Trouble("Consentry's answer is not JSON; look into the functions' log.", f"http_{status}")
    default = f"Consentry refused the request ({said.get('message', status)})."
    raise Trouble(str(said.get("detail", default)), str(said.get("code", f"http_{status}")), status=status)
