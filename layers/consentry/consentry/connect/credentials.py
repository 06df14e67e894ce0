"""Connect with credentials that a customer entered: they must mint a token before they are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from consentry.connect.exchange import ask_for_tokens, require_time_left
from consentry.connect.store import Arrival, StoreTokens, refuse_what_is_removed
from consentry.errors import InvalidRequest, NotFound
from consentry.model import MOST_TEXT, Connection, ConnectionKey, Grant, Integration, Metadata, Secret
from consentry.oauth.provider import CredentialInput, Provider
from consentry.oauth.token_request import client_credentials_request
from consentry.oauth.variables import checked_variables, rendered
from consentry.oauth.wire import GrantType
from consentry.ports import Catalogue, Clock, Integrations, TokenEndpointClient

_KNOWN: Final = frozenset({"inputs", "label", "description", "variables"})


class InvalidInput(InvalidRequest):
    """An entry that cannot be tried. `field` is the input's name; `unlike` says that its form is not the provider's."""

    default_code = "invalid_input"

    def __init__(self, public: str, *, field: str, unlike: bool = False) -> None:
        super().__init__(public)
        self.field = field
        self.unlike = unlike


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectWithCredentials:
    clock: Clock
    integrations: Integrations
    catalogue: Catalogue
    provider_client: TokenEndpointClient
    store: StoreTokens

    def __call__(self, key: ConnectionKey, body: Mapping[str, object]) -> Connection:
        """Raise `InvalidRequest` naming the wrong input, or with `credential_rejected`; nothing is stored then."""
        return self.store_checked(key, *self._integration(key), body)

    def store_checked(
        self, key: ConnectionKey, integration: Integration, provider: Provider, body: Mapping[str, object]
    ) -> Connection:
        """As `__call__`, for an integration that is known to take credentials."""
        inputs, texts = checked_inputs(provider, body), checked_texts(body)
        variables = checked_variables(provider, given_by(body))
        provider = rendered(provider, variables)
        before = self.store.connections.read(key)
        refuse_what_is_removed(before, self.clock.now())
        keys = self.store.sealing_keys(key)
        request = client_credentials_request(provider, inputs)
        require_time_left(self.clock)
        silence = f"{provider.name} did not answer, so the credentials were not stored. Try again in a few minutes."
        tokens, asked_at = ask_for_tokens(
            self.provider_client, self.clock, provider, request, GrantType.CLIENT_CREDENTIALS, silence=silence
        )
        arrival = Arrival(
            key=key,
            provider=provider,
            grant_type=Grant.CLIENT_CREDENTIALS,
            client_id=inputs["client_id"].reveal(),
            tokens=tokens,
            asked_at=asked_at,
            account=tokens.account,
            metadata={**tokens.metadata, **_metadata(provider, inputs)},
            variables=variables,
            requested_scopes=integration.scopes,
            optional_scopes=integration.optional_scopes,
            credentials=inputs,
            texts=texts,
        )
        return self.store(arrival, keys, before)

    def _integration(self, key: ConnectionKey) -> tuple[Integration, Provider]:
        integration = self.integrations.integration(key.integration)
        if integration is None:
            raise NotFound(
                f"there is no integration {key.integration!r}; see GET /integrations", code="unknown_integration"
            )
        provider = self.catalogue.provider(integration.provider)
        if provider.grant is not Grant.CLIENT_CREDENTIALS:
            raise InvalidRequest(
                f"{provider.name} is connected by consent: create a session instead", code="needs_consent"
            )
        return integration, provider


def checked_inputs(provider: Provider, body: Mapping[str, object]) -> dict[str, Secret]:
    """Return what was entered, by name; raise `InvalidRequest` naming what is wrong."""
    given = body.get("inputs")
    if set(body) - _KNOWN or not isinstance(given, dict):
        raise InvalidRequest(
            'the body must be {"inputs": {...}, "label": "...", "description": "...", "variables": {...}}'
        )
    known = {each.name: each for each in provider.credential_inputs}
    if unknown := sorted(set(given) - set(known)):
        raise InvalidRequest(f"unknown input {unknown[0][:40]!r}; {provider.name} wants {', '.join(known)}")
    checked = {name: _checked(wanted, given.get(name)) for name, wanted in known.items()}
    return {name: secret for name, secret in checked.items() if secret}


def given_by(body: Mapping[str, object]) -> Mapping[str, object]:
    """Return what a body says of the provider's URLs, unchecked but for its shape."""
    given = body.get("variables", {})
    if isinstance(given, dict):
        return given
    raise InvalidRequest('variables must be an object: {"<name>": "<value>"}')


def _checked(wanted: CredentialInput, value: object) -> Secret:
    if (value is None or value == "") and not wanted.required:
        return Secret("")
    text = value.strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= wanted.max_length or not text.isprintable():
        public = f"{wanted.name} ({wanted.label}) must be a text of 1 to {wanted.max_length} printable characters"
        raise InvalidInput(public, field=wanted.name)
    if wanted.pattern and not re.fullmatch(wanted.pattern, text):
        public = f"{wanted.name} ({wanted.label}) does not look as the provider writes it: {wanted.pattern}"
        raise InvalidInput(public, field=wanted.name, unlike=True)
    return Secret(text)


def _metadata(provider: Provider, inputs: Mapping[str, Secret]) -> Metadata:
    """Keep those inputs that are not secret and that readers need, such as a site id."""
    wanted = {each.name for each in provider.credential_inputs if each.metadata and not each.secret}
    return {name: secret.reveal() for name, secret in inputs.items() if name in wanted}


def checked_texts(body: Mapping[str, object]) -> dict[str, str]:
    """Return label and description, those that are given; raise `InvalidRequest` for one that is too long."""
    return {name: _text(body, name) for name in ("label", "description") if name in body}


def _text(body: Mapping[str, object], field: str) -> str:
    value = body[field]
    if isinstance(value, str) and len(value) <= MOST_TEXT and value.replace("\n", "").isprintable():
        return value
    raise InvalidRequest(f"{field} must be a text of at most {MOST_TEXT} printable characters", code="invalid_text")
