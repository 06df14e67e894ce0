"""Where the AWS endpoint hands over Lambda's Invoke, and a few questions that only the runner can answer.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final

from dev.bus import Bus
from dev.runtime import Functions, FunctionSpec, Pool
from dev.runtime_api import QuietHandler, QuietServer

PUT_EVENTS: Final = "AWSEvents.PutEvents"
INVOCATIONS: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
CONFIGURATION: Final = re.compile(r"/2015-03-31/functions/([^/]+)/configuration")

type Control = Mapping[str, Callable[[], object]]
"""What the runner answers at `/_local/<name>`; each returns something that JSON can hold."""


class InvokeServer:
    """Listens on a free loopback port."""

    def __init__(self) -> None:
        self.functions: Functions | None = None
        self.bus: Bus | None = None
        self.control: Control = {}
        self._server = QuietServer(("127.0.0.1", 0), _handler(self))
        self.port = int(self._server.server_address[1])

    def find(self, quoted: str) -> Pool | None:
        return self.functions.find(urllib.parse.unquote(quoted)) if self.functions else None

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="invoke", daemon=True).start()


def _handler(server: InvokeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server finds methods by name
            asked = CONFIGURATION.fullmatch(self.path)
            if asked:
                self.answer(*_described(server.find(asked[1]), asked[1]))
            else:
                self._control()

        def do_PUT(self) -> None:  # noqa: N802 - as do_GET
            asked = CONFIGURATION.fullmatch(self.path)
            if asked:
                self.answer(*_configured(server.find(asked[1]), asked[1], self.body()))
            else:
                self._control()

        def do_POST(self) -> None:  # noqa: N802 - as do_GET
            payload = self.body() or b"{}"
            if server.bus and self.headers.get("X-Amz-Target") == PUT_EVENTS:
                self.answer(*server.bus.answer(payload))
                return
            called = INVOCATIONS.fullmatch(self.path)
            if called:
                kind = self.headers.get("X-Amz-Invocation-Type")
                self.answer(*_invoked(server.find(called[1]), called[1], kind, payload))
            else:
                self._control()

        def _control(self) -> None:
            ask = server.control.get(self.path.removeprefix("/_local/"))
            if ask is None:
                self.answer(404, b'{"message":"Not Found"}')
            else:
                self.answer(200, json.dumps(ask()).encode())

    return Handler


def _invoked(pool: Pool | None, name: str, kind: str | None, payload: bytes) -> tuple[int, bytes, dict[str, str]]:
    if pool is None:
        return _unknown(name)
    if kind == "DryRun":
        return 204, b"", {}
    if kind == "Event":
        threading.Thread(target=pool.invoke, args=(payload,), daemon=True).start()
        return 202, b"", {}
    answer = pool.invoke(payload)
    return 200, answer.payload, {"X-Amz-Function-Error": "Unhandled"} if answer.failed else {}


def _unknown(name: str) -> tuple[int, bytes, dict[str, str]]:
    message = json.dumps({"Type": "User", "Message": f"Function not found: {name}"}).encode()
    return 404, message, {"x-amzn-ErrorType": "ResourceNotFoundException"}


def _described(pool: Pool | None, name: str) -> tuple[int, bytes, dict[str, str]]:
    if pool is None:
        return _unknown(name)
    return 200, json.dumps(_configuration(pool.spec)).encode(), {"Content-Type": "application/json"}


def _configured(pool: Pool | None, name: str, wanted: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Do what UpdateFunctionConfiguration does to the environment, and to nothing else.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
    """
    if pool is not None:
        pool.configure(json.loads(wanted)["Environment"]["Variables"])
    return _described(pool, name)


def _configuration(spec: FunctionSpec) -> dict[str, object]:
    """Return what GetFunctionConfiguration answers, as far as anybody here asks.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    """
    return {
        "FunctionName": spec.name,
        "FunctionArn": spec.arn,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Timeout": int(spec.timeout_seconds),
        "MemorySize": spec.memory_mb,
        "Layers": [{"Arn": layer} for layer in spec.layers],
        "Environment": {"Variables": dict(spec.environment)},
    }
