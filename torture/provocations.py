"""How each trouble is brought about: the server misbehaves, replicas act, and something may die."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from torture.store import Killable, StorageOutage

if TYPE_CHECKING:
    from torture.trial import Connection, Trial

USUAL_ANSWER_SECONDS: Final = 0.3
HELD_BACK_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 6.0
LATE_SECONDS: Final = 1.2
PATIENCE_SECONDS: Final = 20.0
READERS: Final = 20
ENDS_AFTER_SECONDS: Final = 3


def two_replicas(trial: "Trial") -> None:
    trial.authority.misbehave("delay", seconds=USUAL_ANSWER_SECONDS)
    trial.answer_seconds = USUAL_ANSWER_SECONDS
    for batch in trial.batches():
        trial.together([_renewal(trial, each, replica) for each in batch for replica in (0, 1)])
        trial.together([_reading(trial, each, replica) for each in batch for replica in (0, 1)])
    trial.authority.wait_until_quiet(seconds=PATIENCE_SECONDS)


def slow_provider(trial: "Trial") -> None:
    """The other replica reads, and asks again, all the while."""
    trial.answer_seconds = trial.pace.slow_seconds
    trial.authority.misbehave("delay", seconds=trial.answer_seconds)
    for batch in trial.batches():
        over = threading.Event()
        first = threading.Thread(target=_renew_all, args=(trial, batch, 0))
        first.start()
        others = threading.Thread(target=_keep_asking, args=(trial, batch, over))
        others.start()
        first.join()
        trial.authority.wait_until_quiet(seconds=PATIENCE_SECONDS + 2 * trial.answer_seconds)
        over.set()
        others.join()
        trial.authority.wait_until_quiet(seconds=PATIENCE_SECONDS + 2 * trial.answer_seconds)


def _keep_asking(trial: "Trial", batch: "list[Connection]", over: threading.Event) -> None:
    while not over.is_set():
        _renew_all(trial, batch, 1)
        trial.together([_reading(trial, each, 1) for each in batch])
        over.wait(trial.pace.slow_seconds / 4)


def kill(trial: "Trial") -> None:
    store = trial.store
    if not isinstance(store, Killable):
        raise TypeError
    for batch in trial.batches():
        waiting = _caught_in_the_middle(trial, batch, HELD_BACK_SECONDS)
        store.kill()
        trial.authority.behave()
        waiting.join(HELD_BACK_SECONDS + PATIENCE_SECONDS)
        store.restart()


def storage_outage(trial: "Trial") -> None:
    store = trial.store
    if not isinstance(store, StorageOutage):
        raise TypeError
    trial.answer_seconds = ANSWER_SECONDS + trial.pace.outage_seconds + PATIENCE_SECONDS
    for batch in trial.batches():
        waiting = _caught_in_the_middle(trial, batch, ANSWER_SECONDS)
        with store.storage_down():
            time.sleep(ANSWER_SECONDS + trial.pace.outage_seconds)
        trial.authority.behave()
        waiting.join(PATIENCE_SECONDS)
        trial.authority.wait_until_quiet(seconds=PATIENCE_SECONDS)
    # Whoever was writing may try again now.
    trial.store.rest(trial.pace.outage_seconds)


def _caught_in_the_middle(trial: "Trial", batch: "list[Connection]", seconds: float) -> threading.Thread:
    """Return while the provider has rotated for each of `batch`, and holds its answers back for `seconds`."""
    already = sum(each.fault == "delay_after" for each in trial.authority.entries())
    trial.authority.misbehave("delay_after", seconds=seconds, count=len(batch))
    waiting = threading.Thread(target=_renew_all, args=(trial, batch, 0), daemon=True)
    waiting.start()
    trial.authority.wait_for("delay_after", already + len(batch), seconds=min(seconds, PATIENCE_SECONDS) * 0.8)
    return waiting


def one_by_one(fault: str) -> "Callable[[Trial], None]":
    """Return a provocation that does `fault` to one refresh of each grant."""

    def provoke(trial: "Trial") -> None:
        for each in trial.connections:
            trial.authority.misbehave(fault, count=1)
            trial.renew(each, 0)
            trial.authority.behave()
            trial.read(each, 1)

    return provoke


def provider_down(trial: "Trial") -> None:
    trial.authority.misbehave("status", status=503)
    for batch in trial.batches():
        trial.together([_renewal(trial, each, 0) for each in batch])
        for replica in (0, 1):
            trial.together([_reading(trial, each, replica) for each in batch])
    trial.store.restart()
    for batch in trial.batches():
        trial.together([_reading(trial, each, 0) for each in batch])


def rate_limited(trial: "Trial") -> None:
    """Consumers keep reading, and complaining, until the time that the provider named is over."""
    seconds = trial.retry_after_seconds = trial.pace.retry_after_seconds
    trial.authority.misbehave("status", status=429, headers={"Retry-After": str(seconds)})
    for batch in trial.batches():
        over = time.monotonic() + seconds
        trial.together([_renewal(trial, each, 0) for each in batch])
        while time.monotonic() < over:
            trial.together([_reading(trial, each, replica) for each in batch for replica in (0, 1)])
            trial.together([_renewal(trial, each, 1) for each in batch])
            time.sleep(0.5)


def late_loser(trial: "Trial") -> None:
    """The second request of each pair, if there is one, is refused without being acted upon."""
    for each in trial.connections:
        trial.authority.misbehave("delay", seconds=USUAL_ANSWER_SECONDS, count=1)
        trial.authority.misbehave("json_error", error="invalid_grant", seconds=LATE_SECONDS, count=1)
        trial.together([_renewal(trial, each, replica) for replica in (0, 1)])
        trial.authority.wait_until_quiet(seconds=PATIENCE_SECONDS)
        trial.authority.behave()
        trial.together([_reading(trial, each, replica) for replica in (0, 1)])


def twenty_readers(trial: "Trial") -> None:
    time.sleep(ENDS_AFTER_SECONDS + 0.5)
    trial.answer_seconds = USUAL_ANSWER_SECONDS
    trial.authority.misbehave("delay", seconds=USUAL_ANSWER_SECONDS)
    for each in trial.connections:
        trial.together([_reading(trial, each, number % 2) for number in range(READERS)])
    trial.authority.wait_until_quiet(seconds=PATIENCE_SECONDS)


def _renew_all(trial: "Trial", batch: "list[Connection]", replica: int) -> None:
    trial.together([_renewal(trial, each, replica) for each in batch])


def _renewal(trial: "Trial", connection: "Connection", replica: int) -> Callable[[], object]:
    return lambda: trial.renew(connection, replica)


def _reading(trial: "Trial", connection: "Connection", replica: int) -> Callable[[], object]:
    return lambda: trial.read(connection, replica)
