"""An emulator that forgets, so that a stack that runs for hours does not grow without end.

moto keeps every record of a table's stream, every position that it was read from, and every object that any of its
models ever made.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, overload

from moto.core.common_models import BaseModel
from moto.dynamodb.models.table import StreamShard
from moto.dynamodbstreams.models import DynamoDBStreamsBackend

KEPT: Final = 2_000  # records; DynamoDB keeps them for a day
ITERATORS: Final = 200  # each is used for the next read; DynamoDB keeps one for a quarter of an hour


class Newest[T]:
    """The newest of a sequence; length and positions count from the first one ever."""

    def __init__(self, kept: int) -> None:
        self._items: deque[T] = deque(maxlen=kept)
        self._count = 0

    def append(self, item: T) -> None:
        self._items.append(item)
        self._count += 1

    def pop(self) -> T:
        self._count -= 1
        return self._items.pop()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> T: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[T]: ...
    def __getitem__(self, position: int | slice) -> T | Sequence[T]:
        gone = self._count - len(self._items)
        if isinstance(position, slice):
            start, stop, _ = position.indices(self._count)
            return list(islice(self._items, max(0, start - gone), max(0, stop - gone)))
        return self._items[range(self._count)[position] - gone]


def forgetful_streams(kept: int = KEPT) -> None:
    """Make the shards of tables created from now on keep no more than `kept` records each."""
    shards: Any = StreamShard
    original = shards.__init__

    def init(shard: Any, *given: Any, **named: Any) -> None:  # noqa: ANN401 - moto's own arguments
        original(shard, *given, **named)
        shard.items = Newest(kept)

    shards.__init__ = init


class Latest[Key, T](dict[Key, T]):
    """A dictionary of what was put in last."""

    def __init__(self, kept: int) -> None:
        super().__init__()
        self._kept = kept

    def __setitem__(self, key: Key, item: T) -> None:
        super().__setitem__(key, item)
        while len(self) > self._kept:
            del self[next(iter(self))]


def forgetful_iterators(kept: int = ITERATORS) -> None:
    """Make streams that are read from now on remember no more than `kept` places to go on from."""
    streams: Any = DynamoDBStreamsBackend
    original = streams.__init__

    def init(backend: Any, *given: Any, **named: Any) -> None:  # noqa: ANN401 - moto's own arguments
        original(backend, *given, **named)
        backend.shard_iterators = Latest(kept)

    streams.__init__ = init


def untracked_models() -> None:
    """Let moto's models go when nobody uses them: its own list of all of them serves a reset that we never ask for."""

    def new(cls: Any, *_given: Any, **_named: Any) -> Any:  # noqa: ANN401 - as above
        return object.__new__(cls)

    models: Any = BaseModel
    models.__new__ = new
