"""The whole course: every trouble in turn, then peace, then what is left."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import batched
from typing import Final

from torture.authority import Authority
from torture.scenarios import Need, Scenario
from torture.store import Killable, OpenStore, StorageOutage, Store
from torture.trial import Connection, Pace, Trial, together
from torture.verdict import Result, judged, not_applicable

LOOK_SECONDS: Final = 10.0
FIRST_LOOK_SECONDS: Final = 1.0
PROOFS: Final = 4
READERS: Final = 4

type Say = Callable[[str], None]


def run(open_store: OpenStore, scenarios: Sequence[Scenario], pace: Pace, say: Say) -> tuple[str, Sequence[Result]]:
    """Put a store through `scenarios`; return its name and its results. Raise `StoreTrouble` if it fails in peace."""
    with ExitStack() as stack:
        authorities = [stack.enter_context(Authority(each.id, grace_seconds=each.grace_seconds)) for each in scenarios]
        say("opening the store")
        store = stack.enter_context(closing(open_store([each.application for each in authorities])))
        trials = [
            Trial(scenario=scenario, authority=authority, store=store, pace=pace)
            for scenario, authority in zip(scenarios, authorities, strict=True)
        ]
        applicable = [each for each in trials if applies(each.scenario, store)]
        for trial in applicable:
            say(f"{trial.scenario.id}: {trial.scenario.story}")
            _provoke(trial)
        _settle(store, applicable, say)
        _prove(store, applicable, say)
        return store.name, [judged(each) if each in applicable else not_applicable(each) for each in trials]


def applies(scenario: Scenario, store: Store) -> bool:
    match scenario.needs:
        case Need.KILL:
            return isinstance(store, Killable)
        case Need.STORAGE:
            return isinstance(store, StorageOutage)
    return True


def _provoke(trial: Trial) -> None:
    trial.connect()
    trial.scenario.provoke(trial)
    trial.authority.behave()


def _settle(store: Store, trials: Sequence[Trial], say: Say) -> None:
    """Restart the store, and look again and again until every grant is decided, or the store's time is up."""
    say(f"all is quiet now; looking for up to {store.settle_seconds:.0f} s at what is left")
    deadline = time.monotonic() + store.settle_seconds
    _look(store, trials, complain=True)
    pause = FIRST_LOOK_SECONDS
    while _undecided(trials) and (left := deadline - time.monotonic()) > 0:
        store.rest(min(pause, left))
        _look(store, trials, complain=False)
        pause = LOOK_SECONDS
    _look(store, trials, complain=True)


def _undecided(trials: Sequence[Trial]) -> list[tuple[Trial, Connection]]:
    return [(trial, each) for trial in trials for each in trial.connections if not each.decided]


def _look(store: Store, trials: Sequence[Trial], *, complain: bool) -> None:
    """Look with readers that remember nothing: one that kept the old token may go on serving it."""
    if looks := [partial(trial.look, each, complain=complain) for trial, each in _undecided(trials)]:
        store.restart()
        _a_few_at_a_time(looks)


def _a_few_at_a_time(calls: Sequence[Callable[[], None]]) -> None:
    for some in batched(calls, READERS, strict=False):
        together(some)


def _prove(store: Store, trials: Sequence[Trial], say: Say) -> None:
    say("renewing every grant that was kept once more")
    for _ in range(PROOFS):
        unproven = [
            (trial, each)
            for trial in trials
            for each in trial.connections
            if each.renewed and not each.proven and not each.cause
        ]
        if not unproven:
            return
        store.rest(unproven[0][0].pace.between_renewals_seconds)
        store.restart()
        _a_few_at_a_time([partial(trial.prove, each) for trial, each in unproven])
