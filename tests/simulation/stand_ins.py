"""What stands in for logs, threads and the adapters' slow parts while code runs in virtual time."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Self

from consentry import log
from consentry.aws import dynamodb
from consentry.model import ConnectionKey
from consentry.web import work
from tests.simulation import wire
from tests.simulation.watch import key_from

type Place = tuple[Any, str, object]


class InTurn:
    """What the worker takes for a thread pool: one message after the other."""

    def __init__(self, _size: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def map(self, act: Callable[[Any], Any], each: Iterable[Any]) -> list[Any]:
        return [act(one) for one in each]


def _uncounted(_metric: object, **_given: object) -> None:
    return


@contextmanager
def standing_in(logged: Callable[..., None], converting: Iterable[ModuleType], *more: Place) -> Iterator[None]:
    """Let `logged` have what is logged, threads take turns, and the modules that convert items do so fast."""
    modules = tuple(converting)  # each has a name of its own for them
    places: tuple[Place, ...] = (
        (log, "record", logged),
        (log, "count", _uncounted),
        (log, "heartbeat", _uncounted),
        (work, "ThreadPoolExecutor", InTurn),
        (dynamodb, "_to_dynamodb", wire.to_dynamodb),
        (dynamodb, "_from_dynamodb", wire.from_dynamodb),
        (ConnectionKey, "from_sort_key", key_from),
        *((module, "to_item", wire.to_item) for module in modules),
        *((module, "from_item", wire.from_item) for module in modules),
        *more,
    )
    before = [vars(place)[name] for place, name, _ in places]
    for place, name, stand_in in places:
        setattr(place, name, stand_in)
    try:
        yield
    finally:
        for (place, name, _), original in zip(places, before, strict=True):
            setattr(place, name, original)
