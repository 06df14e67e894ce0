"""What calls are billed as, and what a month of a deployment comes to."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final

MINUTES: Final = 60 * 24 * 30
_INDEX_UNITS: Final = 2  # an entry of the index `due` moves: one is removed, one is put
_HINTS_TOGETHER: Final = 10  # to a batch: sent, received, deleted
_BEHIND_THE_API: Final = frozenset({"authorize", "callback", "connect", "credentials", "manage"})

type Operation = Mapping[str, Any]
type Dollars = dict[str, float]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deployment has whether it is used or not; counted in the template."""

    keys: int
    secrets: int
    alarm_metrics: int
    heartbeat_metrics: int


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars: for a million of something, for something in a month; and what is assumed."""

    million: Mapping[str, float]
    month: Mapping[str, float]
    assumed: Mapping[str, float]
    region: str
    date: str

    @classmethod
    def read(cls, file: Path) -> "Prices":
        return cls(**tomllib.loads(file.read_text()))

    def of(self, operation: Operation) -> Dollars:
        """Return what a million of an operation cost, by what is billed."""
        counts = operation["counts"] if "counts" in operation else Counter(operation["calls"])
        spent: Dollars = {}
        for call, times in counts.items():
            unit, amount = self.billed(call)
            spent[unit] = spent.get(unit, 0) + times * amount * self.million[unit]
        return spent | dict(self._running(operation))

    def billed(self, call: str) -> tuple[str, int]:
        """Return the unit that a call is billed in, and how many. Raises `ValueError` if no price is known."""
        service, action, resource = call.replace(":", " ", 1).split(" ", 2)
        is_connection = resource == "ConnectionsTable"
        kb = self.assumed["record_kb" if is_connection else "row_kb"]
        match service:
            case "kms":
                return "kms request", 1
            case "secretsmanager":
                return "secret read", 1
            case "sqs":
                return "sqs request", 1
            case "events":
                return "event", 1
            case "dynamodb" if action in {"GetItem", "Query", "Scan"}:
                return "dynamodb read unit", ceil(kb / 4)
            case "dynamodb":
                return "dynamodb write unit", ceil(kb) + (_INDEX_UNITS if is_connection else 0)
        message = f"no price is known for {call}: add it to benchmarks/cost"
        raise ValueError(message)

    def _running(self, operation: Operation) -> Iterator[tuple[str, float]]:
        function = operation["function"]
        if function == "consumer":
            return
        asks = "request to the provider" in operation["what"]
        seconds = self.assumed["seconds"] + (self.assumed["provider_seconds"] if asks else 0)
        yield "lambda request", self.million["lambda request"]
        yield "lambda GB-second", seconds * self.assumed["memory_gb"] * self.million["lambda GB-second"]
        yield "log", self.assumed["log_kb"] * self.month["log GB"]  # a million KB are a GB
        if function in _BEHIND_THE_API:
            yield "api request", self.million["api request"]

    def hint(self) -> float:
        """Return what a million hints cost on their way through the queue."""
        return 3 / _HINTS_TOGETHER * self.million["sqs request"]

    def idle(self, has: Deployment, sweep: Operation, integrations: int) -> Dollars:
        """Return the dollars of a month in which nothing happens but the sweeps."""
        sweeps = MINUTES / 1_000_000
        return {
            "keys": has.keys * self.month["kms key"],
            "secrets": (has.secrets + integrations) * self.month["secret"],
            "alarms": has.alarm_metrics * self.month["alarm metric"],
            "metrics of the heartbeat": has.heartbeat_metrics * self.month["metric"],
            "the dashboard (the first three of an account are free)": self.month["dashboard"],
            "a sweep a minute": sweeps * (sum(self.of(sweep).values()) + self.million["schedule"]),
        }

    def connections(self, count: int, refresh: Operation, change: Operation) -> Dollars:
        """Return the dollars of a month in which `count` connections are kept fresh.

        A refresh is a `change` of the record when it is marked, and as often as it writes.
        """
        refreshes = count * MINUTES / self.assumed["refresh_minutes"] / 1_000_000
        gigabytes = count * self.assumed["record_kb"] / 1_000_000
        marking, units = self.billed("dynamodb:UpdateItem ConnectionsTable")
        changes = 1 + refresh["calls"].count("dynamodb:UpdateItem ConnectionsTable")
        watching = changes / self.assumed["changes_together"] * sum(self.of(change).values())
        return {
            **{unit: refreshes * dollars for unit, dollars in self.of(refresh).items()},
            "finding what is due": refreshes * (units * self.million[marking] + self.hint()),
            "watching for events": refreshes * watching,
            "storage and backups": gigabytes * (self.month["table GB"] + self.month["backup GB"]),
        }
