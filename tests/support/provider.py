"""A provider's token endpoint without a network: it plays a script and remembers what it was asked."""

import json
from collections.abc import Mapping
from threading import Lock
from urllib.parse import parse_qsl

from consentry.oauth.wire import HttpAnswer, TokenRequest

type Step = HttpAnswer | BaseException

TOKEN_ANSWER: Mapping[str, object] = {
    "access_token": "CNRY-access-6f1d0c3b9a7e4582",
    "refresh_token": "CNRY-refresh-0a4c8e2d7b5f4913",
    "token_type": "bearer",
    "expires_in": 1800,
    "hub_id": 4711,
}


def answer(status: int = 200, body: object = TOKEN_ANSWER, **headers: str) -> HttpAnswer:
    """Return an answer; a body that is not bytes becomes JSON, `retry_after="3"` the header `retry-after`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status=status, headers=named, body=raw)


def tokens(**changes: object) -> HttpAnswer:
    """Return a good token answer with changes; a change to None leaves the field out."""
    fields = {name: value for name, value in {**TOKEN_ANSWER, **changes}.items() if value is not None}
    return answer(body=fields)


class FakeProvider:
    """`ports.TokenEndpointClient`: answers come from the script in order, an exception is raised.

    An unscripted request is a mistake of the test, and counts as a request all the same.
    """

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.requests: list[TokenRequest] = []
        self.deadlines: list[float] = []
        self._lock = Lock()

    def then(self, *script: Step) -> None:
        self.script += script

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        with self._lock:
            self.requests.append(request)
            self.deadlines.append(deadline_seconds)
            if not self.script:
                message = f"request number {len(self.requests)} is not in the script"
                raise AssertionError(message)
            step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    @property
    def forms(self) -> list[dict[str, str]]:
        """The form parameters of each request."""
        return [dict(parse_qsl(request.body.decode())) for request in self.requests]
