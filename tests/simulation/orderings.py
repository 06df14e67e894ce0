"""Two consents, a refresh and a disconnect of one connection, in every order of their steps (S-28, S-45).

`python -m tests.simulation.orderings` plays all of them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Semaphore, Thread, local
from typing import Any, Final, cast

from consentry.aws.connections import DynamoConnections
from consentry.aws.dynamodb import to_item
from consentry.model import Connection, ConnectionKey, Removal, Status
from consentry.ports import Commit, CommitOutcome
from consentry.refresh.engine import RefreshConnection
from consentry.refresh.guard import Guard
from tests.support.catalogue import FakeCatalogue
from tests.support.deployment import INTEGRATIONS, Browser, Deployment, query_of
from tests.support.dynamo import MemoryDynamo
from tests.support.engines import engine_of
from tests.support.escrow import FakeEscrow
from tests.support.families import ALONE, Families
from tests.support.logs import recorded
from tests.support.tables import create_tables

KEY: Final = ConnectionKey("acme", "crm")
OLD, ONE, TWO = "CNRY-code-old", "CNRY-code-one", "CNRY-code-two"
# Who takes how many steps: a consent reads the record, redeems its code, and commits; a refresh asks, and commits.
STEPS: Final = {"one": 3, "two": 3, "refresh": 2, "disconnect": 1}
STAYING: Final = {"one": 3, "two": 3, "refresh": 2}  # nobody disconnects


@dataclass
class Turns:
    """Actors in threads of their own, of which one runs at a time: each waits before a step until it is its turn."""

    mine: local = field(default_factory=local)
    _paused: Semaphore = field(default_factory=lambda: Semaphore(0))
    _go: dict[str, Semaphore] = field(default_factory=dict)
    _alive: set[str] = field(default_factory=set)

    def start(self, name: str, act: Callable[[], object]) -> Thread:
        self._go[name] = Semaphore(0)
        self._alive.add(name)
        thread = Thread(target=self._run, args=(name, act), daemon=True)
        thread.start()
        self._await()
        return thread

    def _run(self, name: str, act: Callable[[], object]) -> None:
        self.mine.name = name
        try:
            self.step()
            act()
        finally:
            self._alive.discard(name)
            self._paused.release()

    def step(self) -> None:
        """Give the turn away, if this thread is an actor's."""
        name = getattr(self.mine, "name", "")
        if name:
            self._paused.release()
            assert self._go[name].acquire(timeout=20)

    def let(self, name: str) -> None:
        """Let an actor take its next step; one that has ended takes none."""
        if name in self._alive:
            self._go[name].release()
            self._await()

    def _await(self) -> None:
        assert self._paused.acquire(timeout=20)

    def finish(self) -> None:
        while self._alive:
            self.let(min(self._alive))


class SteppedConnections(DynamoConnections):
    """The real conditions; before tokens are committed, somebody else may go first."""

    turns: Turns

    def commit(self, commit: Commit) -> CommitOutcome:
        self.turns.step()
        return super().commit(commit)


@dataclass
class SteppedProvider(Families):
    turns: Turns = field(default_factory=Turns)

    def send(self, *request: Any, **given: Any) -> Any:  # noqa: ANN401 - handed on
        if b"grant_type=authorization_code" in request[0].body:
            self.turns.step()
        return super().send(*request, **given)


@dataclass
class Table:
    """A connection, everybody who wants something of it, and a provider of which each consent is a grant of its own."""

    deployment: Deployment
    provider: SteppedProvider
    statuses: dict[str, int] = field(default_factory=dict)

    def engine(self) -> RefreshConnection:
        at = self.deployment
        return engine_of({
            "clock": at.clock, "randomness": at.randomness, "connections": at.connections, "erasures": at.erasures,
            "catalogue": at.catalogue, "secrets": at.secrets, "envelopes": at.envelopes,
            "provider_client": self.provider, "escrow": FakeEscrow(), "epoch": 1, "min_refresh_seconds": 60,
            "guard": Guard(clock=at.clock, randomness=at.randomness, records=at.health),
        })  # fmt: skip

    def consented(self, code: str) -> dict[str, str]:
        return query_of(Browser(self.deployment).consents(self.deployment.created(), code=code))

    def completes(self, name: str, back: dict[str, str]) -> Callable[[], object]:
        def act() -> None:
            self.deployment.clock.remaining = 45.0
            self.statuses[name] = self.deployment.completed(back)["statusCode"]

        return act

    def refreshes(self) -> None:
        self.engine()(KEY, rejected_gen=1)

    def disconnects(self) -> None:
        self.deployment.removals.mark(KEY, now=self.deployment.clock.now(), removal=Removal.REVOKE)

    def erased(self) -> None:
        """Let the schedule bring what is marked to its end."""
        for _ in range(4):
            record = self.record
            if record is None or record.status is not Status.DELETING:
                return
            self.deployment.clock.advance(100)
            self.deployment.clock.remaining = 45.0
            self.engine()(KEY)

    @property
    def record(self) -> Connection | None:
        return self.deployment.connections.read(KEY)


def table(*, existing: bool) -> Table:
    client = MemoryDynamo().as_client
    names = create_tables(client)
    client.put_item(TableName=names["IntegrationsTable"], Item=to_item(INTEGRATIONS[0]))
    deployment = Deployment(client, names, FakeCatalogue(ALONE))
    deployment.invocation_seconds = 45.0
    turns = Turns()
    connections = SteppedConnections(deployment.dynamo.as_client, names["ConnectionsTable"])
    connections.turns = turns
    deployment.connections = connections
    provider = SteppedProvider(turns=turns)
    deployment.provider = cast("Any", provider)  # a token endpoint client like the scripted one
    made = Table(deployment, provider)
    if existing:
        made.completes("old", made.consented(OLD))()
        deployment.clock.advance(1000)
    return made


def orderings(steps: Mapping[str, int] = STEPS) -> Iterator[tuple[str, ...]]:
    """Every order of everybody's steps; the two consents differ in nothing, so that one of them may always begin."""

    def after(left: dict[str, int]) -> Iterator[tuple[str, ...]]:
        if not any(left.values()):
            yield ()
        for name, more in left.items():
            if more and not (name == "two" and left["one"] == STEPS["one"]):
                yield from ((name, *rest) for rest in after({**left, name: more - 1}))

    return after(dict(steps))


def play(at: Table, order: Sequence[str]) -> None:
    turns = at.provider.turns
    back = [at.consented(code) for code in (ONE, TWO)]
    turns.start("one", at.completes("one", back[0]))
    turns.start("two", at.completes("two", back[1]))
    turns.start("refresh", at.refreshes)
    if "disconnect" in order:
        turns.start("disconnect", at.disconnects)
    for name in order:
        turns.let(name)
    turns.finish()


def require(holds: object, what: str, order: Sequence[str]) -> None:
    if not holds:
        message = f"{what}: {' '.join(order)}"
        raise AssertionError(message)


def check(order: Sequence[str], *, existing: bool) -> tuple[str, int, int]:
    """Play one order; return whose grant is stored in the end, and what the two were answered."""
    at = table(existing=existing)
    play(at, order)
    at.erased()
    record, kept = at.record, at.provider.kept(at.deployment, KEY)
    answered = (at.statuses["one"], at.statuses["two"])
    require(at.provider.live - {OLD} == {kept} - {"", OLD}, "a consent's grant is left behind, or ended in use", order)
    require(record is None or kept, "what is stored does not work", order)
    require(409 in answered, "two consents have replaced each other", order)
    # The grant that was there before lives on only in its record, or where a consent has replaced it.
    require(OLD not in at.provider.live or kept == OLD or 200 in answered, "the old grant is left behind", order)
    return kept, *answered


def main() -> int:
    with recorded():
        for existing, steps in ((False, STEPS), (True, STEPS), (True, STAYING)):
            ends = [check(order, existing=existing) for order in orderings(steps)]
            sys.stderr.write(f"existing={existing}: {len(ends)} orders, {len(set(ends))} ends: {sorted(set(ends))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
