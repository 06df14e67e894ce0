"""A simulated deployment that Hypothesis drives: it decides what happens next, and shortens what broke."""

import json
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import ClassVar, Final, NoReturn

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consentry.model import ConnectionKey, Status
from tests.properties.messages import hint
from tests.simulation.faults import BAD_ANSWERS, Answer, RandomChaos, Weather, Window
from tests.simulation.timeline import Stopped, Worker
from tests.simulation.watch import credential_of, text, whole
from tests.simulation.world import HINTS, KINDS, World

LIFETIME: Final = 1800
PORTS: Final = ("dynamo", "kms", "secrets", "queue", "client", "provider")
_KEYS: Final = tuple(ConnectionKey(f"tenant{number}", "app") for number in range(3))
_TICK: Final = 60.0
_PATIENCE: Final = 4 * 3600.0
_LAST_MESSAGES: Final = 7 * 270.0
_LAST_EVENTS: Final = 60


class Directed(RandomChaos):
    """`faults.Chaos`: answers as they were asked for, and then good ones; ports fail while they are out."""

    def __init__(self, random: Random) -> None:
        super().__init__(random, Weather())
        self.next_answers: deque[Answer] = deque()

    def answer(self, now: float) -> Answer:
        if self.calm or not self.next_answers:
            return super().answer(now)
        return self.next_answers.popleft()


class Deployment(RuleBasedStateMachine):
    """Rules are what happens to a deployment; the simulator's watch checks each write, each request and each end.

    A subclass with `counts` of its own learns what came about.
    """

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._observed = ExitStack()
        self._kinds: dict[ConnectionKey, str] = {}
        self._broken = False

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        pause=st.sampled_from((0.0, 0.0, 0.03, 0.1)),
        kind=st.sampled_from(tuple(KINDS)),
    )
    def begin(self, seed: int, pause: float, kind: str) -> None:
        """One connection exists; latencies, and whose clock is wrong, follow from a seed."""
        self._chaos = Directed(Random(seed))  # noqa: S311 - a schedule that can be repeated
        self._world = World(self._chaos)
        self._observed.enter_context(self._world.observed())
        self._chaos.calm = True
        self._connect(0, kind)
        self._pass(30)
        self._chaos.calm = False
        self._chaos.weather.pause = pause

    # what happens

    @rule(who=st.integers(0, 2), kind=st.sampled_from(tuple(KINDS)))
    def connect(self, who: int, kind: str) -> None:
        self._connect(who, kind)
        self._pass(0)

    @rule(doubled=st.booleans(), seconds=st.sampled_from((0, 1, 40)))
    def tick(self, *, doubled: bool, seconds: int) -> None:
        self._world.tick()
        if doubled:
            self._world.tick()
        self._pass(seconds)

    @rule(seconds=st.sampled_from((0.01, 0.3, 1, 5, 26, 36, 61, 97, 280, 900, 1700, 3700)) | st.floats(0, 120))
    def time_passes(self, seconds: float) -> None:
        self._pass(seconds)

    @rule()
    def time_passes_until_something_is_due(self) -> None:
        due = [whole(row, "due_at") for row in self._world.rows.values() if "due_at" in row]
        if due:
            self._pass(min(due) - self._world.timeline.now + 6)
        self.tick(doubled=False, seconds=1)

    @rule(who=st.integers(0, 2), old=st.booleans(), times=st.integers(1, 3), seconds=st.sampled_from((0, 0.05, 1)))
    def force(self, who: int, *, old: bool, times: int, seconds: float) -> None:
        key = _KEYS[who]
        generation = whole(self._world.rows.get(key, {}), "gen", 1) - old
        for _ in range(times):
            self._world.force(key, generation)
        self._pass(seconds)

    @rule(who=st.integers(0, 2))
    def the_user_revokes(self, who: int) -> None:
        row = self._world.rows.get(_KEYS[who])
        if row and (credential := credential_of(row)):
            self._world.timeline.note("the user revokes")
            self._world.authority.revoke(credential)

    @rule(port=st.sampled_from(PORTS), seconds=st.sampled_from((3, 20, 60, 400, 4000)))
    def an_outage_begins(self, port: str, seconds: int) -> None:
        now = self._world.timeline.now
        self._chaos.weather.outages[port] = Window(now, now + seconds)

    @precondition(lambda self: self._chaos.weather.outages)
    @rule()
    def every_outage_ends(self) -> None:
        self._chaos.weather.outages.clear()

    @rule(answers=st.lists(st.sampled_from((*BAD_ANSWERS, Answer.BARE)), min_size=1, max_size=3))
    def the_next_answers_are_bad(self, answers: list[Answer]) -> None:
        self._chaos.next_answers.extend(answers)

    @precondition(lambda self: self._waiting())
    @rule(which=st.integers(0, 9))
    def a_worker_is_killed(self, which: int) -> None:
        waiting = self._waiting()
        victim = waiting[which % len(waiting)]
        victim.killed_at = self._world.timeline.now  # it notices when it would go on

    @rule(who=st.integers(0, 2), gen=st.integers(-1, 99), times=st.integers(1, 3))
    def a_forged_hint_arrives(self, who: int, gen: int, times: int) -> None:
        self._hint(_KEYS[who], gen, times)
        self._pass(2)

    # what must hold

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self._world.watch.broken == ""
        for row in self._world.rows.values():
            assert text(row, "status") in set(Status)
            assert (text(row, "status") == Status.ACTIVE) == ("due_at" in row)

    def teardown(self) -> None:
        """Faults end, and then everybody comes to rest: fresh, or flagged with the exact cause."""
        try:
            if hasattr(self, "_world") and not self._broken:
                self._rest()
                self.counts.update(self._chaos.counts + self._world.watch.counts)
        finally:
            self._observed.close()

    def _rest(self) -> None:
        timeline, chaos = self._world.timeline, self._chaos
        chaos.calm, calm_since = True, timeline.now
        timeline.note("calm")
        while not all(self._rests(key, calm_since) for key in self._world.rows):
            self._require(timeline.now < calm_since + LIFETIME + _PATIENCE, "I-14: never at rest")
            if any(map(self._is_due, self._world.rows)):
                self._world.tick()
            self._pass(_TICK)
        with self._told():
            for key in self._world.rows:
                self._world.watch.settled(key)
        self._pass(_LAST_MESSAGES)
        self._require(not self._world.queues.open, "I-11: a message that never ends")

    def _rests(self, key: ConnectionKey, calm_since: float) -> bool:
        row = self._world.rows[key]
        if text(row, "status") != Status.ACTIVE:
            return True
        under_way = "lease_owner" in row or "pend_gen" in row
        return not under_way and whole(row, "refreshed_at") > calm_since + 5

    def _is_due(self, key: ConnectionKey) -> bool:
        row, now = self._world.rows[key], self._world.timeline.now
        return 0 < whole(row, "due_at") <= now + 5 and whole(row, "enqueued_until") < now + 5

    # how it is done

    def _connect(self, who: int, kind: str) -> None:
        key = _KEYS[who]
        self._world.connect(key, self._kinds.setdefault(key, kind), LIFETIME)

    def _hint(self, key: ConnectionKey, gen: int, times: int) -> None:
        body = json.dumps(hint(key, gen=gen, token_url="https://evil.test"))
        for _ in range(times):
            self._world.queues.send_message(QueueUrl=HINTS, MessageBody=body)

    def _waiting(self) -> list[Worker]:
        return [worker for worker in self._world.timeline.workers if not worker.over]

    def _pass(self, seconds: float) -> None:
        with self._told():
            self._world.timeline.run(self._world.timeline.now + max(seconds, 0))

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            self._fail(what)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the watch stops at into a failure of the test, with the end of the story."""
        try:
            yield
        except Stopped as stopped:
            self._fail(str(stopped))

    def _fail(self, what: str) -> NoReturn:
        self._broken = True
        trace = self._world.timeline.trace[-_LAST_EVENTS:]
        start = trace[0][0] if trace else 0
        story = [f"{when - start:9.2f}  {who:16} {event}" for when, who, event in trace]
        raise AssertionError("\n".join([what, *story]))
