"""The ports of one worker. Every call may fail, take its time, or be the last; all of them lead to the same world."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qs

from botocore.exceptions import ClientError

from consentry.errors import UnreadableRecord
from consentry.model import Field, Secret
from consentry.oauth.provider import Rotation
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import NotDelivered, StorageUnavailable, Undetermined
from consentry.refresh.policy import SETTLE as _SETTLE
from tests.simulation.authority import CLOSED, Authority, Post
from tests.simulation.faults import Answer, Chaos, Fate
from tests.simulation.queue import SimulatedQueues
from tests.simulation.timeline import Timeline, Worker
from tests.support.dynamo import MemoryDynamo

# Kept apart from the engine's own constant: a weakened engine does not weaken the world.
SETTLE: float = float(_SETTLE)
_FOREVER = 1e9
REVOKE_PATH = "/revoke"
_GOOD = Fate.GOOD


class World(Protocol):
    """What the ports need of the simulated world."""

    timeline: Timeline
    chaos: Chaos
    dynamo: MemoryDynamo
    queues: SimulatedQueues
    authority: Authority

    def tell_post(self, worker: Worker, post: Post) -> None: ...

    def tell_revocation(self, worker: Worker, credential: str) -> None: ...

    def tell_opening(self, worker: Worker, key: str, *, known: bool) -> None: ...

    def tell_repeat(self, worker: Worker, operation: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Keys:
    """What a function is told of: the key that seals, and a second one that is opened as well."""

    present: str = "first"
    other: str = ""


ONE_KEY = Keys()


@dataclass(slots=True)  # not frozen: made for every invocation
class Edge:
    """One worker's way to the outside."""

    world: World
    worker: Worker
    keys: Keys = ONE_KEY

    def call[T](self, port: str, name: str, act: Callable[[], T], error: Callable[[str], Exception]) -> T:
        """Make one call of a port: it takes effect once, twice or not at all, and answers, fails or never returns."""
        world, worker = self.world, self.worker
        chaos, timeline = world.chaos, worker.timeline
        fate = chaos.fate(port, timeline.now)
        worker.wait(chaos.latency(port))
        if fate is _GOOD:
            timeline.note(f"{port}.{name}")
            try:
                return act()
            finally:
                worker.wait(chaos.latency(port))
        timeline.note(f"{port}.{name}: {fate}")
        return self._ill_fated(fate, port, name, act, error)

    def _ill_fated[T](
        self, fate: Fate, port: str, name: str, act: Callable[[], T], error: Callable[[str], Exception]
    ) -> T:
        world, worker = self.world, self.worker
        if fate is Fate.DIE_BEFORE:
            worker.die("died before it")
        if fate is Fate.HANG:
            worker.wait(_FOREVER)
        if fate is Fate.REFUSED:
            raise error(name)
        try:
            answer = act()
            if fate is Fate.REPEATED:
                world.tell_repeat(worker, name)
                answer = act()
        finally:
            worker.wait(world.chaos.latency(port))
        if fate is Fate.DIE_AFTER:
            worker.die("died after it")
        if fate is Fate.LOST:
            world.tell_repeat(worker, name)
            raise error(name)
        return answer


@dataclass(slots=True)  # not frozen: made for every invocation
class WorkerClock:
    """`ports.Clock`: as wrong as the worker's clock is; what is left of the invocation is never wrong."""

    worker: Worker

    def now(self) -> int:
        return int(self.worker.timeline.now + self.worker.skew)

    def remaining_seconds(self) -> float:
        return self.worker.killed_at - self.worker.timeline.now

    def sleep(self, seconds: float) -> None:
        self.worker.wait(seconds)


class Numbered:
    """`ports.Randomness`: tokens are numbered, fractions come from the schedule."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._count = 0

    def token(self) -> str:
        self._count += 1
        return f"random-{self._count}"

    def fraction(self) -> float:
        return self._chaos.share()


def _client_error(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "InternalServerError", "Message": "simulated"}}, operation)


def _unavailable(what: str) -> StorageUnavailable:
    return StorageUnavailable("simulated outage", detail=what)


@dataclass(slots=True)  # not frozen: made for every invocation
class WorkerDynamo:
    """A DynamoDB client for one worker."""

    edge: Edge

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return partial(self._call, operation)

    def get_item(self, **request: object) -> object:
        return self._call("get_item", **request)

    def update_item(self, **request: object) -> object:
        return self._call("update_item", **request)

    def _call(self, operation: str, **request: object) -> object:
        edge = self.edge
        act = partial(getattr(edge.world.dynamo, operation), **request)
        return edge.call("dynamo", operation, act, _client_error)

    def get_paginator(self, operation: str) -> "_Pages":
        return _Pages(self.edge, operation)


@dataclass(slots=True)  # not frozen: made for every invocation
class _Pages:
    edge: Edge
    operation: str

    def paginate(self, **request: object) -> Iterator[Mapping[str, Any]]:
        pages = self.edge.world.dynamo.get_paginator(self.operation)
        yield from self.edge.call("dynamo", self.operation, lambda: list(pages.paginate(**request)), _client_error)


@dataclass(slots=True)  # not frozen: made for every invocation
class WorkerSqs:
    """An SQS client for one worker."""

    edge: Edge

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        act = getattr(self.edge.world.queues, operation)
        edge = self.edge
        return lambda **request: edge.call("queue", operation, lambda: act(**request), _client_error)


def sealed(context: Mapping[str, str], plaintext: str, key: str = ONE_KEY.present) -> bytes:
    return f"{key}|{context['tenant']}|{context['connection']}|{context['field']}\n{plaintext}".encode()


def key_of_sealed(ciphertext: bytes) -> str:
    return ciphertext.partition(b"|")[0].decode()


def opened(ciphertext: bytes) -> str:
    return ciphertext.partition(b"\n")[2].decode()


@dataclass(slots=True)  # not frozen: made for every invocation
class _Key:
    context: Mapping[str, str]
    key: str

    def seal(self, plaintext: Secret) -> bytes:
        return sealed(self.context, plaintext.reveal(), self.key)


@dataclass(slots=True)  # not frozen: made for every invocation
class WorkerEnvelopes:
    """`ports.Envelopes` without encryption: a ciphertext says whose it is, and opens for nobody else."""

    edge: Edge

    def sealing_key(self, context: Mapping[str, str]) -> _Key:
        key = self.edge.keys.present
        return self.edge.call("kms", "data key", lambda: _Key(context, key), _unavailable)

    def open(self, ciphertext: bytes, context: Mapping[str, str]) -> Secret:
        edge = self.edge
        key = key_of_sealed(ciphertext)
        edge.world.tell_opening(edge.worker, key, known=key in {edge.keys.present, edge.keys.other})
        return edge.call("kms", "open", lambda: _opened(ciphertext, context, key), _unavailable)

    def is_current(self, ciphertext: bytes, field: Field) -> bool:
        return key_of_sealed(ciphertext) == self.edge.keys.present


def _opened(ciphertext: bytes, context: Mapping[str, str], key: str) -> Secret:
    plaintext = opened(ciphertext)
    if ciphertext != sealed(context, plaintext, key):
        raise UnreadableRecord("sealed for another record")
    return Secret(plaintext)


@dataclass(slots=True)  # not frozen: made for every invocation
class WorkerSecrets:
    """`ports.ClientSecrets`: one secret for all, and one from before its rotation."""

    edge: Edge

    def client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        return self._secrets("client secrets", "client-secret")

    def previous_client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        return self._secrets("previous client secrets", "client-secret-before")

    def _secrets(self, what: str, value: str) -> Mapping[str, Secret]:
        secrets = {"client_secret": Secret(value)}
        return self.edge.call("secrets", what, lambda: secrets, lambda _what: _unavailable("secrets"))


@dataclass(slots=True)  # not frozen: made for every invocation
class WorkerProvider:
    """`ports.TokenEndpointClient`: the request goes its own way, whatever becomes of its sender."""

    edge: Edge

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        world, worker = self.edge.world, self.edge.worker
        fate = world.chaos.fate("provider", worker.timeline.now)
        worker.wait(world.chaos.latency("provider"))
        if fate is Fate.DIE_BEFORE:
            worker.die("died before the request")
        answer = _meant(fate, world.chaos.answer(worker.timeline.now))
        worker.timeline.note(f"POST: {answer}")
        if answer is Answer.UNREACHABLE:
            raise NotDelivered("refused")
        if request.url.endswith(REVOKE_PATH):
            return self._revoked(request, answer, dies=fate is Fate.DIE_AFTER)
        post = self._sent(request, answer, deadline_seconds)
        worker.wait(post.given_up_at - worker.timeline.now)
        self._arrive(post)
        if fate is Fate.DIE_AFTER:
            worker.die("died with the answer in hand")
        worker.wait(world.chaos.latency("provider"))
        assert post.reply is not None
        return post.reply

    def _revoked(self, request: TokenRequest, answer: Answer, *, dies: bool) -> HttpAnswer:
        world, worker = self.edge.world, self.edge.worker
        (credential,) = parse_qs(request.body.decode())["token"]
        world.tell_revocation(worker, credential)
        worker.wait(world.chaos.slowness() / 4)
        reply = world.authority.withdraw(credential, answer)
        worker.wait(world.chaos.latency("provider"))
        if dies:
            worker.die("died with the answer in hand")
        if reply is None:
            raise Undetermined("closed" if answer in CLOSED else "timeout", peer_closed=answer in CLOSED)
        return reply

    def _sent(self, request: TokenRequest, answer: Answer, deadline_seconds: float) -> Post:
        world, worker = self.edge.world, self.edge.worker
        now = worker.timeline.now
        form = parse_qs(request.body.decode())
        credential = (form.get("refresh_token") or form["client_secret"])[0]
        family = world.authority.by_token[credential]
        given_up_at = min(now + deadline_seconds, worker.killed_at)
        acts_at = now + min(world.chaos.slowness(), deadline_seconds - 1)
        if answer is Answer.LATE:
            acts_at = given_up_at + SETTLE * world.chaos.share()
        settles = SETTLE if family.behaviour.rotation is Rotation.ROTATES else 0
        post = Post(
            key=family.key, credential=credential, behaviour=family.behaviour, answer=answer, sent_at=now,
            given_up_at=given_up_at, settled_at=given_up_at + settles,
        )  # fmt: skip
        world.tell_post(worker, post)
        world.authority.posts.append(post)
        worker.timeline.at(acts_at, lambda: world.authority.settle(post))
        if answer in CLOSED or answer not in _NEVER_ANSWERED:
            post.given_up_at = min(acts_at + 0.01, given_up_at)
        return post

    def _arrive(self, post: Post) -> None:
        """The answer is there, or the connection has ended, or the client's patience."""
        if post.answer in CLOSED:
            post.settled_at = self.edge.worker.timeline.now
            raise Undetermined("closed", peer_closed=True)
        if post.reply is None:
            raise Undetermined("timeout")
        post.arrived = True
        post.settled_at = self.edge.worker.timeline.now


_NEVER_ANSWERED = frozenset({Answer.NEVER_ARRIVES, Answer.SILENT, Answer.LATE})


def _meant(fate: Fate, answer: Answer) -> Answer:
    """Translate a port's fate into what the network and the server do."""
    return _MEANT.get(fate, answer)


_MEANT = {
    Fate.REFUSED: Answer.UNREACHABLE,
    Fate.LOST: Answer.SILENT,
    Fate.REPEATED: Answer.CLOSED_AFTER,
    Fate.HANG: Answer.LATE,
}
