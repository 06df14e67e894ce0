"""Schedules in which the keys are replaced meanwhile: announced, sealed with, gone through, and then gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, cast

from consentry.aws import sealed
from consentry.aws.escrow import SqsEscrow
from consentry.aws.sealed import DynamoRows
from consentry.errors import ConsentryError, UnreadableRecord
from consentry.model import ConnectionKey, Field
from consentry.rekey import operate
from consentry.rekey.operate import Rekey
from consentry.rekey.ports import OpenFlow
from consentry.rekey.replace import Replace
from consentry_cli.replacing import Pass, is_clear
from tests.simulation.authority import Post
from tests.simulation.edges import (
    ONE_KEY,
    Edge,
    Keys,
    WorkerClock,
    WorkerDynamo,
    WorkerEnvelopes,
    WorkerSqs,
    key_of_sealed,
)
from tests.simulation.runs import Options, Report, Schedule, run
from tests.simulation.stand_ins import InTurn, standing_in
from tests.simulation.watch import Case
from tests.simulation.world import ESCROW, TABLE

SHORT: Final = Options(lifetimes=(900,), most_connections=2, lives=(0.8,), misfortune=0.1)
_ANNOUNCED: Final = Keys("first", "second")
_REPLACED: Final = Keys("second", "first")
_DONE: Final = Keys("second")
_CHANGEOVER: Final = 30.0  # functions learn of it one after the other
_APART: Final = 90.0  # an invocation that began before has ended
_REKEY_SECONDS: Final = 55.0


class NoFlows:
    """`rekey.ports.Flows`: consents here are over in a moment."""

    def open(self, now: int) -> Iterator[OpenFlow]:
        yield from ()


@dataclass
class _Passes:
    """What the passes so far found; a pass whose worker died, or was refused, counts for nothing."""

    before: Pass | None = None
    clear: bool = False

    def take(self, last: Pass) -> None:
        self.clear = self.before is not None and is_clear(self.before, last)
        self.before = last


class Replacing(Schedule):
    """A schedule whose operator replaces the keys; at rest once all was refreshed without the first one."""

    def __init__(self, seed: int, random: Random, options: Options) -> None:
        super().__init__(seed, random, options)
        self._keys = (ONE_KEY, ONE_KEY)
        self._changed_at = 0.0
        self._passes = _Passes()

    def _people(self) -> None:
        super()._people()
        self.world.keys = self._told
        timeline, start = self.world.timeline, self._partings.random() * self._span
        announced = timeline.now + start
        replaced = announced + _APART + self._partings.random() * 300
        timeline.at(announced, partial(self._tell, _ANNOUNCED))
        timeline.at(replaced, partial(self._tell, _REPLACED))
        timeline.at(replaced + _APART, self._operate)
        for _ in range(self._partings.choice((0, 0, 1, 3))):
            timeline.at(announced + self._partings.random() * self._span, self._pass)
        for key in self._kinds:
            for _ in range(4):
                timeline.at(announced + self._partings.random() * self._span, partial(self._looks, key))
                timeline.at(replaced + _CHANGEOVER * self._partings.random(), partial(self._looks, key))
            timeline.at(replaced + 10 * self._partings.random(), partial(self._reads, key))

    def _tell(self, keys: Keys) -> None:
        self.world.timeline.note(f"keys: {keys}")
        self._keys, self._changed_at = (self._keys[1], keys), self.world.timeline.now

    def _told(self) -> Keys:
        """What a function that starts now is told: for a while, one is told so and another one is not yet."""
        changing = self.world.timeline.now < self._changed_at + _CHANGEOVER
        before, now = self._keys
        return before if changing and self._partings.random() < 0.5 else now

    def _misfortune(self, post: Post) -> None:
        """Go through the table just while a refresh is under way, or a customer leaves."""
        super()._misfortune(post)
        if self._keys[1] is _REPLACED and self._partings.random() < 0.7:
            self._soon(self._pass, 1.5 * self._partings.random() ** 2)

    def _disconnects(self, key: ConnectionKey) -> None:
        super()._disconnects(key)
        if self._partings.random() < 0.5:
            self._soon(self._pass, 0.2 * self._partings.random())

    def _operate(self) -> None:
        """The operator goes through the table until nothing is under the first key, whatever the weather."""
        if self._keys[1] is _REPLACED:
            self._pass()
            self._soon(self._operate, 5 + 55 * self._partings.random())

    def _finish(self) -> None:
        """Nothing is under the first key: nobody is told of it any more, and soon it is gone."""
        self._tell(_DONE)
        self._soon(partial(self.world.ended_keys.add, "first"), _APART)
        if self._calm_since:
            self._calm_since = self.world.timeline.now
        sealed_now = (each for row in self.world.rows.values() for each in _ciphertexts(row))
        left = [each for each in sealed_now if key_of_sealed(each) == "first"]
        self.world.watch.require(not left, "K-04: said to be clear, and under the first key", left)

    def _rests(self, key: ConnectionKey) -> bool:
        return self._keys[1] is _DONE and super()._rests(key)

    def _pass(self) -> None:
        """Go through the table, once; with very small pages, so that much happens in between."""
        self.world.start(Case(kind="rekey", keys=tuple(self._kinds)), self._replace, lives=_REKEY_SECONDS)

    def _replace(self, edge: Edge) -> None:
        table, envelopes = DynamoRows(cast("Any", WorkerDynamo(edge)), TABLE), WorkerEnvelopes(edge)
        queue = SqsEscrow(cast("Any", WorkerSqs(edge)), ESCROW)
        rekey = Rekey(
            clock=WorkerClock(edge.worker),
            rows=table,
            flows=NoFlows(),
            escrow=queue,
            envelopes=envelopes,
            replace=Replace(rows=table, envelopes=envelopes),
        )
        passed, place, began = Pass(), None, self.world.timeline.now
        try:
            while True:
                answer = rekey({"operation": "replace", "dry_run": False, "next": place})
                passed.take(answer)
                place = answer["next"]
                if place is None:
                    break
        except ConsentryError as error:
            self.world.timeline.note(f"replacing keys failed: {error.code}")
            return
        self.world.watch.require(not passed.unreadable, "K-05: not readable", passed.unreadable)
        self.world.timeline.note(f"replaced: {dict(passed.counts)} {passed.waiting}")
        self.world.watch.counts["raced"] += passed.counts["raced"]
        if self._keys[1] is _REPLACED and began > self._changed_at + _APART:
            self._passes.take(passed)
            if self._passes.clear:
                self._finish()

    def _looks(self, key: ConnectionKey) -> None:
        """A consumer reads a token and opens it, whichever key it is under."""

        def look(edge: Edge) -> None:
            try:
                record = self.world.connections(edge).read(key)
                if record and record.access_token:
                    WorkerEnvelopes(edge).open(record.access_token, key.encryption_context(Field.ACCESS_TOKEN))
                    self.world.watch.counts["reads"] += 1
            except UnreadableRecord as error:
                self.world.watch.require(False, "K-01: a read failed", error.detail)
            except ConsentryError as error:
                self.world.timeline.note(f"reading failed: {error.code}")

        self.world.start(Case(kind="reader", keys=(key,)), look, lives=29.0)


def _ciphertexts(row: Any) -> list[bytes]:  # noqa: ANN401 - DynamoDB's shape
    return [row[name]["B"] for name in ("access_token", "grant") if name in row]


def _unheard(_message: str, _fields: object = None, *, level: str = "") -> None:
    """Take what is logged before a world listens."""


def replaced(seed: int, *, page: int = 1, options: Options = SHORT) -> Report:
    """Run one schedule in which the keys are replaced; pages have `page` rows."""
    places = ((operate, "ThreadPoolExecutor", InTurn), (operate, "PAGE", page))
    with standing_in(_unheard, (sealed,), *places):
        return run(seed, options, Replacing)
