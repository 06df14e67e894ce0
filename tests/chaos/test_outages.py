"""The switch that takes AWS services away from the local stack, over a real socket."""

import http.client
import json
import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from dev.outages import OBSERVER, Environ, Outages, StartResponse

KMS = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261101/eu-central-1/kms/aws4_request, SignedHeaders=host"


class Endpoint:
    def __init__(self) -> None:
        self.calls = 0
        self.server = make_server("127.0.0.1", 0, Outages(self._answer), threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _answer(self, _environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.calls += 1
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def ask(self, path: str = "/", body: object = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        sent = None if body is None else json.dumps(body)
        try:
            connection.request("GET" if sent is None else "POST", path, sent, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def order(self, service: str, mode: str | None) -> int:
        return self.ask("/_local/outages", {"service": service, "mode": mode})[0]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_only_the_service_that_was_taken_away_is_away_until_it_is_given_back(endpoint: Endpoint) -> None:
    endpoint.order("kms", "error")
    assert endpoint.ask(Authorization=KMS)[0] == 503
    assert endpoint.ask(Authorization=KMS.replace("kms", "sqs")) == (200, b"ok")
    assert endpoint.ask(**{"Authorization": KMS, "User-Agent": OBSERVER}) == (200, b"ok")
    endpoint.order("kms", None)
    assert endpoint.ask(Authorization=KMS) == (200, b"ok")
    assert endpoint.calls == 3


@pytest.mark.parametrize(("mode", "calls"), [("drop", 0), ("unanswered", 1)])
def test_a_connection_that_is_closed_says_nothing_about_what_was_done(
    endpoint: Endpoint, mode: str, calls: int
) -> None:
    endpoint.order("kms", mode)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        endpoint.ask(Authorization=KMS)
    assert endpoint.calls == calls


def test_a_service_that_hangs_lets_go_when_it_is_given_back(endpoint: Endpoint) -> None:
    endpoint.order("kms", "hang")
    giving_back = threading.Timer(0.2, endpoint.order, ("kms", None))
    giving_back.start()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        endpoint.ask(Authorization=KMS)
    giving_back.join()
    assert endpoint.calls == 0


@pytest.mark.parametrize("order", [{"service": "s3", "mode": "drop"}, {"service": "kms", "mode": "burn"}, ["kms"], {}])
def test_a_mistaken_order_is_answered_with_what_to_send(endpoint: Endpoint, order: object) -> None:
    status, body = endpoint.ask("/_local/outages", order)
    assert status == 400
    assert b"secretsmanager" in body
