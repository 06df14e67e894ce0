"""The one way out to providers, against real servers on the loopback interface that behave well, badly and worse."""

import gzip
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from consentry.http import MAX_ANSWER_BYTES, ProviderClient, _Call, verifying_context
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import NotDelivered, Undetermined
from tests.support.network import PUBLIC, always

type Behaviour = Callable[[socket.socket, bytes], None]

SECRET = "CNRY-secret-in-the-request"
BODY = f"grant_type=refresh_token&refresh_token={SECRET}".encode()
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Odd: a\r\nX-Odd: b\r\nContent-Length: 8\r\n\r\n{"a": 1}'
HERE = frozenset({"*"})  # servers on this machine may be asked by plain http
NAME = "provider.test"
AMPLE = 10.0
SHORT = 0.4


class Server:
    """Answers each connection in a thread of its own with one behaviour, and keeps what it received."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stopping.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(2)
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as plain:
                request = _whole_request(plain)
                self.received.append(request)
                self._behave(plain, request)
        except OSError:
            return  # the client is gone, or did not like the certificate

    def stop(self) -> None:
        self.stopping.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


def _whole_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")), 0
    )
    while len(body) < length:
        body += _received(connection)
    return head + b"\r\n\r\n" + body


def _received(connection: socket.socket) -> bytes:
    if some := connection.recv(4096):
        return some
    raise ConnectionError


@contextmanager
def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(behave, tls)
    try:
        yield server
    finally:
        server.stop()


def saying(answer: bytes) -> Behaviour:
    return lambda connection, _: connection.sendall(answer)


def request_to(port: int, scheme: str = "http", host: str = "127.0.0.1") -> TokenRequest:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic Q05SWQ=="}
    return TokenRequest(method="POST", url=f"{scheme}://{host}:{port}/token?q={SECRET}", headers=headers, body=BODY)


def sent(server: Server, seconds: float = AMPLE, client: ProviderClient | None = None) -> HttpAnswer:
    return (client or ProviderClient(origins=HERE)).send(request_to(server.port), deadline_seconds=seconds)


def refused(server: Server, seconds: float = AMPLE) -> Undetermined:
    with pytest.raises(Undetermined) as raised:
        sent(server, seconds)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    return raised.value


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_request_arrives_as_it_was_built_and_the_answer_comes_back_whole() -> None:
    with serving(saying(OK)) as server:
        answer = sent(server)
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert (answer.headers["content-type"], answer.headers["x-odd"]) == ("application/json", "a, b")
    head, _, body = server.received[0].partition(b"\r\n\r\n")
    assert body == BODY
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST /token?q={SECRET} HTTP/1.1"
    assert "Authorization: Basic Q05SWQ==" in lines
    assert "Connection: close" in lines
    assert "User-Agent: Consentry" in lines


def test_one_call_is_one_connection_and_one_request() -> None:
    with serving(saying(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")) as server:
        answer = sent(server)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (server.connections, len(server.received)) == (1, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with serving(saying(OK)) as target:
        location = f"http://127.0.0.1:{target.port}/stolen"
        redirect = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(saying(redirect)) as server:
            answer = sent(server)
    assert (answer.status, answer.headers["location"]) == (status, location)
    assert target.connections == 0


@pytest.mark.parametrize(
    "head",
    [f"Content-Length: {MAX_ANSWER_BYTES}", "Connection: close"],
    ids=["by length", "until the end of the connection"],
)
def test_an_answer_of_64_kilobytes_is_read_whole(head: str) -> None:
    body = b"x" * MAX_ANSWER_BYTES
    with serving(saying(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)) as server:
        assert sent(server).body == body


def test_an_answer_in_many_chunks_is_read_whole() -> None:
    def chunks(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(300):
            connection.sendall(f"3\r\n{n:03d}\r\n".encode())
        connection.sendall(b"0\r\n\r\n")

    with serving(chunks) as server:
        assert sent(server).body == b"".join(f"{n:03d}".encode() for n in range(300))


def test_a_larger_answer_is_not_read_to_its_end() -> None:
    def endless(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _n in range(10_000):
            connection.sendall(b"x" * 10_000)

    with serving(endless) as server:
        error = refused(server)
    assert (str(error), error.peer_closed) == ("answer too large", False)


def test_a_compressed_answer_is_not_unfolded() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with serving(saying(head + bomb)) as server:
        assert sent(server).body == bomb


def test_a_redirect_with_a_body_is_neither_unfolded_nor_read_to_its_end() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    head = "HTTP/1.1 302 Elsewhere\r\nLocation: /\r\nContent-Encoding: gzip\r\n"
    with serving(saying(f"{head}Content-Length: {len(bomb)}\r\n\r\n".encode() + bomb)) as server:
        assert sent(server).body == bomb
    with serving(saying(f"{head}\r\n".encode() + b"x" * (MAX_ANSWER_BYTES + 1))) as server:
        assert str(refused(server)) == "answer too large"


@pytest.mark.parametrize("location", [b"\xff\xfe", b"http://[", b"http://\x7f", b"//"])
def test_a_location_of_any_shape_is_only_an_answer(location: bytes) -> None:
    redirect = b"HTTP/1.1 302 Elsewhere\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with serving(saying(redirect)) as server:
        assert sent(server).status == 302


def test_no_connection_is_ever_shared_even_with_a_server_that_keeps_them_open() -> None:
    def keeps_open(connection: socket.socket, _: bytes) -> None:
        connection.sendall(OK)
        connection.settimeout(1)
        try:
            while connection.recv(4096):
                pass
        except OSError:
            return

    client = ProviderClient(origins=HERE)
    with serving(keeps_open) as server, ThreadPoolExecutor(10) as threads:
        statuses = list(threads.map(lambda _: sent(server, client=client).status, range(100)))
        assert (statuses, server.connections) == ([200] * 100, 100)


def dripping(first: bytes, drop: bytes) -> tuple[Behaviour, threading.Event]:
    """Send a beginning, then a drop each twentieth of a second for a minute at most; the event says: to the end."""
    finished, pause = threading.Event(), threading.Event()

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(first)
        for _n in range(1200):
            connection.sendall(drop)
            pause.wait(0.05)
        finished.set()

    return drip, finished


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"H"),
    ],
    ids=["body", "body without end", "chunks", "header", "continue", "status line"],
)
def test_an_answer_that_drips_ends_at_the_deadline(first: bytes, drop: bytes) -> None:
    drip, finished = dripping(first, drop)
    with serving(drip) as server:
        error = refused(server, SHORT)
        assert not finished.is_set()
    assert (str(error), error.peer_closed) == ("deadline", False)


def test_a_server_that_says_nothing_leaves_the_request_undetermined() -> None:
    released = threading.Event()
    with serving(lambda _connection, _request: (released.wait(5), None)[1]) as server:
        error = refused(server, SHORT)
        released.set()
    assert not error.peer_closed


def test_a_refused_connection_was_never_delivered() -> None:
    with pytest.raises(NotDelivered) as raised:
        ProviderClient(origins=HERE).send(request_to(closed_port()), deadline_seconds=AMPLE)
    assert SECRET not in str(raised.value)


def test_a_name_that_does_not_resolve_was_never_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_given: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NotDelivered):
        ProviderClient().send(request_to(1, "https", "nothing.test"), deadline_seconds=AMPLE)


def test_a_connection_that_stands_only_after_the_deadline_carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def slowly(*args: Any, **given: Any) -> object:  # noqa: ANN401 - handed on
        for each in threading.enumerate():
            if isinstance(each, threading.Timer):
                each.join(AMPLE)  # a name server takes its time, whatever the deadline says
        return resolve(*args, **given)

    with serving(saying(OK)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        with pytest.raises(NotDelivered, match="deadline passed while connecting"):
            sent(server, SHORT)
        monkeypatch.undo()
    assert server.received == []


def test_a_deadline_that_passes_while_the_connection_is_being_closed_harms_nobody() -> None:
    ours, theirs = socket.socketpair()
    call = _Call()
    call.attach(ours)
    ours.close()
    theirs.close()
    call.expire()  # on the timer's thread, where an error would be written to the log as a traceback
    assert call.expired


def reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


@pytest.mark.parametrize(
    "behave",
    [
        saying(b""),
        reset,
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    ],
    ids=["closed", "reset", "short body", "short chunk"],
)
def test_a_peer_that_closes_before_its_answer_is_complete_leaves_the_request_undetermined(behave: Behaviour) -> None:
    with serving(behave) as server:
        error = refused(server)
    assert error.peer_closed
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"CNRY nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["status line", "many headers", "long header", "chunk length"],
)
def test_an_answer_that_is_not_http_leaves_the_request_undetermined(answer: bytes) -> None:
    with serving(saying(answer)) as server:
        assert "nonsense" not in str(refused(server))


def test_an_answer_that_ends_within_its_head_has_no_body() -> None:
    with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Le")) as server:
        answer = sent(server)
    assert (answer.status, answer.headers, answer.body) == (200, {}, b"")


def test_the_library_underneath_logs_neither_urls_nor_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(saying(b"HTTP/1.1 200 OK\r\nno header, CNRY-in-the-answer\r\n\r\n")) as server:
        sent(server)
    assert "CNRY-" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login evil password evil\nmachine 127.0.0.1 login evil password evil\n")
    netrc.chmod(0o600)
    with serving(saying(OK)) as proxy, serving(saying(OK)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.setenv(name, str(tmp_path / "nothing.pem"))
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert sent(server).status == 200
    assert proxy.connections == 0
    assert b"Authorization: Basic Q05SWQ==" in server.received[0]
    assert b"evil" not in server.received[0]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ProviderClient:
    context = verifying_context()
    authority.configure_trust(context)
    return ProviderClient(context, network=always(PUBLIC).network)


def test_the_environment_cannot_have_the_keys_of_a_connection_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert verifying_context().keylog_filename is None


def test_tls_with_a_known_authority_and_the_right_name_works(authority: trustme.CA) -> None:
    with serving(saying(OK), certified(authority, NAME)) as server:
        client = trusting(authority)
        answer = client.send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert answer.body == b'{"a": 1}'


def test_a_certificate_of_an_unknown_authority_receives_nothing(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    with serving(saying(OK), certified(authority, NAME)) as server, pytest.raises(NotDelivered):
        ProviderClient(network=always(PUBLIC).network).send(
            request_to(server.port, "https", NAME), deadline_seconds=AMPLE
        )
    assert server.received == []


def test_a_certificate_for_another_name_receives_nothing(authority: trustme.CA) -> None:
    with serving(saying(OK), certified(authority, "other.test")) as server, pytest.raises(NotDelivered):
        trusting(authority).send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert server.received == []


@pytest.mark.parametrize("days", [(-30, -1), (1, 30)], ids=["expired", "not yet valid"])
def test_a_certificate_out_of_its_time_receives_nothing(authority: trustme.CA, days: tuple[int, int]) -> None:
    """S-33."""
    today = datetime.now(UTC)
    begins, ends = (today + timedelta(days=each) for each in days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, not_before=begins, not_after=ends).configure_cert(context)
    with serving(saying(OK), context) as server, pytest.raises(NotDelivered):
        trusting(authority).send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert server.received == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_a_server_of_an_older_tls_receives_nothing(authority: trustme.CA, version: ssl.TLSVersion) -> None:
    """S-33."""
    context = certified(authority, NAME)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, version
    with serving(saying(OK), context) as server, pytest.raises(NotDelivered):
        trusting(authority).send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert server.received == []


def test_old_tls_is_not_spoken() -> None:
    context = verifying_context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_server_that_does_not_speak_tls_receives_nothing() -> None:
    with serving(saying(OK)) as server, pytest.raises(NotDelivered):
        ProviderClient(network=always(PUBLIC).network).send(
            request_to(server.port, "https", NAME), deadline_seconds=SHORT
        )


def test_a_peer_that_closes_within_tls_leaves_the_request_undetermined(authority: trustme.CA) -> None:
    with serving(saying(b""), certified(authority, NAME)) as server, pytest.raises(Undetermined) as raised:
        trusting(authority).send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert raised.value.peer_closed


def test_an_answer_that_drips_through_tls_ends_at_the_deadline(authority: trustme.CA) -> None:
    drip, finished = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x")
    with serving(drip, certified(authority, NAME)) as server, pytest.raises(Undetermined) as raised:
        trusting(authority).send(request_to(server.port, "https", NAME), deadline_seconds=SHORT)
    assert str(raised.value) == "deadline"
    assert not finished.is_set()


def test_one_client_serves_many_threads() -> None:
    def echo(connection: socket.socket, request: bytes) -> None:
        body = request.partition(b"\r\n\r\n")[2]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    client = ProviderClient(origins=HERE)
    with serving(echo) as server:

        def one(n: int) -> bytes:
            request = TokenRequest(method="POST", url=f"http://127.0.0.1:{server.port}/", headers={}, body=b"%d" % n)
            return client.send(request, deadline_seconds=AMPLE).body

        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(one, range(40))) == [b"%d" % n for n in range(40)]
    assert server.connections == 40
