"""What the home page shows of an integration: a card with its connection, and what can be done with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from consentry.model import DEFAULT_NAME, Status

LOCAL: Final = "local-"  # the local stack's copies of the built-in providers are named so
MINUTE: Final = 60
STATES: Final = {
    Status.ACTIVE: "Connected",
    Status.REAUTH_REQUIRED: "Connect again",
    Status.SCOPE_INSUFFICIENT: "A permission is missing",
    Status.DELETING: "Being disconnected",
}
READABLE: Final = {"hubspot-ticketing": "tickets", "hotjar": "surveys", "hotmart": "sales", "hotmart-code": "sales"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A field of the credentials form. `value` is the demo customer's, which the simulated provider knows."""

    name: str
    label: str
    secret: bool
    required: bool
    value: str = ""


DEMO_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "hotjar": {"client_id": "hotjar-demo-customer", "client_secret": "hotjar-demo-secret", "site_id": "14"},
    "hotmart": {
        "client_id": "hotmart-demo-customer",
        "client_secret": "hotmart-demo-secret",
        "basic_token": "hotmart-demo-basic",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`tone` is none, good or bad; `facts` are label and text; `reading` is what Acme can show, if anything."""

    integration: str
    name: str
    state: str
    tone: str
    facts: Sequence[tuple[str, str]]
    inputs: Sequence[Input]
    connected: bool
    reading: str
    unverified: bool


def provider_of(integration: Mapping[str, Any]) -> str:
    return str(integration["provider"]).removeprefix(LOCAL)


def cards(
    integrations: Sequence[Mapping[str, Any]], connections: Sequence[Mapping[str, Any]], now: float
) -> Sequence[Card]:
    """Put each integration together with the tenant's connection, if there is one; those that have one come first."""
    existing = {each["integration"]: each for each in connections if each["name"] == DEFAULT_NAME}
    found = [_card(each, existing.get(each["integration"]), now) for each in integrations]
    return sorted(found, key=lambda card: not card.connected)


def _card(integration: Mapping[str, Any], connection: Mapping[str, Any] | None, now: float) -> Card:
    provider = provider_of(integration)
    status = Status(connection["status"]) if connection else None
    return Card(
        integration=integration["integration"],
        name=integration["name"],
        state=STATES[status] if status else "Not connected",
        tone="none" if status is None else "good" if status is Status.ACTIVE else "bad",
        facts=_facts(connection, now) if connection else [],
        inputs=inputs_of(integration),
        connected=connection is not None,
        reading=READABLE.get(provider, "") if status is Status.ACTIVE else "",
        unverified=bool(integration.get("unverified")),
    )


def inputs_of(integration: Mapping[str, Any]) -> Sequence[Input]:
    """Return the fields of the credentials form; none where a consent is asked for instead."""
    known = DEMO_VALUES.get(provider_of(integration), {})
    return [Input(**each, value=known.get(each["name"], "")) for each in integration["inputs"]]


def _facts(connection: Mapping[str, Any], now: float) -> Sequence[tuple[str, str]]:
    facts: Mapping[str, Callable[[], object]] = {
        "Because": lambda: str(connection["cause"]).replace("_", " "),
        "Account": lambda: connection["account"],
        "Label": lambda: connection["label"],
        "Scopes": lambda: " ".join(connection["scopes"]),
        "Generation": lambda: connection["generation"],
        "Token ends": lambda: ends(connection["expires_at"], now),
        "Refreshed at": lambda: moment(connection["refreshed_at"]),
    }
    texts = [(label, str(fact() or "")) for label, fact in facts.items()]
    return [(label, text) for label, text in texts if text]


def ends(expires_at: float | None, now: float) -> str:
    if expires_at is None:
        return "never"
    seconds = round(expires_at - now)
    if seconds <= 0:
        return "ended"
    return f"in {seconds} s" if seconds < 2 * MINUTE else f"in {seconds // MINUTE} min"


def moment(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%H:%M:%S UTC") if epoch_seconds else ""
