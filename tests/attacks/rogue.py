"""A malicious authorization server, registered beside an honest one: it sends people on, and keeps what it is sent."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit


@dataclass
class Rogue:
    """`onward` is where a person who asks for consent here is sent, with `state` and challenge as they came."""

    url: str = ""
    onward: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)

    def sends_on_to(self, endpoint: str, **changes: str) -> None:
        self.onward, self.changes = endpoint, changes

    def location(self, asked: Mapping[str, str]) -> str:
        return f"{self.onward}?{urlencode({**asked, **self.changes})}"


@contextmanager
def listening() -> Iterator[Rogue]:
    rogue = Rogue()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(rogue)) as server:
        rogue.url = f"http://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield rogue
        finally:
            server.shutdown()
            thread.join(10)


def _handler(rogue: Rogue) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Take the person's request for consent, and send her to the honest server with it."""
            self.send_response(302)
            self.send_header("Location", rogue.location(dict(parse_qsl(urlsplit(self.path).query))))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            """Keep whatever comes: a code, a verifier, a secret."""
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            rogue.received.append(f"{self.headers} {body}")
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
            """Nothing: addresses hold states."""

    return Handler
