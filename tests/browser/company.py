"""A company: the page and the backend that docs/popup.md shows, word for word, and pages around them."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dev.options import REPOSITORY

DOCUMENT: Final = REPOSITORY / "docs" / "popup.md"
ADDRESSES: Final = ("https://connect.example.com", "https://app.example.com")
USER: Final = SimpleNamespace(id="user-9", tenant="initech")


def block(language: str) -> str:
    """Return the one block of code that the document has in this language."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return str(found)


class QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@dataclass
class Company:
    """Two origins, one server: `url` is where the company is, `elsewhere` another origin that answers the same."""

    port: int
    pages: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    completed: list[Mapping[str, Any]] = field(default_factory=list)
    app: Flask = field(default_factory=lambda: Flask("company"))

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def elsewhere(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def return_urls(self) -> str:
        return f"{self.url}/integrations,{self.url}/back"

    def opens(self, base_url: str) -> None:
        """Take the document's page and backend into use, with our addresses in place of its own."""
        written = {"https://connect.example.com": base_url, "https://app.example.com": self.url}
        page, backend = block("html"), block("python")
        for address, ours in written.items():
            assert address in page + backend
            page, backend = page.replace(address, ours), backend.replace(address, ours)
        names: dict[str, Any] = {"__name__": "company", "current_user": lambda: USER}
        exec(compile(backend, DOCUMENT, "exec"), names)  # noqa: S102 - the document's own code is what is tested
        self.pages["/integrations"] = page
        self.app = names["app"]
        self.app.add_url_rule("/<path:_path>", "page", self._page)
        self.app.after_request(self._remember)

    def _page(self, _path: str) -> Response:
        """`/back` and others are pages of tests."""
        known = self.pages.get(request.path)
        return Response(known or "", 200 if known else 404, self.headers, content_type="text/html; charset=utf-8")

    def _remember(self, response: Response) -> Response:
        if request.path == "/integrations/complete":
            self.completed.append({**(response.get_json(silent=True) or {}), "http": response.status_code})
        return response

    def __call__(self, environ: Any, start_response: Any) -> Any:  # noqa: ANN401 - WSGI's own shapes
        return self.app(environ, start_response)


@contextmanager
def serving() -> Iterator[Company]:
    """Listen on a free port of this machine; the port is known before anything is served."""
    company = Company(0)
    server: BaseWSGIServer = make_server("127.0.0.1", 0, company, threaded=True, request_handler=QuietHandler)
    company.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield company
    server.shutdown()
    server.server_close()
    thread.join()
