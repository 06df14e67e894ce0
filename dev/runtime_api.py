"""The Runtime API of one worker process: next, response, error, init/error.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import re
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol

PREFIX: Final = "/2018-06-01/runtime"
ENDING: Final = re.compile(rf"{PREFIX}/invocation/([0-9a-f-]+)/(response|error)")


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a function; the deadline is in epoch milliseconds."""

    request_id: str
    function_arn: str
    deadline_ms: int
    payload: bytes


class Finished(Protocol):
    def __call__(self, request_id: str, payload: bytes, *, failed: bool) -> None: ...


class QuietServer(ThreadingHTTPServer):
    """A loopback HTTP server with a thread per connection that says nothing about clients that went away."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class says so
        """A client that goes away, or never speaks TLS, is no event here; anything else is a defect to be seen."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


class QuietHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 with buffered writes and without Nagle's algorithm: the defaults cost 90 ms a call."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing is logged."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, payload: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


class RuntimeApi:
    """Serves one worker on a loopback port of its own, so that the port says who is asking.

    `polled` is set once the worker asked for its first invocation, or ended.
    """

    def __init__(self, *, taken: Callable[[], None], finished: Finished, init_failed: Callable[[bytes], None]) -> None:
        self.polled = threading.Event()
        self.taken = taken
        self.finished = finished
        self.init_failed = init_failed
        self._inbox: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._server = QuietServer(("127.0.0.1", 0), _handler(self))
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name=f"runtime-{self.port}", daemon=True).start()

    def offer(self, invocation: Invocation) -> None:
        self._inbox.put(invocation)

    def next(self) -> Invocation | None:
        """Wait for an invocation; none comes once the worker has ended."""
        self.polled.set()
        invocation = self._inbox.get()
        if invocation:
            self.taken()
        return invocation

    def close(self) -> None:
        self.polled.set()
        self._inbox.put(None)
        self._server.shutdown()
        self._server.server_close()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            invocation = api.next() if self.path == f"{PREFIX}/invocation/next" else None
            if invocation:
                self.answer(200, invocation.payload, _headers(invocation))
            else:
                self.answer(404, b"{}")

        def do_POST(self) -> None:
            payload = self.body()
            ending = ENDING.fullmatch(self.path)
            if self.path == f"{PREFIX}/init/error":
                api.init_failed(payload)
            elif ending:
                api.finished(ending[1], payload, failed=ending[2] == "error")
            else:
                self.answer(404, b"{}")
                return
            self.answer(202, json.dumps({"status": "OK"}).encode())

    return Handler


def _headers(invocation: Invocation) -> dict[str, str]:
    """The headers that awslambdaric reads; without Content-Type it crashes."""
    trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
    return {
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
        "Lambda-Runtime-Trace-Id": trace,
    }
