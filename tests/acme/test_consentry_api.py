"""The management API's client, against a server on loopback that checks signatures as the gateway does."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dev.acme.consentry_api import Consentry
from dev.acme.trouble import Trouble
from dev.ready import Ready
from dev.signatures import SignedRequest, Verifier

SECRET = "CNRY-signing-key"
PROBLEM = {"detail": "Connect first.", "code": "not_connected", "status": 404}


class Api(ThreadingHTTPServer):
    """Answers every signed request with `status` and `body`, and remembers its line."""

    daemon_threads = True
    status = 200
    body = b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_address[1]}"

    def answer(self, status: int, body: object) -> None:
        self.status, self.body = status, json.dumps(body).encode()


class Handler(BaseHTTPRequestHandler):
    server: Api

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.seen.append((self.command, self.path, body))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = SignedRequest(method=self.command, target=self.path, headers=headers, body=body)
        verifier = Verifier(access_key_id="demo", secret_access_key=SECRET, region="eu-central-1")
        good = verifier.accepts(request, datetime.now(UTC))
        answer = self.server.body if good else b'{"message": "Forbidden"}'
        self.send_response(self.server.status if good else 403)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = _any  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def ready(base_url: str, secret: str = SECRET) -> Ready:
    return Ready(
        base_url=base_url,
        acme_url=None,
        authorization_server_url=None,
        aws_endpoint="http://127.0.0.1:1",
        region="eu-central-1",
        access_key_id="demo",
        secret_access_key=secret,
        ca_bundle=None,
        stack="s",
        tables={},
        keys={},
        functions={},
        queue_url=None,
        dead_letter_queue_url=None,
        log_file="",
        pid=1,
    )


def test_requests_are_signed_over_path_and_body(api: Api) -> None:
    api.answer(200, {"session": "s", "connect_url": "u"})
    consentry = Consentry(ready(api.url))
    assert consentry.begin("acme", {"user_ref": "ü"})["session"] == "s"
    api.answer(200, {"connections": []})
    assert consentry.connections("acme") == []
    assert [each[:2] for each in api.seen] == [
        ("POST", "/tenants/acme/sessions"),
        ("GET", "/tenants/acme/connections"),
    ]


def test_a_name_cannot_leave_its_place_in_the_path(api: Api) -> None:
    api.answer(200, {"connection": {}})
    assert Consentry(ready(api.url)).complete("acme", "../../x?y#z", "h", "user-1") == {}
    assert api.seen[0][1] == "/tenants/acme/sessions/..%2F..%2Fx%3Fy%23z/complete"


def test_a_token_is_hidden_where_it_could_be_printed(api: Api) -> None:
    api.answer(200, {"access_token": "CNRY-token", "generation": 3, "metadata": {"site_id": "14"}})
    token = Consentry(ready(api.url)).token("acme", "hotjar")
    assert token.access_token.reveal() == "CNRY-token"
    assert "CNRY" not in repr(token)


def test_a_problem_becomes_its_sentence_and_code(api: Api) -> None:
    api.answer(404, PROBLEM)
    with pytest.raises(Trouble) as trouble:
        Consentry(ready(api.url)).token("acme", "hotjar")
    assert (trouble.value.sentence, trouble.value.code, trouble.value.status) == (
        "Connect first.",
        "not_connected",
        404,
    )


def test_a_wrong_signature_is_refused_in_a_sentence(api: Api) -> None:
    with pytest.raises(Trouble, match="Forbidden") as trouble:
        Consentry(ready(api.url, secret="another")).integrations()
    assert trouble.value.code == "http_403"


@pytest.mark.parametrize("status", [200, 302, 500])
def test_an_answer_that_is_no_json_becomes_a_sentence(api: Api, status: int) -> None:
    api.status, api.body = status, b"<html>"
    with pytest.raises(Trouble) as trouble:
        Consentry(ready(api.url)).integrations()
    assert trouble.value.code == f"http_{status}"


def test_no_answer_becomes_a_sentence(api: Api) -> None:
    url = api.url
    api.server_close()
    with pytest.raises(Trouble) as trouble:
        Consentry(ready(url)).integrations()
    assert trouble.value.code == "unreachable"
