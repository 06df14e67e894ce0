"""The management API as a backend calls it: JSON over HTTPS, each request signed with SigV4 (service `execute-api`)."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import NoCredentialsError, NoRegionError

from consentry.clients import Asking, Clients
from consentry.errors import (
    Conflict,
    ConsentryError,
    Expired,
    Forbidden,
    InvalidRequest,
    Misconfigured,
    NotFound,
    TryLater,
)

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

TIMEOUT_SECONDS: Final = 30  # the API itself gives up then: a consent is redeemed at the provider meanwhile
_CALLING: Final = Asking(
    action="execute-api:Invoke",
    thing="the management API",
    policy="ConnectPolicyArn (or ConnectTenantPolicyArn, for the tenant in the role's tag consentry-tenant)",
    named_by="CONSENTRY_API_URL is the stack's output BaseUrl",
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1"})
_BY_STATUS: Final[Mapping[int, type[InvalidRequest]]] = {
    400: InvalidRequest, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Expired,
}  # fmt: skip
_OPERATORS: Final = frozenset({"operator_must_act", "misconfigured", "unreadable_record"})


class SignedApi:
    """The API at CONSENTRY_API_URL, with this process's own credentials."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def call(self, method: str, path: str, content: Mapping[str, object]) -> Mapping[str, object]:
        """Return the JSON object of a good answer; otherwise raise what the API's code and status stand for."""
        url = self._base_url() + path
        try:
            answer = requests.request(
                method,
                url,
                data=json.dumps(content).encode(),
                headers={"Content-Type": "application/json"},
                auth=self._sign,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            message = (
                "Consentry's management API does not answer; try again in a few seconds, and if it stays so, check"
            )
            raise TryLater(f"{message} that {_CALLING.named_by}.", detail=type(error).__name__) from None
        return self._checked(answer)

    def _base_url(self) -> str:
        url = self._clients.setting("CONSENTRY_API_URL").rstrip("/")
        parts = urlsplit(url)
        if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
            return url
        raise Misconfigured(f"CONSENTRY_API_URL must be an https:// address: {_CALLING.named_by.partition(' is ')[2]}.")

    def _sign(self, request: "PreparedRequest") -> "PreparedRequest":
        with self._clients.explained(_CALLING):
            session = self._clients.session()
            credentials = session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            if session.region_name is None:
                raise NoRegionError
            signed = AWSRequest(
                method=request.method,
                url=request.url,
                data=request.body,
                headers={"Content-Type": request.headers["Content-Type"]},
            )
            SigV4Auth(credentials.get_frozen_credentials(), "execute-api", session.region_name).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request

    def _checked(self, answer: "Response") -> Mapping[str, object]:
        try:
            content: Any = answer.json()
        except requests.JSONDecodeError:
            content = None
        told: Mapping[str, object] = content if isinstance(content, dict) else {}
        if answer.ok and told:
            return told
        raise self._refusal(answer.status_code, told)

    def _refusal(self, status: int, told: Mapping[str, object]) -> ConsentryError:
        """RFC 9457 problems are Consentry's own words; an answer without a code is the gateway's."""
        code, sentence = str(told.get("code", "")), str(told.get("detail", ""))
        if not code and status == requests.codes.forbidden:
            return self._clients.denied(_CALLING)
        if code in _OPERATORS:
            return Misconfigured(sentence, code=code)
        if code and status in _BY_STATUS:
            return _BY_STATUS[status](sentence, code=code)
        message = "Consentry's management API cannot serve this right now; try again in a few seconds."
        return TryLater(sentence or message, code=code, detail=f"status {status}")
