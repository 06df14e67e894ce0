"""What must hold for a provider beyond its shape. Each rule yields sentences that begin with the field's name."""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from consentry.addresses import is_allowed_origin
from consentry.catalogue.shape import UNSUPPORTED
from consentry.catalogue.templates import sample, template_problems, variable_problems
from consentry.model import Grant
from consentry.oauth import authorization, token_request
from consentry.oauth.provider import ClientAuthentication, CredentialInput, Provider, Rotation
from consentry.oauth.variables import urls_of

_URL: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 section 2
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_INPUT_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MAX_INPUT_LENGTH: Final = 16384
_MAX_GONE_RETRIES: Final = 2
_MAX_WORDS: Final = 200
_MAX_PATTERN: Final = 200
_PATTERN: Final = re.compile(r"(?:[A-Za-z0-9_:@ -]|\[[A-Za-z0-9_.:@+/= -]+\](?:\{\d{1,4}(?:,\d{1,4})?\})?)+")
_LANGUAGE: Final = re.compile(r"[a-z]{2}")
# Consentry writes these itself, or the connection depends on them.
_OWN_HEADERS: Final = frozenset(
    {"authorization", "accept-encoding", "host", "content-length", "transfer-encoding", "connection", "cookie"}
)


def broken_rules(provider: Provider, allowed_origins: frozenset[str]) -> Iterator[str]:
    """Yield a sentence for each broken rule: the field, what is wrong, and what to write instead."""
    yield from _urls(provider, allowed_origins)
    yield from _variables(provider)
    yield from _sources(provider)
    yield from _grant(provider)
    yield from _inputs(provider)
    yield from _scope_words(provider)
    yield from _authorization_parameters(provider)
    yield from _token_parameters(provider)
    yield from _headers(provider.token.headers)
    yield from _numbers(provider)


def _urls(provider: Provider, allowed_origins: frozenset[str]) -> Iterator[str]:
    needed = {"token.url", "authorization.url", "introspection.url"}
    for where, url in urls_of(provider).items():
        if url or where in needed:
            problems = [*url_problems(sample(provider, url), allowed_origins), *template_problems(provider, url)]
            yield from (f"{where} {problem}" for problem in problems)
    if provider.authorization and "?" in provider.authorization.issuer:
        yield "authorization.issuer must have no query (RFC 8414 section 2): write it as the provider sends it"


def url_problems(url: str, allowed_origins: frozenset[str]) -> Iterator[str]:
    """Yield what keeps a URL from being called: it must be https, or plain http on an allowed loopback origin."""
    parts = _split(url)
    if parts is None or not _URL.fullmatch(url):
        yield f"is not a URL: {url!r}; write it as https://host/path"
        return
    if parts.scheme != "https" and not is_allowed_origin(parts, allowed_origins):
        yield f"must begin with https://, not {parts.scheme or 'nothing'}: {url!r}"
    if "@" in parts.netloc:
        yield "must not hold a user name or password: remove everything up to the @"
    elif not parts.hostname or parts.netloc != parts.netloc.lower() or not _HOST.fullmatch(parts.hostname):
        yield f"must have a host name in lower case: {url!r}"
    if "#" in url:
        yield "must not have a fragment: remove everything from the #"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # broken brackets, or a port that is none
        return None
    return parts


def _sources(provider: Provider) -> Iterator[str]:
    if not provider.sources or not all(source.startswith("https://") for source in provider.sources):
        yield "sources must be a list of at least one https link to the provider's documentation"


def _grant(provider: Provider) -> Iterator[str]:
    by_consent = provider.grant is Grant.AUTHORIZATION_CODE
    if by_consent and not provider.authorization:
        yield "authorization is missing: authorization_code needs a table [authorization] with url and pkce"
    if not by_consent and provider.authorization:
        yield "authorization is not used by client_credentials: remove the table"
    if by_consent == (provider.refresh.rotation is Rotation.REMINT):
        yield (
            'refresh.rotation must be "remint" for client_credentials, and "none" or "rotates" for authorization_code: '
            "change it"
        )
    if provider.refresh.reuse_grace_seconds and provider.refresh.rotation is not Rotation.ROTATES:
        yield 'refresh.reuse_grace_seconds only means something with rotation = "rotates": remove it'


def _inputs(provider: Provider) -> Iterator[str]:
    inputs = {wanted.name: wanted for wanted in provider.credential_inputs}
    if len(inputs) < len(provider.credential_inputs):
        yield "credential_inputs has a name twice: rename one"
    for name, wanted in inputs.items():
        if not _INPUT_NAME.fullmatch(name):
            yield f"credential_inputs has the name {name!r}: use lower-case letters, digits and _"
        if wanted.secret and wanted.metadata:
            yield f"credential_inputs.{name} is secret, so it cannot be metadata: metadata is stored in clear"
        if not 1 <= wanted.max_length <= _MAX_INPUT_LENGTH:
            yield f"credential_inputs.{name} must have a max_length from 1 to {_MAX_INPUT_LENGTH}"
        if not _is_pattern(wanted.pattern):
            yield (
                f"credential_inputs.{name} has a pattern that is not one: one character class with a count, such as "
                "[0-9]{1,20}, or several of them and plain letters in a row"
            )
        yield from _by_language(f"credential_inputs.{name}.labels", wanted.labels)
    if provider.grant is Grant.CLIENT_CREDENTIALS:
        yield from _client_credentials(provider, inputs)
    elif inputs:
        yield "credential_inputs are for client_credentials only: remove them"


def _variables(provider: Provider) -> Iterator[str]:
    yield from variable_problems(provider)
    for name, variable in provider.variables.items():
        if not _is_pattern(variable.pattern):
            yield (
                f"variables.{name} has a pattern that is not one: one character class with a count, such as "
                "[a-z]{2,20}, or several of them and plain letters in a row"
            )
        if variable.help and "en" not in variable.help:
            yield f"variables.{name}.help must say it in English: en = ..."
        yield from _by_language(f"variables.{name}.label", {"en": variable.label})
        yield from _by_language(f"variables.{name}.labels", variable.labels)
        yield from _by_language(f"variables.{name}.help", variable.help)


def _is_pattern(pattern: str) -> bool:
    """Whether browsers and Python read it alike and in one pass: nothing nested, nothing that looks around."""
    return not pattern or (len(pattern) <= _MAX_PATTERN and _PATTERN.fullmatch(pattern) is not None)


def _by_language(where: str, texts: Mapping[str, str]) -> Iterator[str]:
    for language, text in texts.items():
        if not _LANGUAGE.fullmatch(language):
            yield f"{where} has the language {language!r}: use a code of two lower-case letters, such as pt"
        if not 0 < len(text) <= _MAX_WORDS or not text.isprintable():
            yield f"{where}.{language} must be a text of 1 to {_MAX_WORDS} printable characters"


def _scope_words(provider: Provider) -> Iterator[str]:
    told = [each.scope for each in provider.scope_words]
    if len(set(told)) < len(told):
        yield "scope_words has a scope twice: keep one"
    for each in provider.scope_words:
        if "en" not in each.words:
            yield f"scope_words of {each.scope} must say it in English: en = ..."
        yield from _by_language(f"scope_words of {each.scope}", each.words)


def _client_credentials(provider: Provider, inputs: Mapping[str, CredentialInput]) -> Iterator[str]:
    for name in ("client_id", "client_secret"):
        if name not in inputs or not inputs[name].required:
            yield f"credential_inputs must ask for {name}: client_credentials needs it, as a required input"
    if "client_secret" in inputs and not inputs["client_secret"].secret:
        yield "credential_inputs.client_secret must be secret = true"
    if provider.token.client_authentication is ClientAuthentication.NONE:
        yield "token.client_authentication cannot be none for client_credentials (RFC 6749 section 4.4): change it"


def _authorization_parameters(provider: Provider) -> Iterator[str]:
    endpoint = provider.authorization
    if endpoint is None:
        return
    own = authorization.PROTOCOL_PARAMETERS | {endpoint.optional_scope_parameter}
    yield from _parameters("authorization.parameters", endpoint.parameters, own)
    yield from _parameters("authorization.url", _query(endpoint.url), own)
    if endpoint.optional_scope_parameter in authorization.PROTOCOL_PARAMETERS:
        yield "authorization.optional_scope_parameter is a protocol name: use the provider's own"
    if {**_query(endpoint.url), **endpoint.parameters}.get("response_mode", "query") != "query":
        yield 'authorization.parameters.response_mode must be "query": the callback reads nothing else'
    if endpoint.issuer_required and not endpoint.issuer:
        yield "authorization.issuer is missing: issuer_required = true needs it"
    if len(endpoint.scope_separator) != 1:
        yield 'authorization.scope_separator must be one character, such as " " or ","'


def _token_parameters(provider: Provider) -> Iterator[str]:
    by_consent = provider.grant is Grant.AUTHORIZATION_CODE
    own = token_request.PROTOCOL_PARAMETERS | ({"scope"} if by_consent else frozenset())
    yield from _parameters("token.parameters", provider.token.parameters, own)
    yield from _parameters("token.url", _query(provider.token.url), own)
    yield from _parameters("token.refresh_url", _query(provider.token.refresh_url), own)
    if len(provider.token.scope_separator) != 1:
        yield 'token.scope_separator must be one character, such as " " or ","'
    if not provider.token.error_fields:
        yield 'token.error_fields must name at least one field, such as ["error"]'


def _query(url: str) -> dict[str, str]:
    parts = _split(url)
    return dict(parse_qsl(parts.query, keep_blank_values=True)) if parts else {}


def _parameters(where: str, parameters: Mapping[str, str], own: frozenset[str]) -> Iterator[str]:
    for name in parameters:
        if name in UNSUPPORTED or name in {"client_assertion", "client_assertion_type", "request"}:
            need = UNSUPPORTED.get(name, "signed requests or client assertions")
            yield f"{where} has {name}: that needs {need}, which Consentry does not do"
        elif name in own:
            yield f"{where} has {name}: Consentry sends that itself, remove it"


def _headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            yield f"token.headers has {name!r}: names are letters, digits and -, values are visible ASCII"
        elif name.lower() in _OWN_HEADERS:
            yield f"token.headers has {name}: Consentry sets that itself, remove it"


def _numbers(provider: Provider) -> Iterator[str]:
    numbers = {
        "token.expires_in_default_seconds": provider.token.expires_in_default_seconds,
        "refresh.idle_lifetime_seconds": provider.refresh.idle_lifetime_seconds,
        "refresh.requests_per_minute": provider.refresh.requests_per_minute,
        "refresh.absolute_lifetime_seconds": provider.refresh.absolute_lifetime_seconds,
        "credential_lifetime_days": provider.credential_lifetime_days,
    }
    for where, number in numbers.items():
        if number is not None and number < 1:
            yield f"{where} must be at least 1"
    if not 0 <= provider.refresh.gone_retries <= _MAX_GONE_RETRIES:
        yield f"refresh.gone_retries must be from 0 to {_MAX_GONE_RETRIES}: a refused token is seldom good later"
    if provider.refresh.reuse_grace_seconds < 0:
        yield "refresh.reuse_grace_seconds must not be negative"
