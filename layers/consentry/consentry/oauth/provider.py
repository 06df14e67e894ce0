"""A provider as validated data: what one OAuth server wants, field by field.

The catalogue builds these from TOML; `docs/providers.md` explains each field. No code asks which provider it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from consentry.model import Grant


class ClientAuthentication(StrEnum):
    """How the client proves itself at the token endpoint (RFC 6749 section 2.3.1)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    OPAQUE_BASIC = "opaque_basic"
    NONE = "none"


class BodyFormat(StrEnum):
    FORM = "form"
    JSON = "json"
    QUERY = "query"


class Pkce(StrEnum):
    """Whether the provider takes RFC 7636 parameters; sent unless forbidden."""

    REQUIRED = "required"
    SUPPORTED = "supported"
    IGNORED = "ignored"
    FORBIDDEN = "forbidden"


class Rotation(StrEnum):
    """What a refresh does to the refresh token."""

    NONE = "none"
    ROTATES = "rotates"
    REMINT = "remint"


class Revocation(StrEnum):
    """What revoking a token takes away at the provider."""

    TOKEN = "token"  # noqa: S105 - a scope of revocation
    GRANT = "grant"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationEndpoint:
    """Where a browser is sent (RFC 6749 section 3.1); `issuer` must equal an answer's `iss` (RFC 9207 section 2.4)."""

    url: str
    pkce: Pkce
    scope_separator: str = " "
    optional_scope_parameter: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_scopes: tuple[str, ...] = ()
    denied_errors: tuple[str, ...] = ("access_denied",)
    issuer: str = ""
    issuer_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Where tokens are asked for (RFC 6749 section 3.2), and how its answers are read.

    `keep` names the answer's fields that become metadata; `account_field` the one that identifies the account. A dot in
    a field's name steps into an object: `team.id`. `client_in_parameters` repeats client id and secret as parameters
    beside the header, where a provider insists. `expires_in_default_seconds` of `None` means: does not expire.
    """

    url: str
    client_authentication: ClientAuthentication
    body: BodyFormat
    client_in_parameters: bool = False
    refresh_url: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    scopes_field: str = "scope"
    scope_separator: str = " "
    expires_in_default_seconds: int | None = 3600
    refresh_expires_in_field: str = ""
    keep: tuple[str, ...] = ()
    account_field: str = ""
    error_fields: tuple[str, ...] = ("error",)
    error_in_success_field: str = ""
    gone_errors: tuple[str, ...] = ("invalid_grant",)
    operator_errors: tuple[str, ...] = ("invalid_client", "unauthorized_client")
    rejected_errors: tuple[str, ...] = ("invalid_client", "unauthorized_client", "invalid_grant")
    later_errors: tuple[str, ...] = ("temporarily_unavailable", "slow_down")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshBehaviour:
    """What refreshing does, and how often it may be done.

    `gone_retries` is how often a refused refresh token is tried again, a minute apart, where a provider is known to
    refuse by mistake.
    """

    rotation: Rotation
    reuse_grace_seconds: int = 0
    gone_retries: int = 0
    requests_per_minute: int | None = None
    idle_lifetime_seconds: int | None = None
    absolute_lifetime_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialInput:
    """One thing a customer types in to connect by client credentials.

    `pattern` is a regular expression of the whole of it, `labels` what it is called in languages other than English.
    """

    name: str
    label: str
    secret: bool
    required: bool = True
    max_length: int = 4096
    metadata: bool = False
    pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlVariable:
    """A part of the endpoints' URLs that differs from customer to customer: `{name}` stands where its value goes.

    `pattern` is a regular expression of the whole value; it narrows what the place in the URL allows, and never widens
    it (`consentry.oauth.variables`). `help` says by language where a customer finds it.
    """

    label: str
    labels: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""
    help: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeWords:
    """What a scope allows, said to the person who is to allow it, by language."""

    scope: str
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """An RFC 7662 endpoint that tells whose token it is, where the token answer does not."""

    url: str
    account_field: str
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Everything Consentry knows about one provider and one grant type.

    `checked` is the ISO date on which `sources` were read; `unverified` says that nobody saw the live service do this.
    A DELETE of `uninstall_url` with an access token takes the application out of that token's account. Where there are
    `variables`, its URLs are templates: `consentry.oauth.variables.rendered` makes them those of one connection.
    """

    id: str
    name: str
    grant: Grant
    checked: str
    sources: tuple[str, ...]
    token: TokenEndpoint
    refresh: RefreshBehaviour
    unverified: bool = False
    authorization: AuthorizationEndpoint | None = None
    variables: Mapping[str, UrlVariable] = field(default_factory=dict)
    credential_inputs: tuple[CredentialInput, ...] = ()
    credential_lifetime_days: int | None = None
    scope_words: tuple[ScopeWords, ...] = ()
    introspection: Introspection | None = None
    revocation_url: str = ""
    revocation: Revocation = Revocation.UNKNOWN
    uninstall_url: str = ""
    sunset: str = ""
