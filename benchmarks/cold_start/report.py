"""From samples to medians, ratios, and a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from benchmarks.cold_start.consumer import Programs
from benchmarks.cold_start.process import Cost

GOALS: Final = {
    "authorize": 1.0,
    "callback, code parked": 1.3,
    "callback, code redeemed": 1.3,
    "refresh": 1.3,
    "reader": 1.3,
}
CONSUMER_GOAL: Final = 110.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A function and its plain counterpart: one cost of each for each run."""

    name: str
    calls: Sequence[str]
    ours: Sequence[Cost]
    plain: Sequence[Cost]

    def as_row(self) -> dict[str, Any]:
        ours, plain = _median(self.ours), _median(self.plain)
        return {
            "function": self.name,
            "aws_calls": list(self.calls),
            "runs": len(self.ours),
            "consentry": _rounded(ours),
            "plain_boto3": _rounded(plain),
            "cpu_ratio": round(ours.cpu_ms / plain.cpu_ms, 3),
            "wall_ratio": round(ours.wall_ms / plain.wall_ms, 3),
            "goal": GOALS.get(self.name),
        }


def consumer_row(runs: Sequence[Programs]) -> dict[str, Any]:
    """Return what the first token costs on top of boto3, with and without the two AWS calls that it needs."""
    norm = median(each.norm for each in runs)
    return {
        "runs": len(runs),
        "machine_ms_for_a_norm_ms": round(norm, 3),
        "on_top_of_boto3_norm_ms": round(median((r.token.cpu_ms - r.boto3.cpu_ms) / r.norm for r in runs), 1),
        "on_top_of_the_same_calls_norm_ms": round(median((r.token.cpu_ms - r.calls.cpu_ms) / r.norm for r in runs), 1),
        "goal_norm_ms": CONSUMER_GOAL,
    }


def table(rows: Sequence[dict[str, Any]], consumer: dict[str, Any] | None) -> str:
    """Return the figures as a table in Markdown."""
    lines = [
        "| function | CPU ms | plain boto3 | ratio | goal | wall ms | plain boto3 | ratio | MB | plain boto3 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        ours, plain, goal = row["consentry"], row["plain_boto3"], row["goal"] or ""
        cells = [row["function"], ours["cpu_ms"], plain["cpu_ms"], f"**{row['cpu_ratio']:.2f}**", goal]
        cells += [ours["wall_ms"], plain["wall_ms"], f"{row['wall_ratio']:.2f}", ours["rss_mb"], plain["rss_mb"]]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join([*lines, "", _sentence(consumer)] if consumer else lines)


def _sentence(consumer: dict[str, Any]) -> str:
    whole, same = consumer["on_top_of_boto3_norm_ms"], consumer["on_top_of_the_same_calls_norm_ms"]
    return (
        f"A consumer's first token: {whole} norm ms on top of boto3 with three clients (goal: at most "
        f"{CONSUMER_GOAL:.0f}), {same} on top of the same two calls made with boto3."
    )


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(**{name: median(asdict(each)[name] for each in costs) for name in ("cpu_ms", "wall_ms", "rss_mb")})


def _rounded(cost: Cost) -> dict[str, float]:
    return {name: round(value, 1) for name, value in asdict(cost).items()}
