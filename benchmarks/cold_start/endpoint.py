"""One HTTPS server on loopback that stands for AWS and for the provider.

It either passes AWS calls on to a backend and keeps what was said, or says the same again without a backend.
"""

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any, Final

import trustme

from dev.runtime_api import QuietHandler, QuietServer

TOKEN_PATH: Final = "/token"  # noqa: S105 - a path
TICKETS_PATH: Final = "/crm/v3/objects/tickets"
TOKENS: Final = {
    "access_token": "benchmark-access-token",
    "refresh_token": "benchmark-refresh-token",
    "token_type": "bearer",
    "expires_in": 1800,
    "hub_id": 1,
}
TICKETS: Final = {
    "results": [
        {"id": "1", "createdAt": "2026-11-22T00:00:00Z", "properties": {"subject": "s", "hs_pipeline_stage": "1"}}
    ]
}
_SERVICES: Final = {
    "DynamoDB_20120810": "dynamodb",
    "TrentService": "kms",
    "secretsmanager": "secretsmanager",
    "AmazonSQS": "sqs",
}
# The dispatcher counts one more shard now and then, by the clock: its queries may be one more or one fewer.
_BY_THE_CLOCK: Final = "DynamoDB_20120810.Query"
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
_PASSED_ON: Final = frozenset({"authorization", "content-type", "host", "x-amz-target", "x-amz-date"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One AWS call and its answer; `seconds` is how long the backend took."""

    target: str
    request: bytes
    status: int
    answer: bytes
    content_type: str
    seconds: float

    @property
    def service(self) -> str:
        return _SERVICES[self.target.partition(".")[0]]

    @property
    def operation(self) -> str:
        """The method of a boto3 client that makes this call."""
        return _WORD.sub("_", self.target.partition(".")[2]).lower()

    def as_call(self) -> tuple[str, str, Any]:
        return self.service, self.operation, json.loads(self.request)


@dataclass
class Tape:
    """What one cold start said to AWS. Repeating it gives the answer to the same request, else the next of its kind."""

    exchanges: list[Exchange] = field(default_factory=list)
    left: list[Exchange] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def rewind(self) -> None:
        self.left = list(self.exchanges)
        self.unknown = []

    def next(self, target: str, request: bytes) -> Exchange | None:
        alike = [each for each in self.left if each.target == target]
        found = next((each for each in alike if each.request == request), alike[0] if alike else None)
        if found:
            self.left.remove(found)
            return found
        if target == _BY_THE_CLOCK:
            return next((each for each in self.exchanges if each.target == target), None)
        self.unknown.append(target)
        return None

    @property
    def missed(self) -> list[str]:
        """What was said before and not again."""
        return [each.target for each in self.left if each.target != _BY_THE_CLOCK]


class Endpoint:
    """Serves https://localhost:<port>. `certificate` is what a client has to trust."""

    def __init__(self, backend_port: int) -> None:
        self._authority = trustme.CA(organization_name="Consentry benchmark")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("localhost").configure_cert(context)
        self._lock = threading.Lock()
        self._backend_port = backend_port
        self._tape = Tape()
        self._repeating = False
        self._server = _server(self, context)
        self.port = int(self._server.server_address[1])
        self.url = f"https://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, name="endpoint", daemon=True).start()

    @property
    def certificate(self) -> bytes:
        return self._authority.cert_pem.bytes()

    def write_certificate(self, path: Path) -> None:
        path.write_bytes(self.certificate)

    def record(self) -> Tape:
        """Pass calls on from now on; they are kept in the tape that is returned."""
        with self._lock:
            self._tape, self._repeating = Tape(), False
            return self._tape

    def repeat(self, tape: Tape) -> None:
        with self._lock:
            tape.rewind()
            self._tape, self._repeating = tape, True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        if path == TOKEN_PATH:
            return 200, "application/json", json.dumps(TOKENS).encode()
        if path.startswith(TICKETS_PATH):
            return 200, "application/json", json.dumps(TICKETS).encode()
        target = headers.get("x-amz-target", "")
        with self._lock:
            found = self._tape.next(target, body) if self._repeating else None
            if self._repeating and not found:
                return 400, "application/json", b'{"__type": "NotOnTheTape"}'
            tape = self._tape
        if found:
            time.sleep(found.seconds)
            return found.status, found.content_type, found.answer
        begun = time.monotonic()
        status, kind, answered = self._pass_on(method, path, headers, body)
        kept = Exchange(
            target=target,
            request=body,
            status=status,
            answer=answered,
            content_type=kind,
            seconds=time.monotonic() - begun,
        )
        with self._lock:
            tape.exchanges.append(kept)
        return status, kind, answered

    def _pass_on(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._backend_port, timeout=30)
        try:
            kept = {name: value for name, value in headers.items() if name in _PASSED_ON}
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type") or "application/x-amz-json-1.0", answer.read()
        finally:
            connection.close()


def _server(endpoint: Endpoint, context: ssl.SSLContext) -> QuietServer:
    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server finds methods by name
            self._serve("GET")

        def do_POST(self) -> None:  # noqa: N802 - as do_GET
            self._serve("POST")

        def _serve(self, method: str) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, answered = endpoint.answer(method, self.path, headers, self.body())
            self.answer(status, answered, {"Content-Type": kind})

    class Server(QuietServer):
        def get_request(self) -> tuple[socket, Any]:
            """Leave the handshake to the connection's own thread."""
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    return Server(("127.0.0.1", 0), Handler)
