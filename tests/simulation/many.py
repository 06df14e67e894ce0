"""Many schedules, over several processes, added up."""

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any, Final

from tests.simulation.runs import BrokenInvariant, run

_CHUNK: Final = 250
# A schedule's world is one big cycle: looking for it after every few objects, as usual, costs a third of all time.
_GARBAGE: Final = 50_000


def prepared() -> None:
    """Search for garbage seldom, and never among what lives as long as the process does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)


def chunk(seeds: range) -> dict[str, Any]:
    """Run some seeds; return sums, and what broke."""
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    broken: list[dict[str, Any]] = []
    for seed in seeds:
        try:
            report = run(seed)
        except BrokenInvariant as error:
            broken.append({"seed": seed, "invariant": error.what, "trace": str(error)})
            continue
        counts.update(report.counts)
        totals["requests"] += report.posts
        totals["steps"] += report.events
        totals["replays"] += report.reuse
        totals["early_losses"] += report.early_losses
    return {"schedules": len(seeds), "broken": broken, "totals": +totals, "counts": +counts}


def chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, _CHUNK):
        yield range(start, min(start + _CHUNK, first + count))


def summary(first: int, count: int, processes: int) -> dict[str, Any]:
    """Run all of them and add up; progress goes to standard error."""
    started, done = time.perf_counter(), 0
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    broken: list[dict[str, Any]] = []
    with get_context("spawn").Pool(processes, initializer=prepared) as pool:
        for part in pool.imap(chunk, chunks(first, count)):
            done += part["schedules"]
            counts += part["counts"]
            totals += part["totals"]
            broken += part["broken"]
            sys.stderr.write(f"\r{done} of {count} schedules, {len(broken)} broken")
    seconds = time.perf_counter() - started
    sys.stderr.write("\n")
    return {
        "schedules": done,
        "from": first,
        "seconds": round(seconds, 1),
        "schedules_per_second": round(done / seconds, 1),
        **totals,
        "broken": broken,
        "counts": dict(counts.most_common()),
    }
