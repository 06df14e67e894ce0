"""What goes to a token endpoint and what comes back, before anyone looks inside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from consentry.model import Metadata, Secret


class GrantType(StrEnum):
    """What a token request presents: the values of the parameter `grant_type` (RFC 6749 sections 4.1.3, 4.4.2, 6)."""

    CODE = "authorization_code"
    REFRESH = "refresh_token"
    CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """One HTTP request, ready to send. URL query, headers and body may hold secrets: none of them is printed."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def host(self) -> str:
        """Scheme, host and port alone: fit for a log."""
        return "/".join(self.url.split("?", 1)[0].split("/", 3)[:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A complete HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class FailureClass(StrEnum):
    """Token request failures by what to do next."""

    GONE = "gone"
    OPERATOR = "operator"
    CREDENTIAL_REJECTED = "credential_rejected"
    LATER = "later"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """A usable token answer (RFC 6749 section 5.1). `None` means that the provider said nothing about it.

    `refresh_token_unusable`: it named a refresh token that is none, so that the one in use may have ended.
    """

    access_token: Secret
    token_type: str
    expires_in_seconds: int | None
    refresh_token: Secret | None
    scopes: tuple[str, ...] | None
    metadata: Metadata
    account: str
    refresh_expires_in_seconds: int | None = None
    refresh_token_unusable: bool = False


class TokenRequestFailed(Exception):
    """The token endpoint gave no token. `error` is a short code from a fixed alphabet, safe to log and store."""

    def __init__(
        self, kind: FailureClass, error: str, *, status: int = 0, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(f"{kind}: {error}")
        self.kind = kind
        self.error = error
        self.status = status
        self.retry_after_seconds = retry_after_seconds
