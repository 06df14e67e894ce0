"""What goes wrong, and how often: drawn from a seed, or scripted call by call."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final, Protocol


class Fate(StrEnum):
    """What becomes of one port call. `REPEATED`: the reply was lost and the client library asked again."""

    GOOD = "good"
    DIE_BEFORE = "die before"
    DIE_AFTER = "die after"
    REFUSED = "error, not applied"
    LOST = "error, but applied"
    REPEATED = "applied twice"
    HANG = "hang past the deadline"


class Answer(StrEnum):
    """How the authorization server treats one request. `before` and `after` its commit."""

    TOKENS = "tokens"
    BARE = "tokens without a refresh token"
    SERVER_ERROR_BEFORE = "5xx before commit"
    SERVER_ERROR_AFTER = "5xx after commit"
    TOO_MANY = "429"
    INVALID_CLIENT = "invalid_client"
    GARBAGE_BEFORE = "garbage before commit"
    GARBAGE_AFTER = "garbage after commit"
    NEVER_ARRIVES = "lost on the way"
    SILENT = "committed, reply lost"
    LATE = "committed after the client gave up"
    CLOSED_BEFORE = "closed before commit"
    CLOSED_AFTER = "closed after commit"
    UNREACHABLE = "not delivered"


BAD_ANSWERS: Final = tuple(answer for answer in Answer if answer not in {Answer.TOKENS, Answer.BARE})
ERRORS: Final = (Fate.REFUSED, Fate.LOST, Fate.REPEATED, Fate.REFUSED)
_PAUSES: Final = (5.0, 16.0, 30.0, 120.0)


class Chaos(Protocol):
    """Who decides. `calm` ends all faults."""

    calm: bool

    def fate(self, port: str, now: float) -> Fate: ...

    def answer(self, now: float) -> Answer: ...

    def latency(self, port: str) -> float:
        """Seconds until a call takes effect, and again until its answer is there."""

    def slowness(self) -> float:
        """Seconds that the authorization server needs."""

    def share(self) -> float:
        """A number from 0 to 1, for what else is left to chance."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which everything of a kind fails."""

    start: float
    end: float

    def holds(self, now: float) -> bool:
        return self.start <= now < self.end


NEVER: Final = Window(0, 0)
_GOOD: Final = Fate.GOOD


@dataclass(slots=True)
class Weather:
    """How bad one schedule is: probabilities for each call, and times of outage."""

    error: float = 0.0
    death: float = 0.0
    pause: float = 0.0
    bad_answer: float = 0.0
    answers: tuple[Answer, ...] = BAD_ANSWERS
    outages: dict[str, Window] = field(default_factory=dict)


def weather(random: Random, start: float, span: float) -> Weather:
    """Draw a schedule's weather: some schedules are calm, some know one kind of fault, some know all."""
    broken = [port for port in ("dynamo", "kms", "secrets", "client") if random.random() < 0.08]
    return Weather(
        error=random.choice((0, 0, 0.01, 0.04, 0.1)),
        death=random.choice((0, 0, 0.01, 0.03)),
        pause=random.choice((0, 0.01, 0.03, 0.06)),
        bad_answer=random.choice((0, 0.2, 0.4, 0.7)),
        answers=tuple(random.sample(BAD_ANSWERS, random.randint(1, 5))),
        outages={port: _window(random, start, span) for port in broken},
    )


def _window(random: Random, start: float, span: float) -> Window:
    begin = start + random.random() * span
    return Window(begin, begin + random.choice((10.0, 60.0, 400.0)))


class RandomChaos:
    """Faults drawn from one stream of random numbers."""

    def __init__(self, random: Random, weather: Weather) -> None:
        self.calm = False
        self.counts: Counter[str] = Counter()
        self._random = random
        self._draw = random.random
        self.weather = weather

    def fate(self, port: str, now: float) -> Fate:
        weather = self.weather
        if self.calm:
            return _GOOD
        if port in weather.outages and weather.outages[port].holds(now):
            self.counts[f"{port} outage"] += 1
            return Fate.REFUSED
        chance = self._draw()
        if chance >= weather.error + weather.death:
            return _GOOD
        if chance < weather.error:
            fate = self._random.choice(ERRORS)
        else:
            fate = self._random.choice((Fate.DIE_BEFORE, Fate.DIE_AFTER, Fate.HANG))
        self.counts[fate.value] += 1
        return fate

    def answer(self, now: float) -> Answer:
        if self.calm:
            return Answer.TOKENS
        if self.weather.outages.get("client", NEVER).holds(now):
            answer = Answer.INVALID_CLIENT
        elif self._random.random() < self.weather.bad_answer:
            answer = self._random.choice(self.weather.answers)
        else:
            answer = Answer.BARE if self._random.random() < 0.1 else Answer.TOKENS
        self.counts[answer.value] += 1
        return answer

    def latency(self, port: str) -> float:
        chance = self._draw()
        if chance < self.weather.pause and not self.calm:
            self.counts["pause"] += 1
            return self._random.choice(_PAUSES) * (0.5 + self._random.random())
        return 0.002 + 0.1 * chance * chance

    def slowness(self) -> float:
        chance = self._random.random()
        return 0.05 + chance if chance < 0.8 or self.calm else 24 * self._random.random()

    def share(self) -> float:
        return self._draw()
