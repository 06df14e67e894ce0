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
from dev.runtime import Functions
from dev.runtime_api import QuietHandler, QuietServer

PUT_EVENTS: Final = "AWSEvents.PutEvents"
INVOCATIONS: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")

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

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="invoke", daemon=True).start()


def _handler(server: InvokeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server finds methods by name
            self._control()

        def do_POST(self) -> None:  # noqa: N802 - as do_GET
            payload = self.body() or b"{}"
            if server.bus and self.headers.get("X-Amz-Target") == PUT_EVENTS:
                self.answer(*server.bus.answer(payload))
                return
            called = INVOCATIONS.fullmatch(self.path)
            if not called:
                self._control()
                return
            pool = server.functions.find(urllib.parse.unquote(called[1])) if server.functions else None
            if pool is None:
                message = json.dumps({"Type": "User", "Message": f"Function not found: {called[1]}"}).encode()
                self.answer(404, message, {"x-amzn-ErrorType": "ResourceNotFoundException"})
            elif self.headers.get("X-Amz-Invocation-Type") == "DryRun":
                self.answer(204)
            elif self.headers.get("X-Amz-Invocation-Type") == "Event":
                threading.Thread(target=pool.invoke, args=(payload,), daemon=True).start()
                self.answer(202)
            else:
                answer = pool.invoke(payload)
                self.answer(200, answer.payload, {"X-Amz-Function-Error": "Unhandled"} if answer.failed else {})

        def _control(self) -> None:
            ask = server.control.get(self.path.removeprefix("/_local/"))
            if ask is None:
                self.answer(404, b'{"message":"Not Found"}')
            else:
                self.answer(200, json.dumps(ask()).encode())

    return Handler
