"""Create a connect session: what a tenant's user may connect, decided by the company's backend."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Never

from consentry.connect.tickets import Tickets
from consentry.errors import InvalidRequest, Misconfigured, NotFound
from consentry.model import DEFAULT_NAME, Completion, Grant, Session, Variables, identifier
from consentry.oauth.provider import Provider
from consentry.oauth.variables import given_variables
from consentry.ports import Catalogue, Clock, Integrations, Randomness, Sessions

SESSION_SECONDS: Final = 1800
_MAX_INTEGRATIONS: Final = 20
_MAX_TEXT: Final = 256
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
_LANGUAGE: Final = re.compile(r"[a-z]{2}")
_KNOWN: Final = frozenset({
    "user_ref", "integrations", "name", "scopes", "return_url", "completion", "allow_account_change", "language",
    "allow_disconnect", "variables",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class CreatedSession:
    """`ticket` is the secret that opens the session; it exists in this answer and nowhere else.

    `by_consent` are those of its integrations that have a consent page, and no form for credentials.
    """

    session: Session
    ticket: str
    by_consent: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSession:
    clock: Clock
    randomness: Randomness
    tickets: Tickets
    sessions: Sessions
    integrations: Integrations
    catalogue: Catalogue
    return_urls: frozenset[str]

    def __call__(self, tenant: str, wanted: Mapping[str, object]) -> CreatedSession:
        """Raise `InvalidRequest` naming the field that is wrong, `NotFound` for an unknown integration."""
        if unknown := sorted(set(wanted) - _KNOWN):
            _refuse(f"unknown field {unknown[0][:40]!r}; known are {', '.join(sorted(_KNOWN))}")
        ticket, session_id = self.tickets.ticket(self.randomness.token())
        integrations = {each: self._offered(each) for each in _texts(wanted, "integrations", required=True)}
        session = Session(
            id=session_id,
            tenant=identifier(tenant, "tenant"),
            user_ref=_text(wanted, "user_ref"),
            integrations=tuple(integrations),
            expires_at=self.clock.now() + SESSION_SECONDS,
            name=identifier(wanted.get("name", DEFAULT_NAME), "name"),
            scopes=_scopes(wanted),
            completion=_completion(wanted),
            return_url=self._return_url(wanted),
            allow_account_change=_yes_or_no(wanted, "allow_account_change"),
            language=_language(wanted),
            allow_disconnect=_yes_or_no(wanted, "allow_disconnect", otherwise=True),
            variables=_variables(wanted, integrations),
        )
        if session.scopes and len(session.integrations) > 1:
            _refuse("scopes belong to one provider: name one integration with them, or leave them to the integrations")
        by_consent = tuple(each for each, known in integrations.items() if known.grant is Grant.AUTHORIZATION_CODE)
        _check_fits(session, by_consent)
        self.sessions.create(session)
        return CreatedSession(session, ticket, by_consent)

    def _offered(self, integration_id: str) -> Provider:
        integration = self.integrations.integration(identifier(integration_id, "integrations"))
        if integration is None:
            raise NotFound(
                f"there is no integration {integration_id!r}; see GET /integrations", code="unknown_integration"
            )
        provider = self.catalogue.provider(integration.provider)
        if provider.grant is Grant.AUTHORIZATION_CODE and not integration.client_id:
            public = (
                f"integration {integration_id!r} has no client_id: its operator adds the one that the provider gave"
            )
            raise Misconfigured(public)
        return provider

    def _return_url(self, wanted: Mapping[str, object]) -> str:
        url = wanted.get("return_url", "")
        if isinstance(url, str) and (not url or url in self.return_urls):
            return url
        return _refuse(
            "return_url is not registered: it must equal one of the stack's ReturnUrls, character by character, and "
            "those must be https://host/path without a user or a fragment"
        )


def _check_fits(session: Session, by_consent: tuple[str, ...]) -> None:
    """Refuse what only a consent can do where nothing is connected by consent, and a consent that could not end."""
    if session.scopes and not by_consent:
        _refuse("scopes are asked for by consent: leave them out where the customer enters credentials")
    if by_consent and session.completion is Completion.CONFIRM and not session.return_url:
        _refuse('return_url is needed, because completion is "confirm": the person returns there with the handle')


def _refuse(message: str) -> Never:
    raise InvalidRequest(message)


def _text(wanted: Mapping[str, object], field: str) -> str:
    value = wanted.get(field)
    if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable():
        return value
    return _refuse(f"{field} must be a text of 1 to {_MAX_TEXT} printable characters")


def _texts(wanted: Mapping[str, object], field: str, *, required: bool = False) -> tuple[str, ...]:
    values = wanted.get(field, [])
    if isinstance(values, Sequence) and not isinstance(values, str) and len(values) <= _MAX_INTEGRATIONS:
        texts = tuple(value for value in values if isinstance(value, str) and value and value.isprintable())
        if len(texts) == len(values) and len(set(texts)) == len(texts) and (texts or not required):
            return texts
    return _refuse(f"{field} must be a list of {'1' if required else '0'} to {_MAX_INTEGRATIONS} different texts")


def _scopes(wanted: Mapping[str, object]) -> tuple[str, ...]:
    scopes = _texts(wanted, "scopes")
    if all(_SCOPE.fullmatch(scope) for scope in scopes):
        return scopes
    return _refuse("each scope must be one word of 1 to 256 visible characters (RFC 6749 section 3.3): list several")


def _completion(wanted: Mapping[str, object]) -> Completion:
    value = wanted.get("completion", Completion.CONFIRM.value)
    if isinstance(value, str) and value in {each.value for each in Completion}:
        return Completion(value)
    return _refuse('completion must be "confirm" (the default) or "direct"')


def _variables(wanted: Mapping[str, object], providers: Mapping[str, Provider]) -> Mapping[str, Variables]:
    """Check what is said of the providers' URLs; `InvalidVariable` names what will not do."""
    values = wanted.get("variables", {})
    if not isinstance(values, dict) or not all(isinstance(each, dict) for each in values.values()):
        _refuse('variables must be an object of objects: {"<integration>": {"<name>": "<value>"}}')
    if foreign := sorted(set(values) - set(providers)):
        _refuse(f"variables name {foreign[0][:40]!r}, which is none of the session's integrations")
    return {each: given_variables(providers[each], given) for each, given in values.items()}


def _yes_or_no(wanted: Mapping[str, object], field: str, *, otherwise: bool = False) -> bool:
    value = wanted.get(field, otherwise)
    return value if isinstance(value, bool) else _refuse(f"{field} must be true or false")


def _language(wanted: Mapping[str, object]) -> str:
    value = wanted.get("language", "")
    if value == "" or (isinstance(value, str) and _LANGUAGE.fullmatch(value)):
        return str(value)
    return _refuse("language must be a code of two lower-case letters, such as en; leave it out to let browsers choose")
