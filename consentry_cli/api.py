"""The management API, signed: every failure is one sentence with an exit code."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from consentry.model import IDENTIFIER
from consentry_cli.aws import CLOCK_SENTENCE, plainly
from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation

MOST_SKEW_SECONDS: Final = 300  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
_POLICIES: Final = {
    "POST/tenants/*/sessions": "ConnectPolicyArn",
    "GET/integrations": "ConnectPolicyArn",
    "GET/connections": "ListPolicyArn",
    "GET/tenants/*/connections": "ListPolicyArn",
    "POST/tenants/*/connections/*/*/refresh": "RefreshPolicyArn",
}
_EXITS: Final = {
    HTTPStatus.BAD_REQUEST: Exit.USAGE,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.CONFLICT: Exit.REFUSED,
    HTTPStatus.FORBIDDEN: Exit.REFUSED,
}

type Json = dict[str, Any]


def path(*parts: str) -> str:
    """Return a route; raise `Failure` for a part that is no name: `..` would make another route of it."""
    for part in parts:
        if not IDENTIFIER.fullmatch(part):
            sentence = (
                f"{part[:80]!r} is no tenant, integration or name: those are 1 to 63 letters, digits, '-' or '_', "
                "and begin with a letter or digit."
            )
            raise Failure(sentence, Exit.USAGE, "invalid_identifier")
    return "".join(f"/{part}" for part in parts)


class Api:
    """One method for each way of asking. `permission` is the route as IAM writes it, for the sentence of a refusal."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def get(self, route: str, permission: str, **query: str) -> Json:
        told = urlencode({name: value for name, value in query.items() if value})
        return self._ask("GET", f"{route}?{told}" if told else route, permission)

    def pages(self, route: str, permission: str, field: str, **query: str) -> Iterator[Json]:
        """Yield the entries of all pages, asking for the next only when it is wanted."""
        place = ""
        while True:
            page = self.get(route, permission, next=place, **query)
            yield from page[field]
            place = page.get("next") or ""
            if not place:
                return

    def send(self, method: str, route: str, permission: str, content: Mapping[str, object] | None = None) -> Json:
        return self._ask(method, route, permission, content)

    def _ask(self, method: str, route: str, permission: str, content: Mapping[str, object] | None = None) -> Json:
        url, body = self._installation.base_url + route, b"" if content is None else json.dumps(content).encode()
        answer = self._installation.send(method, url, headers=self._signed(method, url, body), body=body)
        said = _json(answer.content)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return said
        raise self._refusal(answer.status, said, permission, answer.date)

    def _signed(self, method: str, url: str, body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - a command that does not ask the API need not wait for it
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - a command that does not ask the API need not wait for it

        with plainly("execute-api"):
            credentials = self._installation.aws.session.get_credentials()
        if credentials is None:
            sentence = "No AWS credentials: sign in, or name a profile with --profile."
            raise Failure(sentence, Exit.REFUSED, "no_credentials")
        request = AWSRequest(
            method=method, url=url, data=body, headers={"Content-Type": "application/json"} if body else {}
        )
        SigV4Auth(credentials, "execute-api", self._installation.region).add_auth(request)
        return dict(request.headers.items())

    def _refusal(self, status: int, said: Json, permission: str, date: str) -> Failure:
        if "code" in said:
            exit_code = _EXITS.get(HTTPStatus(status), Exit.UNAVAILABLE)
            return Failure(str(said.get("detail", "")), exit_code, str(said["code"]))
        if status != HTTPStatus.FORBIDDEN:
            return Failure(f"The API answered with {status}. Try again.", Exit.UNAVAILABLE, f"http_{status}")
        skew = skew_seconds(date, datetime.now(UTC))
        if skew is not None and abs(skew) > MOST_SKEW_SECONDS:
            return Failure(CLOCK_SENTENCE, Exit.UNAVAILABLE, "clock_skew")
        policy = _POLICIES.get(permission)
        named = f" (the stack's output {policy} is a policy with it)" if policy else ""
        sentence = f"Your credentials may not do this: they lack execute-api:Invoke on {permission}{named}."
        return Failure(sentence, Exit.REFUSED, "permission_missing")


def skew_seconds(date: str, now: datetime) -> float | None:
    """Return how far `now` is ahead of the Date header (RFC 9110 section 6.6.1); None if it says nothing."""
    try:
        told = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (now - told.replace(tzinfo=UTC)).total_seconds()


def _json(content: bytes) -> Json:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
