"""What operations cost, counted calls times list prices: `python -m benchmarks.cost` writes docs/cost.md's tables."""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from samtranslator.yaml_helper import yaml_parse

from benchmarks.cost.billing import Deployment, Dollars, Operation, Prices

_ROOT: Final = Path(__file__).parents[2]
PAGE: Final = _ROOT / "docs" / "cost.md"
README: Final = _ROOT / "README.md"
BEGIN: Final = "<!-- begin: python -m benchmarks.cost -->\n"
END: Final = "<!-- end -->\n"
_SIZES: Final = (10, 1_000, 10_000)
_INTEGRATIONS: Final = 4


def operations() -> Mapping[str, Operation]:
    """Return the calls of each operation, as the end-to-end tests count them."""
    return tomllib.loads((_ROOT / "tests" / "stack" / "calls.toml").read_text())


def deployment() -> Deployment:
    resources = yaml_parse((_ROOT / "template.yaml").read_text())["Resources"].values()
    kinds = [each["Type"] for each in resources]
    alarms = [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]
    watched = [sum("MetricStat" in each for each in alarm.get("Metrics", ())) or 1 for alarm in alarms]
    return Deployment(
        keys=kinds.count("AWS::KMS::Key"),
        secrets=kinds.count("AWS::SecretsManager::Secret"),
        alarm_metrics=sum(watched),
        heartbeat_metrics=6,
    )


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n"
    yield f"|{'---|' * len(head)}\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


def _calls(operation: Operation) -> str:
    counts: Mapping[str, int] = operation.get("counts") or {}
    names = [call.partition(" ")[0].partition(":")[2] for call in operation.get("calls", ())]
    told = {name: names.count(name) for name in names} | {
        call.partition(" ")[0].partition(":")[2]: count for call, count in counts.items()
    }
    return ", ".join(f"{count} {name}" for name, count in told.items()) or "none"


def _sum(spent: Dollars) -> str:
    return _shown(sum(spent.values()))


def _shown(dollars: float) -> str:
    return f"{dollars:,.2f}"


def tables(prices: Prices) -> Iterator[str]:
    told, has = operations(), deployment()
    yield f"List prices of {prices.region}, {prices.date}, without free tiers. Dollars for a million of each.\n\n"
    rows = ((f"`{name}`", each["what"], _calls(each), _sum(prices.of(each))) for name, each in told.items())
    yield from table(("operation", "what happens", "AWS calls", "dollars for a million"), rows)
    yield "\nA refresh, in parts:\n\n"
    yield from _parts(prices.of(told["refresh"]), "dollars for a million")
    yield f"\nA month without any connection, with {_INTEGRATIONS} integrations registered:\n\n"
    yield from _parts(prices.idle(has, told["dispatch_idle"], _INTEGRATIONS), "dollars a month")
    minutes = prices.assumed["refresh_minutes"]
    yield f"\nA month on top of that, each connection refreshed every {minutes:.0f} minutes:\n\n"
    months = ((size, prices.connections(size, told["refresh"], told["change"])) for size in _SIZES)
    each = ((f"{size:,}", _sum(month), f"{sum(month.values()) / size:.3f}") for size, month in months)
    yield from table(("connections", "dollars a month", "for each"), each)


def _parts(spent: Dollars, head: str) -> Iterator[str]:
    parts = sorted(spent.items(), key=lambda each: -each[1])
    yield from table(("part", head), ((name, _shown(dollars)) for name, dollars in parts))
    yield f"| **together** | **{_sum(spent)}** |\n"


def summary(prices: Prices) -> Iterator[str]:
    told = operations()
    idle = prices.idle(deployment(), told["dispatch_idle"], _INTEGRATIONS)
    minutes = prices.assumed["refresh_minutes"]
    rows = (
        (f"a deployment that nobody uses, with {_INTEGRATIONS} integrations, for a month", _sum(idle)),
        (
            f"a thousand connections, refreshed every {minutes:.0f} minutes (HubSpot), for a month",
            _sum(prices.connections(1_000, told["refresh"], told["change"])),
        ),
        ("a million consents, from the session to the stored grant", _sum(_consent(prices, told))),
        ("a million reads of a token that the process does not have in its cache", _sum(prices.of(told["read_miss"]))),
        ("a million reads of one that it has", _sum(prices.of(told["read_hit"]))),
    )
    yield from table(("", f"dollars, list prices of {prices.date}"), iter(rows))


def _consent(prices: Prices, told: Mapping[str, Operation]) -> Dollars:
    steps = ("session", "authorize", "callback_confirm", "complete")
    return {step: sum(prices.of(told[step]).values()) for step in steps}


def page(text: str, content: Iterator[str]) -> str:
    """Return the page with what stands between the marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "".join(content) + END + after


def pages(prices: Prices) -> Iterator[tuple[Path, str]]:
    """Yield each page with its new text."""
    for path, content in ((PAGE, tables(prices)), (README, summary(prices))):
        yield path, page(path.read_text(), content)


def main() -> int:
    for path, text in pages(Prices.read(Path(__file__).with_name("prices.toml"))):
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
