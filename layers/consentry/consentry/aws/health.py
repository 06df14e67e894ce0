"""How integrations are doing, in the table `integrations`: an item `<integration>#health` beside each of them.

An item of its own: an operator who registers an integration anew does not end a hold by it, and the functions that
count failures can touch no registration. `docs/refresh.md` says what the numbers mean.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.refresh.health import Health

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SUFFIX: Final = "#health"
_COUNTED: Final = "connections_"
_NUMBERS: Final = tuple(name for name in Health.__dataclass_fields__ if name not in {"integration", "connections"})


def _key(integration: str) -> dict[str, str]:
    return {"integration": f"{integration}{SUFFIX}"}


def health_from(integration: str, item: Mapping[str, Any]) -> Health:
    # Somebody may have written it by hand: what is no count counts as absent.
    counts = {name: value for name, value in item.items() if type(value) is int and value >= 0}
    numbers = {name: counts[name] for name in _NUMBERS if name in counts}
    connections = sum(value for name, value in counts.items() if name.startswith(_COUNTED))
    return Health(integration=integration, connections=connections, **numbers)


class DynamoHealth:
    """`refresh.health.IntegrationHealth` and `IntegrationRates` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, integration: str) -> Health:
        with storage_errors("read health"):
            answer = self._client.get_item(TableName=self._table, Key=to_item(_key(integration)))
        return health_from(integration, from_item(answer.get("Item", {})))

    def all(self) -> Sequence[Health]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table)
        with storage_errors("list health"):
            items = [from_item(item) for page in pages for item in page["Items"]]
        known = [(item["integration"], item) for item in items if item["integration"].endswith(SUFFIX)]
        return [health_from(key.removesuffix(SUFFIX), item) for key, item in known]

    def count_failure(self, integration: str, *, succeeded: int, now: int, since: int) -> Health:
        return self._count(integration, "window_at", {"failed": 1, "succeeded": succeeded}, now=now, since=since)

    def count_gone(self, integration: str, *, now: int, since: int) -> Health:
        return self._count(integration, "gone_at", {"gone": 1}, now=now, since=since)

    def _count(self, integration: str, began: str, amounts: Mapping[str, int], *, now: int, since: int) -> Health:
        """Count up in the window that began at `began`, or begin another one."""
        more, anew = Update().add(amounts), Update().set({began: now, **amounts})
        more.require(f"{more.name(began)} > {more.value(since)}")
        anew.require(f"attribute_not_exists({anew.name(began)}) OR {anew.name(began)} <= {anew.value(since)}")
        for update in (more, anew):
            try:
                return self._write(integration, update)
            except Refused:
                continue
        return self._write(integration, more)  # somebody else began the window just now

    def pause(self, integration: str, *, until: int) -> Health:
        update = Update().set({"paused_until": until})
        try:
            return self._write(integration, update.require(update.earlier("paused_until", until)))
        except Refused as refused:
            return health_from(integration, refused.item)

    def open(self, integration: str, *, until: int, opened: int, now: int) -> bool:
        update = Update().set({"open_until": until, "opened": opened, "window_at": now, "failed": 0, "succeeded": 0})
        return self._wrote(integration, update.require(update.earlier("open_until", now + 1)))

    def take_probe(self, integration: str, *, now: int, until: int) -> bool:
        update = Update().set({"probe_until": until})
        return self._wrote(integration, update.require(update.earlier("probe_until", now)))

    def take_turn(self, integration: str, *, window: int, most: int) -> bool:
        if self._joined(integration, window, most):
            return True
        first = Update().set({"turn_at": window, "turns": 1})
        try:
            self._write(integration, first.require(first.earlier("turn_at", window)))
        except Refused as refused:
            # Whoever is a few seconds behind takes a turn in the window that stands.
            standing = refused.item.get("turn_at", 0)
            return standing > window and self._joined(integration, standing, most)
        return True

    def _joined(self, integration: str, window: int, most: int) -> bool:
        update = Update().add({"turns": 1})
        update.require(update.equal("turn_at", window), f"{update.name('turns')} < {update.value(most)}")
        return self._wrote(integration, update)

    def recover(self, integration: str, *, now: int) -> None:
        update = Update().set({"recovered_at": now}).remove(["probe_until"])
        self._wrote(integration, update.require(update.earlier("open_until", now + 1)))

    def hold(self, integration: str, *, until: int, now: int) -> bool:
        begun, prolonged = Update().set({"hold_until": until}), Update().set({"hold_until": until})
        if self._wrote(integration, begun.require(begun.earlier("hold_until", now + 1))):
            return True
        self._wrote(integration, prolonged.require(prolonged.earlier("hold_until", until)))
        return False

    def release(self, integration: str, *, until: int) -> None:
        update = Update().set({"released_until": until}).remove(["hold_until"])
        self._wrote(integration, update.require(update.earlier("released_until", until)))

    def reserve(self, health: Health, *, since: int, rate: int) -> bool:
        update = Update().set({"budget": 0, "budget_at": since, "rate": rate})
        if not health.budget_at:
            return self._wrote(health.integration, update.require(update.missing("budget_at")))
        update.require(update.equal("budget_at", health.budget_at), update.equal("budget", health.budget))
        return self._wrote(health.integration, update)

    def give_back(self, integration: str, left: int, *, reserved_at: int) -> None:
        update = Update().set({"budget": left})
        self._wrote(integration, update.require(update.equal("budget_at", reserved_at)))

    def count_connections(self, integration: str, shard: int, connections: int) -> None:
        name = f"{_COUNTED}{shard}"
        update = Update().set({name: connections})
        changed = f"attribute_not_exists({update.name(name)}) OR {update.name(name)} <> {update.value(connections)}"
        self._wrote(integration, update.require(changed))

    def _wrote(self, integration: str, update: Update) -> bool:
        try:
            self._write(integration, update)
        except Refused:
            return False
        return True

    def _write(self, integration: str, update: Update) -> Health:
        request = update.request(self._table, _key(integration)) | {"ReturnValues": "ALL_NEW"}
        return health_from(integration, apply(self._client.update_item, request, "write health"))
