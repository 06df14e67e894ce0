"""A table for a person, and JSON for a machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from torture.scenarios import SCENARIOS
from torture.trial import Pace
from torture.verdict import Fate, Result, Verdict

FAILING: Final = frozenset({Verdict.FAILED, Verdict.NOT_PROVOKED})
HEADINGS: Final = (
    *("scenario", "tried", "kept", "destroyed", "given up", "silent", "unavoidable"),
    *("at once", "twice", "reads", "refused", "dead", "in vain", "verdict"),
)
LEGEND: Final = """\
destroyed: revoked although it could have been kept; given up: alive, but the store wants the customer again;
silent: no token and no word; unavoidable: lost before the store could have it, and flagged with a cause;
at once: most requests of one grant in flight together; twice: refresh tokens presented more than once;
refused: reads without a token; dead: reads of a token that the server does not honour;
in vain: reads refused or served dead although the store had been given a token that still worked."""


def passed(results: Sequence[Result]) -> bool:
    return not any(each.verdict in FAILING for each in results)


def table(store: str, results: Sequence[Result]) -> str:
    rows = [HEADINGS, *(_cells(each) for each in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    causes = [
        f"{each.scenario}: said {', '.join(f'{cause} ({count})' for cause, count in sorted(each.causes.items()))}"
        for each in results
        if each.causes
    ]
    early = [
        f"{each.scenario}: {each.asked_too_early} requests before Retry-After was over"
        for each in results
        if each.asked_too_early
    ]
    return "\n".join([f"\n{store}\n", *lines, "", LEGEND, *causes, *early, "", _summary(results)])


def _cells(result: Result) -> tuple[str, ...]:
    verdict = f"{result.verdict}: {result.why}" if result.why else str(result.verdict)
    if not result.tried:
        return (result.scenario, *("-",) * (len(HEADINGS) - 2), verdict)
    fates = [result.fates[fate] for fate in Fate]
    kept, destroyed, given_up, silent, unavoidable = map(str, fates)
    counts = (result.in_flight_max, result.presented_twice, result.reads, result.reads_refused, result.reads_dead)
    return (
        *(result.scenario, str(result.tried), kept, destroyed, given_up, silent, unavoidable),
        *(*map(str, counts), str(result.reads_in_vain), verdict),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *middle = (cell for cell, _ in zip(row, widths, strict=False))
    cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(middle, widths[1:], strict=True))]
    return "  ".join([*cells, row[-1]])


def _summary(results: Sequence[Result]) -> str:
    applicable = [each for each in results if each.verdict is not Verdict.NOT_APPLICABLE]
    good = sum(each.verdict is Verdict.PASSED for each in applicable)
    left_out = len(results) - len(applicable)
    more = f"; {left_out} NOT APPLICABLE, and so not shown" if left_out else ""
    return f"{good} of {len(applicable)} scenarios passed{more}."


def as_json(store: str, results: Sequence[Result], pace: Pace, seconds: float) -> Mapping[str, object]:
    stories = {each.id: each.story for each in SCENARIOS}
    return {
        "store": store,
        "passed": passed(results),
        "seconds": round(seconds),
        "options": asdict(pace),
        "scenarios": [{**each.as_json(), "story": stories[each.scenario]} for each in results],
    }
