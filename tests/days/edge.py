"""The ports of a process: calls take their time from whichever invocation makes them, and may fail as DynamoDB does."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs

from botocore.exceptions import ClientError

from consentry.adapters import ATTEMPTS
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import Undetermined
from consentry.refresh.policy import SETTLE as _SETTLE
from tests.days.providers import Grant, Mood, Providers
from tests.days.store import OrderedDynamo
from tests.simulation.edges import ONE_KEY, Keys, WorkerEnvelopes, WorkerSecrets, WorkerSqs
from tests.simulation.timeline import Timeline, Worker

# Kept apart from the engine's own constant: a weakened engine does not weaken the world.
SETTLE: Final = float(_SETTLE)
_LATENCY: Final = {"dynamo": (0.004, 0.012), "kms": (0.004, 0.01), "secrets": (0.005, 0.02), "queue": (0.006, 0.02)}
_ANSWERS_WITHIN: Final = (0.1, 1.0)
_APPLIED: Final = 0.4  # of the calls whose answer is lost
# The worker repeats its calls itself; elsewhere the client library does (`bootstrap.wiring`).
_ATTEMPTS: Final = {"dispatch": ATTEMPTS, "restore": ATTEMPTS, "consent": ATTEMPTS}
_RETRY_PAUSE: Final = 0.1


class Invocation(Worker):
    """One message, one forced refresh, one sweep or one consent: `kind` says which."""

    kind = ""


class Calendar(Timeline):
    """A timeline of weeks: nothing is traced, and invocations that are over are forgotten."""

    def note(self, what: str) -> None:
        """Keep no trace: it would hold a million lines."""

    def tidy(self) -> None:
        self.workers[:] = [each for each in self.workers if not each.over]

    @property
    def invocation(self) -> Invocation:
        assert isinstance(self.running, Invocation)
        return self.running


class World(Protocol):
    """What the ports need."""

    timeline: Calendar
    random: Random
    dynamo: OrderedDynamo
    queues: Any
    providers: Providers
    calls: Counter[tuple[str, str, str]]
    failed_calls: Counter[str]

    def storage_error_rate(self) -> float: ...

    def tell_opening(self, worker: Worker, key: str, *, known: bool) -> None: ...

    def mood_of(self, integration: str) -> Mood: ...

    def asked(self, grant: Grant, mood: Mood, invocation: Invocation) -> None:
        """A request is on its way."""


@dataclass(slots=True)  # not frozen: it stands in for the simulation's own
class Line:
    """The way to the outside for whoever runs at the moment."""

    world: World
    keys: Keys = ONE_KEY

    @property
    def worker(self) -> Invocation:
        return self.world.timeline.invocation

    def call[T](self, port: str, name: str, act: Callable[[], T], error: Callable[[str], Exception]) -> T:
        """Make one call: it takes effect once, twice or not at all, and answers or fails."""
        world = self.world
        invocation, random = world.timeline.invocation, world.random.random
        world.calls[invocation.kind, port, name] += 1
        first, last = _LATENCY[port]
        invocation.wait(first + (last - first) * random())
        rate = world.storage_error_rate() if port == "dynamo" else 0.0
        if not rate:
            return act()
        for attempt in range(1, 1 + _ATTEMPTS.get(invocation.kind, 1)):
            failed, applied = random() < rate, random() < _APPLIED
            if not failed:
                return act()
            world.failed_calls[f"{invocation.kind}: {name}"] += 1
            if applied:
                act()
            if attempt < _ATTEMPTS.get(invocation.kind, 1):
                invocation.wait(_RETRY_PAUSE)
        raise error(name)


def _client_error(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "InternalServerError", "Message": "simulated"}}, operation)


@dataclass(slots=True)  # not frozen: as above
class LineDynamo:
    """A DynamoDB client; each page of a query is a call of its own."""

    line: Line

    def get_item(self, **request: object) -> object:
        return self._call("get_item", request)

    def update_item(self, **request: object) -> object:
        return self._call("update_item", request)

    def _call(self, operation: str, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 - boto3's shape
        act = getattr(self.line.world.dynamo, operation)
        return self.line.call("dynamo", operation, lambda: act(**request), _client_error)

    def get_paginator(self, operation: str) -> "_Pages":
        return _Pages(self, operation)


@dataclass(slots=True)  # not frozen: as above
class _Pages:
    client: LineDynamo
    operation: str

    def paginate(self, **request: object) -> Iterator[Mapping[str, Any]]:
        paging = cast("dict[str, int]", request.pop("PaginationConfig", {}))
        asked: dict[str, Any] = request | ({"Limit": paging["PageSize"]} if paging else {})
        while True:
            page = self.client._call(self.operation, asked)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@dataclass(slots=True)  # not frozen: as above
class LineClock:
    """`ports.Clock`: as wrong as the process's clock is; what is left of the invocation is never wrong."""

    timeline: Calendar
    skew: float

    def now(self) -> int:
        return int(self.timeline.now + self.skew)

    def remaining_seconds(self) -> float:
        return self.timeline.invocation.killed_at - self.timeline.now

    def sleep(self, seconds: float) -> None:
        self.timeline.invocation.wait(seconds)


class Numbered:
    """`ports.Randomness`."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 0

    def token(self) -> str:
        self._count += 1
        return f"random-{self._count}"

    def fraction(self) -> float:
        return self._random.random()


@dataclass(slots=True)  # not frozen: as above
class LineProvider:
    """`ports.TokenEndpointClient`."""

    world: World

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        world, invocation = self.world, self.world.timeline.invocation
        form = parse_qs(request.body.decode())
        credential = (form.get("refresh_token") or form["client_secret"])[0]
        grant = world.providers.grant_of(credential)
        mood = world.mood_of(grant.key.integration)
        world.asked(grant, mood, invocation)
        if mood is Mood.SILENT:
            grant.doubted = True
            grant.busy_until = world.timeline.now + deadline_seconds + SETTLE
            invocation.wait(deadline_seconds)
            raise Undetermined("timeout")
        grant.busy_until = world.timeline.now + deadline_seconds + SETTLE
        first, last = _ANSWERS_WITHIN
        needed = first + (last - first) * world.random.random()
        invocation.wait(needed / 2)
        reply = world.providers.answer(credential, mood)
        invocation.wait(needed / 2)
        grant.busy_until = 0.0
        return reply


def line_sqs(line: Line) -> Any:  # noqa: ANN401 - a stand-in for boto3's client
    return WorkerSqs(cast("Any", line))


def line_envelopes(line: Line) -> WorkerEnvelopes:
    return WorkerEnvelopes(cast("Any", line))


def line_secrets(line: Line) -> WorkerSecrets:
    return WorkerSecrets(cast("Any", line))
