"""AWS services taken away and given back: the switch in front of the AWS endpoint.

`GET /_local/outages` answers what is away now, `POST /_local/outages` with `{"service": "kms", "mode": "hang"}` takes a
service away, and mode null gives it back. Modes: `error` (503), `drop` (the connection is closed before the request is
acted upon), `hang` (as `drop`, but only when the service is given back or after a minute), `unanswered` (acted upon,
then the connection is closed).
"""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

PATH: Final = "/_local/outages"
SERVICES: Final = ("dynamodb", "events", "kms", "secretsmanager", "sqs")
MODES: Final = ("error", "drop", "hang", "unanswered")
OBSERVER: Final = "local-observer"  # who says so in the user agent sees through every outage
LONGEST_SECONDS: Final = 60.0
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/")
# The runner itself deletes what is past its time to live with these, and reads streams; AWS would go on doing so.
_RUNNERS_OWN: Final = (
    "DynamoDB_20120810.Scan",
    "DynamoDB_20120810.DescribeTable",
    "DynamoDBStreams_20120810.GetRecords",
)

type Environ = dict[str, Any]
type StartResponse = Callable[[str, list[tuple[str, str]]], object]
type Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Outages:
    """Which services are away, and how; a WSGI middleware around `application`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._away: dict[str, str] = {}
        self._changed = threading.Condition()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return self._switch(environ, start_response)
        service = "" if _sees_through(environ) else service_of(environ)
        match self._away.get(service):
            case None:
                return self._application(environ, start_response)
            case "error":
                return _answer(start_response, "503 Service Unavailable", {"__type": "ServiceUnavailable"})
            case "hang":
                self._wait_for(service)
            case "unanswered":
                list(self._application(environ, start_response))
        _hang_up(environ)
        return _answer(start_response, "503 Service Unavailable", {})

    def _switch(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            try:
                self._change(json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))))
            except (ValueError, TypeError, KeyError):
                message = f"send service (one of {', '.join(SERVICES)}) and mode (one of {', '.join(MODES)}, or null)"
                return _answer(start_response, "400 Bad Request", {"message": message})
        return _answer(start_response, "200 OK", dict(self._away))

    def _change(self, order: dict[str, str | None]) -> None:
        service, mode = order["service"], order["mode"]
        if service not in SERVICES or mode not in {*MODES, None}:
            raise ValueError
        with self._changed:
            others = {name: way for name, way in self._away.items() if name != service}
            self._away = others if mode is None else {**others, service: mode}
            self._changed.notify_all()

    def _wait_for(self, service: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._away.get(service) != "hang", LONGEST_SECONDS)


def service_of(environ: Environ) -> str:
    """Return the service that a request is signed for; empty if it is not signed."""
    found = _SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    return found[1] if found else ""


def _sees_through(environ: Environ) -> bool:
    if OBSERVER in str(environ.get("HTTP_USER_AGENT", "")):
        return True
    return str(environ.get("HTTP_X_AMZ_TARGET", "")) in _RUNNERS_OWN


def _hang_up(environ: Environ) -> None:
    """Close the connection under the server; what it still tries to write goes nowhere."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)


def _answer(start_response: StartResponse, status: str, content: object) -> Iterable[bytes]:
    body = json.dumps(content).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
