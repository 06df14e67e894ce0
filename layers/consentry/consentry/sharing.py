"""What the threads of a process share: values by connection, and turns at asking for them."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final, Protocol
from weakref import WeakSet

from consentry.errors import TokenUnavailable
from consentry.model import ConnectionKey

REFRESH_PAUSE_SECONDS: Final = 5  # a refresh that brought nothing is not asked for again at once


class Forkable(Protocol):
    def begin_again(self) -> None:
        """Let go of what belongs to the process that this one is a copy of: locks, and connections to AWS."""


class Bounded[T]:
    """The values used last, by connection."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[ConnectionKey, T] = OrderedDict()
        outlive_forks(self)

    def begin_again(self) -> None:
        self._lock = threading.Lock()

    def get(self, key: ConnectionKey) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: ConnectionKey, value: T) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def forget(self, key: ConnectionKey) -> None:
        with self._lock:
            self._values.pop(key, None)


class Turns:
    """One caller at a time for each connection; the others wait and find what it brought."""

    def __init__(self) -> None:
        self.begin_again()
        outlive_forks(self)

    def begin_again(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[ConnectionKey, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, key: ConnectionKey, patience_seconds: float) -> Iterator[None]:
        turn = self._join(key, 1)
        try:
            if not turn.acquire(timeout=patience_seconds):
                raise unavailable("Another caller is still waiting for this token; try again in a few seconds.")
            try:
                yield
            finally:
                turn.release()
        finally:
            self._join(key, -1)

    def _join(self, key: ConnectionKey, callers: int) -> threading.Lock:
        with self._lock:
            turn, others = self._turns.pop(key, (threading.Lock(), 0))
            if others + callers:
                self._turns[key] = (turn, others + callers)
            return turn


def unavailable(public: str) -> TokenUnavailable:
    return TokenUnavailable(public, retry_after_seconds=REFRESH_PAUSE_SECONDS)


def outlive_forks(shared: Forkable) -> None:
    """Have `begin_again` called in every child of this process, right after the fork, as long as `shared` lives.

    Threads that hold a lock are not copied, their locks are; and two processes on one connection to AWS take each
    other's answers.
    """
    _watch_forks()
    _SHARED.add(shared)


@cache
def _watch_forks() -> None:
    with suppress(AttributeError):  # an operating system without forks
        os.register_at_fork(after_in_child=begin_again)


def begin_again() -> None:
    """What a child does first: have everything that outlives forks begin again."""
    for each in list(_SHARED):
        each.begin_again()


_SHARED: Final[WeakSet[Forkable]] = WeakSet()
