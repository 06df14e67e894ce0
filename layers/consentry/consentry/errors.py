"""What can go wrong, by what to do next.

ConsentryError
├── InvalidRequest        the caller changes what it asks
│   ├── NotFound          ... because there is no such thing (any more)
│   ├── Forbidden         ... because this caller, or this browser, may not
│   ├── Conflict          ... because it was done already, or somebody else was faster
│   │   └── BeingRemoved  ... or because the connection is on its way out, with a time to come back
│   └── Expired           ... because it came too late
├── ConnectAgain          the customer connects (again)
│   ├── NotConnected
│   └── ReauthRequired    with the cause
├── TryLater              nobody's fault, with a time to come back
│   ├── TokenUnavailable
│   └── ProviderTrouble
└── OperatorMustAct       configuration, a secret or a key is missing or wrong
    ├── Misconfigured
    └── UnreadableRecord  a ciphertext that does not open for its row
"""

from typing import ClassVar


class ConsentryError(Exception):
    """A failure with a stable `code`, an HTTP `status`, and a sentence that may be shown to anyone.

    `str(error)` is the public sentence. Nothing secret ever enters it; what only the log may hold goes to `detail`.
    A page says it by its code, in the `language` of the session where that is known; `about` is the provider's name.
    """

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"
    about: str = ""
    language: str = ""

    def __init__(self, public: str, *, code: str = "", detail: str = "") -> None:
        super().__init__(public)
        self.public = public
        self.code = code or self.default_code
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        """Come whole out of another process, whatever the subclass's `__init__` asks for."""
        return _again, (type(self), self.public, vars(self))


def _again[E: ConsentryError](kind: type[E], public: str, rest: dict[str, object]) -> E:
    error = kind.__new__(kind, public)
    vars(error).update(rest)
    return error


class InvalidRequest(ConsentryError):
    status = 400
    default_code = "invalid_request"


class NotFound(InvalidRequest):
    status = 404
    default_code = "not_found"


class Forbidden(InvalidRequest):
    status = 403
    default_code = "forbidden"


class Conflict(InvalidRequest):
    status = 409
    default_code = "conflict"


class BeingRemoved(Conflict):
    """The connection was disconnected, and its grant is not revoked yet; afterwards it can be made anew."""

    default_code = "deleting"

    def __init__(self, public: str, *, retry_after_seconds: int) -> None:
        super().__init__(public)
        self.retry_after_seconds = retry_after_seconds


class Expired(InvalidRequest):
    status = 410
    default_code = "expired"


class ConnectAgain(ConsentryError):
    status = 409


class NotConnected(ConnectAgain):
    """The tenant has no such connection."""

    status = 404
    default_code = "not_connected"


class ReauthRequired(ConnectAgain):
    """The grant is gone; only the customer can renew it. `cause` says why."""

    default_code = "reauth_required"

    def __init__(self, public: str, *, cause: str) -> None:
        super().__init__(public)
        self.cause = cause


class TryLater(ConsentryError):
    status = 503
    default_code = "try_later"

    def __init__(self, public: str, *, retry_after_seconds: int = 5, code: str = "", detail: str = "") -> None:
        super().__init__(public, code=code, detail=detail)
        self.retry_after_seconds = retry_after_seconds


class TokenUnavailable(TryLater):
    """No token that works right now, but one is expected without the customer's help."""

    default_code = "token_unavailable"


class ProviderTrouble(TryLater):
    """The provider could not be reached, or answered nonsense."""

    status = 502
    default_code = "provider_trouble"


class OperatorMustAct(ConsentryError):
    status = 503
    default_code = "operator_must_act"


class Misconfigured(OperatorMustAct):
    default_code = "misconfigured"


class UnreadableRecord(OperatorMustAct):
    default_code = "unreadable_record"
