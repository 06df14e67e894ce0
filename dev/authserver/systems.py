"""The systems that are played, as far as they differ in values and not in behaviour."""

import base64
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Account:
    """An account at a provider that a person may choose; `number` is the provider's own id for it."""

    key: str
    name: str
    number: int

    def answers_to(self, wanted: str) -> bool:
        return wanted in {self.key, self.name, str(self.number)}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """`host` is the path prefix of the authorize endpoint, and of the issuer."""

    id: str
    title: str
    host: str
    accounts: tuple[Account, ...]
    new_access_token: Callable[[], str]
    new_refresh_token: Callable[[], str] = lambda: secrets.token_urlsafe(48)
    response_type_required: bool = True
    pkce_required: bool = False
    scope_required: bool = False
    sends_issuer: bool = False

    def account(self, wanted: str | None) -> Account | None:
        """The account with that key, name or number, if there is one."""
        return next((account for account in self.accounts if wanted and account.answers_to(wanted)), None)


def accounts(first: int, second: int) -> tuple[Account, ...]:
    return Account("acme", "Acme GmbH", first), Account("globex", "Globex", second)


def compressed_looking_token() -> str:
    """A token like base64 of gzip, partly percent-encoded: it breaks whoever decodes or trims it."""
    first, second = (base64.b64encode(secrets.token_bytes(45)).decode() for _ in range(2))
    return f"H4sIAAAAAAAA/{first}+{second}%2BAw%3D=="


HUBSPOT: Final = System(
    id="hubspot",
    title="HubSpot",
    host="app.hubspot.com",
    accounts=accounts(62515, 62516),
    new_access_token=lambda: f"CLocal{secrets.token_urlsafe(230)}",
    new_refresh_token=lambda: f"na1-{uuid.UUID(bytes=secrets.token_bytes(16))}",
    response_type_required=False,
    scope_required=True,
)
HOTJAR: Final = System(
    id="hotjar",
    title="Hotjar",
    host="app.hotjar.com",
    accounts=accounts(14, 15),
    new_access_token=lambda: secrets.token_urlsafe(64),
)
HOTMART: Final = System(
    id="hotmart",
    title="Hotmart",
    host="api-sec-vlc.hotmart.com",
    accounts=accounts(7001, 7002),
    new_access_token=compressed_looking_token,
)
ZENDESK: Final = System(
    id="zendesk",
    title="Zendesk",
    host="zendesk.com",
    accounts=accounts(31, 32),
    new_access_token=lambda: secrets.token_hex(32),
)
GENERIC: Final = System(
    id="generic",
    title="Example Provider",
    host="auth.example",
    accounts=accounts(1, 2),
    new_access_token=lambda: secrets.token_urlsafe(32),
    pkce_required=True,
    sends_issuer=True,
)
SYSTEMS: Final = {system.id: system for system in (HUBSPOT, HOTJAR, HOTMART, ZENDESK, GENERIC)}
