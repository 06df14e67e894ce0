"""The one way out to providers: a single HTTPS request on a connection of its own, with a deadline for all of it.

`requests` with its defaults would follow redirects with the client secret in hand, take credentials from `.netrc`,
certificates and proxies from the environment, and wait forever for a server that sends a byte a second. None of that
happens here. A name is resolved once; every address that it has must be public, and one of these is connected to.
Only the origins that a deployment lists as insecure may be on this machine. Every request gets a fresh connection: a
reused one that the server just closed would leave it open whether the request arrived.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from socket import SHUT_RDWR, gaierror, socket
from typing import Any, Final, cast
from urllib.parse import urlsplit

import certifi
import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from consentry.addresses import is_allowed_origin, is_loopback, is_public
from consentry.network import Network
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import NotDelivered, Undetermined

CONNECT_SECONDS: Final = 3.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_CHUNK: Final = 8 * 1024


@dataclass
class _Call:
    """One request under its deadline: when that passes, the socket is shut down under whoever waits on it."""

    network: Network = field(default_factory=Network)
    permits: Callable[[str], bool] = is_public
    connected: socket | None = None
    delivered: bool = False
    expired: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def attach(self, connected: socket) -> None:
        with self.lock:
            self.connected = connected
            if self.expired:
                raise NotDelivered("deadline passed while connecting")
            self.delivered = True

    def expire(self) -> None:
        with self.lock:
            self.expired = True
            if self.connected is not None:
                try:
                    # The plain socket's own method: SSLSocket's would pull the TLS layer from under the reader.
                    socket.shutdown(self.connected, SHUT_RDWR)
                except OSError:
                    return


_current: ContextVar[_Call] = ContextVar("call")


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket:
        """Connect as urllib3 would, and say what failed in its words; the name stays what certificates are for."""
        call = _current.get()
        try:
            return call.network.open(self.host, self.port, cast("float", self.timeout), call.permits)
        except gaierror as error:
            raise NameResolutionError(self.host, self, error) from None
        except TimeoutError:
            raise ConnectTimeoutError(self, "timed out") from None
        except OSError:
            raise NewConnectionError(self, "refused") from None

    def connect(self) -> None:
        super().connect()
        _current.get().attach(self.sock)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(max_retries=urllib3.Retry(0, redirect=0, raise_on_redirect=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own signature
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401 - requests' own signature
        """Leave the pool alone: the shared context has the roots, requests would load the bundle each time."""

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        cert: Any = None,  # noqa: ANN401 - requests' own signature
    ) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(request, bool(verify), cert)
        return host, pool | {"ssl_context": self._context}


def verifying_context() -> ssl.SSLContext:
    """Return a context that checks certificate and host name and speaks TLS 1.2 or later; load it once and share it."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.keylog_filename = None  # type: ignore[assignment]  # SSLKEYLOGFILE has no say in who may read along
    return context


class _Session(requests.Session):
    def get_redirect_target(self, _resp: requests.Response) -> None:
        """Never look for one: `requests` would read and unpack the whole body first, even if it may not follow."""


class ProviderClient:
    """`ports.TokenEndpointClient` over `requests`. `origins` are those on this machine that plain http may go to."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        origins: Collection[str] = (),
        network: Network | None = None,
    ) -> None:
        # Its messages hold whole URLs and pieces of answers; a provider decides when a warning is written.
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
        self._context = context or verifying_context()
        self._origins = frozenset(origins)
        self._network = network or Network()

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        call = _Call(self._network)
        token = _current.set(call)
        timer = threading.Timer(deadline_seconds, call.expire)
        timer.daemon = True
        timer.start()
        try:
            call.permits = self._permits(request.url)
            answer = self._exchange(request, deadline_seconds)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise _classified(error, call) from None
        finally:
            timer.cancel()
            _current.reset(token)
        if call.expired:  # a body that ends where the socket was shut down may only look complete
            raise Undetermined("deadline")
        return answer

    def _permits(self, url: str) -> Callable[[str], bool]:
        """Return what an address has to be: loopback for an insecure origin that is listed, and else public."""
        parts = urlsplit(url)
        if is_allowed_origin(parts, self._origins):
            return is_loopback
        if parts.scheme != "https":
            raise NotDelivered("not_https")
        return is_public

    def _exchange(self, request: TokenRequest, deadline_seconds: float) -> HttpAnswer:
        # A pool of its own for each request: in a shared one, another thread could take this connection over before it
        # is closed, and nobody would know any more whether that thread's request was delivered.
        adapter = _Adapter(self._context)
        with _Session() as session:
            session.trust_env = False
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            headers = {"User-Agent": "Consentry", "Connection": "close", **request.headers}
            answer = session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers=headers,
                timeout=(min(CONNECT_SECONDS, deadline_seconds), deadline_seconds),
                allow_redirects=False,
                stream=True,
            )
            with answer:
                names = {name.lower(): value for name, value in answer.headers.items()}
                return HttpAnswer(status=answer.status_code, headers=names, body=_body(answer))


def _body(answer: requests.Response) -> bytes:
    body = bytearray()
    # Read as sent: nobody asked for compression, and a small answer must not unfold into a large one.
    while chunk := answer.raw.read(_CHUNK, decode_content=False):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise Undetermined("answer too large")
    return bytes(body)


def _classified(error: Exception, call: _Call) -> Exception:
    """Say what is known of the request's fate. Only the kind of failure is kept: messages hold URLs."""
    cause = error
    while isinstance(reason := getattr(cause, "reason", None) or (cause.args[0] if cause.args else None), Exception):
        cause = reason
    kind = type(cause).__name__
    if not call.delivered or isinstance(cause, (NameResolutionError, NewConnectionError, ConnectTimeoutError)):
        return NotDelivered(kind)
    return Undetermined("deadline" if call.expired else kind, peer_closed=not call.expired and _closed(cause))


def _closed(cause: Exception) -> bool:
    return not isinstance(cause, TimeoutError) and "Timeout" not in type(cause).__name__
