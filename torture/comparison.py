"""`python -m torture.comparison FILE FILE ...`: results of several stores (`--json`) side by side, as Markdown."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torture.scenarios import SCENARIOS

WORDS: Final = {
    "kept": "kept",
    "unavoidable": "unavoidable, and said so",
    "destroyed": "**destroyed**",
    "given_up": "**given up**",
    "silent": "**silent**",
}
MUST_SERVE: Final = frozenset(each.id for each in SCENARIOS if each.must_serve)


def comparison(courses: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with two columns for each course: what became of the grants, and the most requests at once."""
    heads = [f"{each['store']} | at once" for each in courses]
    found = [{each["scenario"]: each for each in course["scenarios"]} for course in courses]
    rows = [
        f"| `{name}` | {' | '.join(_cells(course[name]) for course in found)} |"
        for name in (each.id for each in SCENARIOS)
        if all(name in course for course in found)
    ]
    return "\n".join([f"| scenario | {' | '.join(heads)} |", f"|---{'|---|---' * len(courses)}|", *rows])


def _cells(result: Mapping[str, Any]) -> str:
    if not result["tried"]:
        return f"{str(result['verdict']).lower()} | -"
    parts = [f"{result['fates'][fate]} {word}" for fate, word in WORDS.items() if result["fates"][fate]]
    if result["scenario"] in MUST_SERVE and result["reads_in_vain"]:
        parts.append(f"**{result['reads_in_vain']} of {result['reads']} reads in vain**")
    return f"{', '.join(parts)} | {result['in_flight_max']}"


if __name__ == "__main__":
    sys.stdout.write(comparison([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]) + "\n")
