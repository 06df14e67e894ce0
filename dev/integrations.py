"""Which integrations the local stack offers: one for each built-in provider, and the user's own.

The user's file is a JSON list of objects with `id`, `provider`, and where the provider needs them `client_id`,
`client_secret`, `basic_token`, `scopes`, `optional_scopes` and `display_name`.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from consentry.errors import ConsentryError
from consentry.model import Grant, Integration, Secret, identifier
from consentry.oauth.provider import ClientAuthentication, Provider
from dev.mistakes import Mistake
from dev.providers import LOCAL

TEXTS: Final = ("id", "provider", "client_id", "client_secret", "basic_token", "display_name")
LISTS: Final = ("scopes", "optional_scopes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An integration and its secret material by name."""

    integration: Integration
    secrets: Mapping[str, Secret] = field(default_factory=dict)


def default_offers(providers: Mapping[str, Provider]) -> list[Offer]:
    """One integration for each local provider, named as the built-in one; clients and secrets are made up."""
    return [_default_offer(provider) for provider in providers.values() if provider.id.startswith(LOCAL)]


def _default_offer(provider: Provider) -> Offer:
    name = provider.id.removeprefix(LOCAL)
    by_consent = provider.grant is Grant.AUTHORIZATION_CODE
    return Offer(
        integration=Integration(
            id=name,
            provider=provider.id,
            client_id=f"local-{name}" if by_consent else "",
            display_name=f"{provider.name} (local)",
        ),
        secrets={"client_secret": Secret(secrets.token_urlsafe(24))} if by_consent else {},
    )


def read_offers(file: Path, providers: Mapping[str, Provider] | None = None) -> list[Offer]:
    """Read the user's file; raise `Mistake` with a line for each thing wrong. Without `providers` only its shape."""
    try:
        entries = json.loads(file.read_text())
    except (ValueError, OSError) as wrong:
        raise Mistake(f"INTEGRATIONS={file}: is not JSON: {wrong}") from wrong
    if not isinstance(entries, list):
        raise Mistake(f"INTEGRATIONS={file}: must be a list of objects with id, provider, client_id, client_secret")
    wrong_lines = [f"INTEGRATIONS={file}: {line}" for line in _mistakes(entries, providers)]
    if wrong_lines:
        raise Mistake(*wrong_lines)
    return [_offer(entry) for entry in entries]


def _mistakes(entries: Sequence[object], providers: Mapping[str, Provider] | None) -> Iterator[str]:
    seen: set[object] = set()
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            yield f"entry {number}: must be an object"
            continue
        yield from (f"entry {number}: {line}" for line in _shape_mistakes(entry))
        if isinstance(entry.get("id"), str) and entry["id"] in seen:
            yield f"entry {number}: id {entry['id']!r} stands there twice; rename one"
        seen.add(str(entry.get("id")))
        if providers is not None and isinstance(entry.get("provider"), str):
            yield from (f"entry {number}: {line}" for line in _provider_mistakes(entry, providers))


def _shape_mistakes(entry: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(entry.keys() - {*TEXTS, *LISTS}):
        yield f"{name} is not a field; there are {', '.join((*TEXTS, *LISTS))}"
    yield from (f"{name} must be a string that is not empty" for name in TEXTS if not _is_text(entry, name))
    yield from (f"{name} must be a list of strings" for name in LISTS if not _is_list(entry, name))
    try:
        identifier(entry.get("id"), "id")
    except ConsentryError as wrong:
        yield str(wrong)
    if "provider" not in entry:
        yield "provider is missing; give the id of a provider, such as local-hubspot"


def _is_text(entry: Mapping[str, object], name: str) -> bool:
    return name not in entry or (isinstance(entry[name], str) and bool(entry[name]))


def _is_list(entry: Mapping[str, object], name: str) -> bool:
    value = entry.get(name, [])
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _provider_mistakes(entry: Mapping[str, Any], providers: Mapping[str, Provider]) -> Iterator[str]:
    provider = providers.get(entry["provider"])
    if provider is None:
        yield f"there is no provider {entry['provider']!r}; there are {', '.join(sorted(providers))}"
    elif provider.grant is Grant.AUTHORIZATION_CODE:
        if "client_id" not in entry:
            yield f"client_id is missing; {provider.name} gave you one when you registered your application"
        if provider.token.client_authentication is not ClientAuthentication.NONE and "client_secret" not in entry:
            yield f"client_secret is missing; {provider.name} wants the application to prove itself"


def _offer(entry: Mapping[str, Any]) -> Offer:
    return Offer(
        integration=Integration(
            id=entry["id"],
            provider=entry["provider"],
            client_id=entry.get("client_id", ""),
            scopes=tuple(entry.get("scopes", ())),
            optional_scopes=tuple(entry.get("optional_scopes", ())),
            display_name=entry.get("display_name", ""),
        ),
        secrets={name: Secret(entry[name]) for name in ("client_secret", "basic_token") if name in entry},
    )
