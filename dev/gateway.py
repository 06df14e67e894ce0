"""The HTTP API of the local stack: routes from the template, API Gateway's events, plain errors and limits.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

import json
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Final

from dev import payloads
from dev.payloads import MalformedAnswer, Request, Response
from dev.routes import Route, find_route
from dev.runtime import Functions
from dev.runtime_api import QuietHandler, QuietServer
from dev.signatures import SignedRequest, Verifier

MAX_HEADER_BYTES: Final = 10_240  # request line and headers together
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_WAITING: Final = 256


@dataclass(slots=True)
class Api:
    """What a request is answered from: routes, functions, and the one principal that may sign."""

    routes: Sequence[Route]
    functions: Functions
    verifier: Verifier
    calls: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MAX_WAITING, "call"))

    def answer(self, request: Request) -> Response:
        if sum(len(name) + len(value) for name, value in request.headers) + len(request.target) > MAX_HEADER_BYTES:
            return Response.plain(431, "Request Header Fields Too Large")
        if len(request.body) > MAX_BODY_BYTES:
            return Response.plain(413, "Request Entity Too Large")
        found = find_route(self.routes, request.method, request.path)
        if found is None:
            return Response.plain(404, "Not Found")
        route, parameters = found
        if route.signed and not self._signed(request):
            return Response.plain(403, "Forbidden")
        principal = self.verifier.access_key_id if route.signed else ""
        return self._invoke(route, payloads.event(request, route, parameters, principal))

    def _signed(self, request: Request) -> bool:
        signed = SignedRequest(
            method=request.method, target=request.target, headers=request.joined_headers(), body=request.body
        )
        return self.verifier.accepts(signed, datetime.now(UTC))

    def _invoke(self, route: Route, event: dict[str, object]) -> Response:
        call = self.calls.submit(self.functions.invoke, route.function_arn, json.dumps(event).encode())
        try:
            answer = call.result(route.timeout_seconds)
        except TimeoutError:
            return Response.plain(503, "Service Unavailable")
        if answer.failed:
            return Response.plain(500, "Internal Server Error")
        try:
            return payloads.response(answer.payload)
        except MalformedAnswer:
            return Response.plain(500, "Internal Server Error")


class Gateway:
    """Listens from the start, so that its address is known; answers 503 until `open` is called."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self._api: Api | None = None
        self._server = _Server(("127.0.0.1", port), _handler(self), tls)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, name="gateway", daemon=True).start()

    def open(self, api: Api) -> None:
        self._api = api

    def answer(self, request: Request) -> Response:
        return self._api.answer(request) if self._api else Response.plain(503, "Service Unavailable")


class _Server(QuietServer):
    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None
    ) -> None:
        self._tls = tls
        super().__init__(address, handler)

    def finish_request(self, request: object, client_address: object) -> None:
        """Runs in the connection's own thread, so that a slow handshake holds up nobody else."""
        if self._tls:
            request = self._tls.wrap_socket(request, server_side=True)  # type: ignore[arg-type] # it is a socket
        super().finish_request(request, client_address)  # type: ignore[arg-type] # declared wider than it is


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        timeout = 60

        def _answer(self) -> None:
            length = self.headers.get("Content-Length") or "0"
            if self.headers.get("Transfer-Encoding") or not length.isdecimal():
                self._send(Response.plain(411, "Length Required"), close=True)
            elif int(length) > MAX_BODY_BYTES:
                self._send(Response.plain(413, "Request Entity Too Large"), close=True)
            else:
                self._send(gateway.answer(self._request(int(length))))

        def _request(self, length: int) -> Request:
            return Request(
                method=self.command,
                target=self.path,
                headers=list(self.headers.items()),
                body=self.rfile.read(length),
                source_ip=str(self.client_address[0]),
            )

        def _send(self, response: Response, *, close: bool = False) -> None:
            self.send_response_only(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            self.send_header("Date", self.date_time_string())
            self.send_header("Content-Length", str(len(response.body)))
            if close:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler._answer)  # noqa: SLF001 - http.server finds methods by name
    return Handler
