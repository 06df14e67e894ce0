"""Many examples of every property, in runs of their own that a seed repeats, over several processes."""

import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.properties import answering, messages, records
from tests.properties.machine import Deployment

STEPS: Final = 40
_CHUNK: Final = 500
_STRIDE: Final = 1_000_003  # so that the runs of neighbouring seeds have nothing in common
type Check = Callable[[Any], list[str]]


@dataclass(frozen=True, slots=True)
class Property:
    """A strategy, what must hold for all that it draws, and how many of a hundred examples are its own."""

    cases: st.SearchStrategy[Any]
    check: Check
    share: int


PROPERTIES: Final = {
    "refreshes": Property(answering.refreshes, answering.check_refreshes, 70),
    "exchanges": Property(answering.exchanges, answering.check_exchange, 30),
    "deliveries": Property(messages.deliveries, messages.check_deliveries, 10),
    "direct events": Property(messages.direct_events, messages.check_direct, 10),
    "escrow messages": Property(messages.escrows, messages.check_escrow, 10),
    "records": Property(records.changes, records.check_record, 10),
}
MACHINE: Final = "state machine"
NAMES: Final = (*PROPERTIES, MACHINE)
_MACHINE_SHARE: Final = 5


def bounded(examples: int, *, derandomized: bool) -> settings:
    """Return settings that bound a run by its examples alone, and keep nothing between runs."""
    return settings(
        max_examples=examples,
        derandomize=derandomized,
        database=None,
        deadline=None,
        stateful_step_count=STEPS,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


def quick(examples: int, *, derandomized: bool = True) -> settings:
    """Return settings for what is expected to break: it need not be made short."""
    return settings(bounded(examples, derandomized=derandomized), phases=(Phase.generate,))


def explore(name: str, how: settings, run_seed: int | None = None) -> Counter[str]:
    """Try one property; return how often each outcome occurred. Raise what broke, shortened."""
    if name == MACHINE:
        return _drive(how, run_seed)
    counts: Counter[str] = Counter()
    chosen = PROPERTIES[name]

    @how
    @given(chosen.cases)
    def holds(case: Any) -> None:  # noqa: ANN401 - each property has cases of its own
        counts.update(chosen.check(case))

    (holds if run_seed is None else seed(run_seed)(holds))()
    return counts


def _drive(how: settings, run_seed: int | None) -> Counter[str]:
    class Counting(Deployment):
        counts: ClassVar[Counter[str]] = Counter()

    run_state_machine_as_test(Counting if run_seed is None else seed(run_seed)(Counting), settings=how)
    return Counting.counts


@dataclass(frozen=True, slots=True)
class Chunk:
    """One run of one property. `shortens`: what breaks is made short, which may take minutes."""

    name: str
    examples: int
    seed: int
    shortens: bool = True


def chunks(names: tuple[str, ...], examples: int, first_seed: int) -> Iterator[Chunk]:
    for name in names:
        share = _MACHINE_SHARE if name == MACHINE else PROPERTIES[name].share
        count = max(1, examples * share // 100)
        for number, start in enumerate(range(0, count, _CHUNK)):
            yield Chunk(name, min(_CHUNK, count - start), first_seed * _STRIDE + number)


def run_chunk(chunk: Chunk) -> dict[str, Any]:
    """Run one chunk; return what occurred, and what broke with how to repeat it."""
    broken: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    how = (bounded if chunk.shortens else quick)(chunk.examples, derandomized=False)
    try:
        counts = explore(chunk.name, how, chunk.seed)
    except Exception as error:  # noqa: BLE001 - one broken property must not hide the others
        told = "".join(traceback.format_exception(error, limit=-6))
        broken.append({"property": chunk.name, "seed": chunk.seed, "examples": chunk.examples, "error": told})
    return {"name": chunk.name, "examples": chunk.examples, "counts": counts, "broken": broken}


def summary(names: tuple[str, ...], examples: int, first_seed: int, processes: int) -> dict[str, Any]:
    """Run all chunks and add up; progress goes to standard error."""
    started, wanted = time.perf_counter(), list(chunks(names, examples, first_seed))
    done: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    broken: list[dict[str, Any]] = []
    with get_context("spawn").Pool(processes) as pool:
        for part in pool.imap_unordered(run_chunk, wanted):
            done[part["name"]] += part["examples"]
            counts[part["name"]] += part["counts"]
            broken += part["broken"]
            total = sum(chunk.examples for chunk in wanted)
            sys.stderr.write(f"\r{done.total()} of {total} examples, {len(broken)} broken")
    sys.stderr.write("\n")
    return {
        "seed": first_seed,
        "seconds": round(time.perf_counter() - started, 1),
        "examples": dict(done),
        "broken": broken,
        "counts": {name: dict(found.most_common()) for name, found in counts.items()},
    }
