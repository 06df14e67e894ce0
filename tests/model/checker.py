"""A breadth-first explicit-state checker: every reachable state, and a shortest way to each kind of violation."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Final, NamedTuple

MOST_STATES: Final = 3_000_000


class TooManyStates(Exception):
    """The model has outgrown its bound: choose a smaller horizon, fewer jobs or fewer faults."""


class Step[S: Hashable](NamedTuple):
    """One atomic step. `violation` names the property that the step itself breaks, `ticks` is the time it takes."""

    label: str
    state: S
    violation: str = ""
    ticks: int = 0


class Protocol[S: Hashable](NamedTuple):
    """What the checker needs to know: where it begins, what can happen next, and what must not be true of a state."""

    initial: S
    steps: Callable[[S], Iterable[Step[S]]]
    violated: Callable[[S], Iterable[str]]


class Result(NamedTuple):
    """How many different states were reached, and for each kind of violation the labels of a shortest way there."""

    states: int
    violations: dict[str, tuple[str, ...]]


def search[S: Hashable](protocol: Protocol[S], horizon: int, most_states: int = MOST_STATES) -> Result:
    """Visit every state that is reachable within `horizon` ticks. Raise `TooManyStates` beyond `most_states`.

    A state holds no clock of its own: it counts once, however late it is reached, and is visited again when it turns
    out to be reachable earlier. The way back to the start is the one on which it was first seen: a shortest one.
    """
    came_from: dict[S, tuple[S, str] | None] = {protocol.initial: None}
    ticks_at: dict[S, int] = {protocol.initial: 0}
    violations: dict[str, tuple[str, ...]] = dict.fromkeys(protocol.violated(protocol.initial), ())
    waiting = deque([protocol.initial])
    while waiting:
        state = waiting.popleft()
        so_far = ticks_at[state]
        for label, successor, violation, ticks in protocol.steps(state):
            at = so_far + ticks
            if at > horizon:
                continue
            known = ticks_at.get(successor)
            found = [violation] if violation else []
            if known is None:
                came_from[successor] = (state, label)
                found += protocol.violated(successor)
            for name in found:
                if name not in violations:
                    violations[name] = (*_way_to(state, came_from), label)
            if known is None or at < known:
                ticks_at[successor] = at
                waiting.append(successor)
        if len(ticks_at) > most_states:
            raise TooManyStates(f"more than {most_states} states: choose a smaller horizon, fewer jobs or fewer faults")
    return Result(states=len(ticks_at), violations=violations)


def _way_to[S: Hashable](state: S, came_from: dict[S, tuple[S, str] | None]) -> tuple[str, ...]:
    labels: list[str] = []
    step = came_from[state]
    while step is not None:
        state, label = step
        labels.append(label)
        step = came_from[state]
    return tuple(reversed(labels))
