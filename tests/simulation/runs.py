"""One schedule from a seed: what happens to a few connections for an hour or so, and then until all is at rest."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from consentry.model import ConnectionKey, Status
from consentry.refresh.health import Limits
from tests.simulation.authority import Post
from tests.simulation.faults import RandomChaos, Weather, Window, weather
from tests.simulation.timeline import Stopped
from tests.simulation.watch import credential_of, text, whole
from tests.simulation.world import KINDS, TOUCHY, World

_TICK: Final = 60.0
_ABSENT: Final = ConnectionKey("nobody", "app")
_OTHER_EPOCH: Final = 2
_PATIENCE: Final = 6 * 3600.0
_LAST_MESSAGES: Final = 7 * 270.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a seed may draw from. `weather` replaces the seed's own.

    `impatience` is how often consumers insist while a refresh is under way, `misfortune` how often the table fails just
    then, and `interference` how often the customer revokes or consents again just then. `farewells` is in how many
    schedules customers disconnect, and perhaps connect again; `parting` how often they do so just then.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    lifetimes: tuple[int, ...] = (900, 1800)
    most_connections: int = 3
    lives: tuple[float, ...] = (0.8, 1.3, 2.0)
    weather: Callable[[Random, float, float], Weather] = weather
    impatience: float = 0.2
    misfortune: float = 0.03
    interference: float = 0.02
    limits: Limits = TOUCHY
    farewells: float = 0.4
    parting: float = 0.1


@dataclass(slots=True, kw_only=True)
class Report:
    """What a schedule was made of, and what came of it."""

    seed: int
    counts: Counter[str]
    trace: list[tuple[float, str, str]] = field(repr=False)
    posts: int
    events: int
    reuse: int
    early_losses: int


class BrokenInvariant(AssertionError):
    """What must never happen did. The text holds the seed and the end of the trace."""

    def __init__(self, seed: int, what: str, trace: list[tuple[float, str, str]]) -> None:
        start = trace[0][0] if trace else 0
        lines = [f"{when - start:9.2f}  {who:16} {event}" for when, who, event in trace[-400:]]
        super().__init__("\n".join([f"seed {seed}: {what}", *lines]))
        self.seed = seed
        self.what = what


def run(seed: int, options: Options | None = None, kind: "type[Schedule] | None" = None) -> Report:
    """Run one schedule; raise `BrokenInvariant` if anything happens that must not."""
    random = Random(seed)  # noqa: S311 - a schedule that can be repeated
    schedule = (kind or Schedule)(seed, random, options or Options())
    with schedule.world.observed():
        schedule.play()
    report = schedule.report()
    _take_apart(schedule.world)
    return report


def _take_apart(world: World) -> None:
    """End what refers to each other: what is not part of a circle goes at once, without a search for garbage."""
    for part in (world.watch, world.authority, world):
        vars(part).clear()


class Schedule:
    """A world, the people in it, and its end."""

    def __init__(self, seed: int, random: Random, options: Options) -> None:
        self._seed = seed
        self._options = options
        self._random = random
        self._lifetime = random.choice(options.lifetimes)
        self._span = self._lifetime * random.choice(options.lives)
        self._chaos = RandomChaos(random, Weather())
        self.world = World(self._chaos)
        self.world.limits = random.choice((self.world.limits, options.limits))
        self.world.rates = random.choice(({}, {}, {"app": 1}, {"app": 3}))
        self.world.remembered = random.choice((None, {}))
        start = self.world.timeline.now
        self._chaos.weather = options.weather(random, start, self._span)
        connections = min(options.most_connections, random.choice((1, 1, 1, 2, 2, 3)))
        self._kinds = {
            ConnectionKey(f"tenant{number}", "app"): random.choice(options.kinds) for number in range(connections)
        }
        # A stream of its own: who never disconnects lives through the same as without it.
        self._partings = Random(f"{seed} farewells")  # noqa: S311 - as above
        self._parts = self._partings.random() < options.farewells
        self.world.give_up_seconds = self._partings.choice((1200, 24 * 3600, 24 * 3600))
        self.world.watch.patience = self.world.give_up_seconds
        self._ticking = True
        self._calm_since = 0.0
        self._at_rest = False
        self.world.watch.leased = self._impatience
        self.world.posted = self._misfortune

    def play(self) -> None:
        try:
            self._live()
        except Stopped as broken:
            raise BrokenInvariant(self._seed, str(broken), self.world.timeline.trace) from None

    def _live(self) -> None:
        timeline, chaos = self.world.timeline, self._chaos
        chaos.calm = True
        for key, kind in self._kinds.items():
            self.world.connect(key, kind, self._lifetime)
        timeline.run(timeline.now + 30)
        chaos.calm = False
        self._people()
        timeline.at(timeline.now + _TICK * self._random.random(), self._tick)
        timeline.run(timeline.now + self._span)
        chaos.calm, self._calm_since = True, timeline.now
        timeline.note("calm")
        timeline.run(timeline.now + self._lifetime + _PATIENCE, enough=lambda: self._at_rest)
        self.world.watch.require(self._at_rest, "I-14: never at rest")
        self._ticking = False
        for key in self._kinds:
            self.world.watch.settled(key)
        timeline.run(timeline.now + _LAST_MESSAGES)
        self.world.watch.require(not self.world.queues.open, "I-11: a message that never ends")

    def _tick(self) -> None:
        if not self._ticking:
            return
        world, chance = self.world, self._random.random()
        world.timeline.at(world.timeline.now + _TICK, self._tick)
        if self._calm_since:
            self._at_rest = all(map(self._rests, self._kinds))
            chance = 1.0
        if chance < 0.4 or not self._any_is_due():
            return
        world.tick()
        if chance < 0.5:
            world.tick()

    def _any_is_due(self) -> bool:
        soon = self.world.timeline.now + 5
        for key in self._kinds:
            row = self.world.rows.get(key, {})
            if 0 < whole(row, "due_at") <= soon and whole(row, "enqueued_until") < soon:
                return True
        return False

    def _rests(self, key: ConnectionKey) -> bool:
        """Whether it is gone, flagged, or was refreshed since all faults ended and nothing is under way."""
        row = self.world.rows.get(key, {})
        if text(row, "status") != Status.ACTIVE:
            return text(row, "status") != Status.DELETING
        if "lease_owner" in row or "pend_gen" in row:
            return False
        return whole(row, "refreshed_at") > self._calm_since + 5

    # people

    def _people(self) -> None:
        for key in self._kinds:
            for _ in range(self._random.choice((0, 1, 1, 2))):
                self._some_time(partial(self._reads, key))
            if self._random.random() < 0.2:
                self._some_time(partial(self._revokes, key))
            if self._random.random() < 0.2:
                self._some_time(partial(self.world.connect, key, self._kinds[key], self._lifetime))
            if self._parts:
                for _ in range(self._partings.choice((0, 1, 1, 2))):
                    self._soon(partial(self._disconnects, key), self._partings.random() * self._span)
            if self._random.random() < 0.03:
                self._some_time(partial(self.world.force, _ABSENT, 1))
            if self._random.random() < 0.03:
                self._some_time(partial(self.world.force, key, 9, epoch=_OTHER_EPOCH))

    def _some_time(self, act: Callable[[], None]) -> None:
        timeline = self.world.timeline
        timeline.at(timeline.now + self._random.random() * self._span, act)

    def _reads(self, key: ConnectionKey) -> None:
        """A consumer whose token does not work, or that believes so, asks for another; perhaps several at once."""
        generation = whole(self.world.rows.get(key, {}), "gen", 1) - (self._random.random() < 0.15)
        for _ in range(self._random.choice((1, 1, 2, 3))):
            self.world.force(key, generation)

    def _revokes(self, key: ConnectionKey) -> None:
        if credential := credential_of(self.world.rows.get(key, {})):
            self.world.timeline.note("the user revokes")
            self.world.watch.counts["user revokes"] += 1
            self.world.authority.revoke(credential)

    def _disconnects(self, key: ConnectionKey) -> None:
        """Sometimes twice, and often to connect again: at once, or when there is little else to expect."""
        if self._calm_since:
            return
        self.world.watch.counts["disconnects"] += 1
        for _ in range(self._partings.choice((1, 1, 2))):
            self.world.disconnect(key)
        again = partial(self.world.connect, key, self._kinds[key], self._lifetime)
        for _ in range(self._partings.choice((0, 1, 2, 3))):
            self._soon(again, 5 + 600 * self._partings.random() ** 3)

    def _impatience(self, key: ConnectionKey) -> None:
        """Consumers are most insistent when a refresh does not come back."""
        if not self._calm_since and self._random.random() < self._options.impatience:
            earliest, width = self._random.choice(((20, 180), (62, 20)))
            self._soon(partial(self._reads, key), earliest + width * self._random.random())

    def _misfortune(self, post: Post) -> None:
        """Just while a request is under way, the table fails, and even the escrow queue, or the customer comes back."""
        if self._calm_since:
            return
        if self._random.random() < self._options.misfortune:
            now = self.world.timeline.now
            for port in self._random.choice((("dynamo",), ("dynamo",), ("dynamo", "queue"))):
                self._chaos.weather.outages[port] = Window(now, now + self._random.choice((20.0, 60.0, 200.0)))
        if self._parts and self._partings.random() < self._options.parting:
            self._soon(partial(self._disconnects, post.key), 20 * self._partings.random() ** 3)
        if self._random.random() < self._options.interference:
            self._revokes(post.key)
        if self._random.random() < self._options.interference:
            again = partial(self.world.connect, post.key, self._kinds[post.key], self._lifetime)
            self._soon(again, 20 * self._random.random() ** 3)

    def _soon(self, act: Callable[[], None], seconds: float) -> None:
        self.world.timeline.at(self.world.timeline.now + seconds, act)

    def report(self) -> Report:
        world = self.world
        counts = Counter(self._chaos.counts) + world.watch.counts
        counts["dead letters"] += len(world.queues.dead_letters)
        counts.update(f"kind {kind}" for kind in self._kinds.values())
        return Report(
            seed=self._seed,
            counts=counts,
            trace=world.timeline.trace,
            posts=len(world.authority.posts),
            events=len(world.timeline.trace),
            reuse=len(world.authority.reused),
            early_losses=world.watch.early_losses,
        )
