"""One simulated deployment: the real engine, dispatcher and adapters among simulated tables, queues and people."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from consentry.aws import connections, dynamodb, erasures, escrow, health, removals
from consentry.aws.connections import DynamoConnections
from consentry.aws.erasures import DynamoErasures
from consentry.aws.escrow import SqsEscrow
from consentry.aws.health import DynamoHealth
from consentry.aws.registry import SqsRefreshQueue
from consentry.aws.removals import DynamoRemovals
from consentry.connect.store import Arrival, StoreTokens, refuse_what_is_removed
from consentry.errors import ConsentryError
from consentry.model import ConnectionKey, Grant, Removal, Secret
from consentry.oauth.provider import Provider, RefreshBehaviour, Revocation, Rotation
from consentry.oauth.wire import TokenGrant
from consentry.refresh import erasing
from consentry.refresh.dispatch import Dispatch
from consentry.refresh.engine import RefreshConnection
from consentry.refresh.guard import Guard
from consentry.refresh.health import Health, Limits
from consentry.web import work as functions
from tests.simulation.authority import Authority, Post
from tests.simulation.edges import (
    REVOKE_PATH,
    Edge,
    Keys,
    Numbered,
    WorkerClock,
    WorkerDynamo,
    WorkerEnvelopes,
    WorkerProvider,
    WorkerSecrets,
    WorkerSqs,
    opened,
)
from tests.simulation.faults import Chaos
from tests.simulation.queue import Message, SimulatedQueues
from tests.simulation.stand_ins import standing_in
from tests.simulation.timeline import Timeline, Worker
from tests.simulation.watch import Case, Watch, key_of
from tests.support.catalogue import CRM, METRICS, FakeCatalogue
from tests.support.dynamo import MemoryDynamo
from tests.support.engines import engine_of
from tests.support.expressions import Item

FUNCTION_SECONDS: Final = 45.0
DISPATCH_SECONDS: Final = 50.0
MIN_REFRESH_SECONDS: Final = 60
HINTS: Final = "refresh-queue"
ESCROW: Final = "escrow-queue"
SHARDS: Final = 2  # fewer than the real ones: a few connections do not fill more
TABLE: Final = "connections"
INTEGRATIONS: Final = "integrations"
EPOCH: Final = 1
SKEW: Final = 5.0
_CONVERTING: Final = (
    dynamodb,
    connections,
    erasures,
    escrow,
    health,
    removals,
)  # who converts items, each by a name of its own
_SCHEMA: Final = {
    "TableName": TABLE,
    "KeySchema": [
        {"AttributeName": "tenant", "KeyType": "HASH"},
        {"AttributeName": "connection", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "due_shard", "KeyType": "HASH"},
                {"AttributeName": "due_at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["gen", "enqueued_until"]},
        },
        {
            "IndexName": "account",
            "KeySchema": [
                {"AttributeName": "client_account", "KeyType": "HASH"},
                {"AttributeName": "connection", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
    ],
}


def _kind(name: str, rotation: Rotation, revocation: Revocation, grace: int = 0) -> Provider:
    base = METRICS if rotation is Rotation.REMINT else CRM
    behaviour = RefreshBehaviour(rotation=rotation, reuse_grace_seconds=grace)
    url = f"https://api.crm.test{REVOKE_PATH}"
    return replace(base, id=name, refresh=behaviour, revocation_url=url, revocation=revocation)


# `bare` gives no refresh token at all.
KINDS: Final = {
    "strict": _kind("strict", Rotation.ROTATES, Revocation.TOKEN),
    "grace": _kind("grace", Rotation.ROTATES, Revocation.GRANT, 600),
    "none": _kind("none", Rotation.NONE, Revocation.UNKNOWN),
    "remint": _kind("remint", Rotation.REMINT, Revocation.TOKEN),
    "bare": _kind("bare", Rotation.NONE, Revocation.TOKEN),
}


_REGISTRATIONS: Final = {
    "TableName": INTEGRATIONS,
    "KeySchema": [{"AttributeName": "integration", "KeyType": "HASH"}],
}
# Integrations here have three connections at most: less must be enough to open a breaker, or to hold.
TOUCHY: Final = Limits(least_failures=2, least_gone=1, gone_share=0, hold_seconds=1800)


class World:
    """Implements `edges.World`. Workers are started here, and observed until they end."""

    def __init__(self, chaos: Chaos) -> None:
        self.timeline = Timeline()
        self.chaos = chaos
        self.randomness = Numbered(chaos)
        self.authority = Authority(lambda: self.timeline.now)
        self.rows: dict[ConnectionKey, Item] = {}
        self.watch = Watch(self.timeline, self.authority, lambda: self.rows)
        self.authority.told_of_reuse = self.watch.reused
        self.dynamo = MemoryDynamo(self._written)
        self.dynamo.create_table(**_SCHEMA)
        self.dynamo.create_table(**_REGISTRATIONS)
        self.limits = Limits()
        self.rates: Mapping[str, int] = {}
        self.remembered: dict[str, tuple[int, Health]] | None = None
        deliver = {HINTS: (self._deliver_hint, 270.0), ESCROW: (self._deliver_escrow, 180.0)}
        self.queues = SimulatedQueues(self.timeline, chaos, deliver)
        self.kinds: dict[ConnectionKey, str] = {}
        self.lifetimes: dict[ConnectionKey, int] = {}
        self.catalogue = FakeCatalogue(*KINDS.values())
        self.failed: set[Worker] = set()
        self.posted: Callable[[Post], None] = lambda _post: None
        self.give_up_seconds = erasing.GIVE_UP_SECONDS
        self.keys: Callable[[], Keys] = Keys
        self.ended_keys: set[str] = set()

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Logs become observations, threads become turns, and the adapters' slow parts fast ones, until this ends."""
        patience = (erasing, "GIVE_UP_SECONDS", self.give_up_seconds)
        with standing_in(self._logged, _CONVERTING, (connections, "SHARDS", SHARDS), patience):
            try:
                yield
            finally:
                self.timeline.close()

    def _logged(self, message: str, fields: Mapping[str, object] | None = None, *, level: str = "info") -> None:
        if message == "refresh" and self.timeline.running and fields:
            generation = fields["gen"]
            assert isinstance(generation, int)
            self.watch.answered(self.timeline.running, str(fields["outcome"]), generation)
        elif message == "connection erased" and self.timeline.running and fields:
            self.watch.erased(self.timeline.running, bool(fields["revoked"]), str(fields["detail"]))
        elif message == "unforeseen":
            self.watch.require(False, "an unforeseen error", fields)

    def _written(self, table: str, before: Item | None, after: Item | None) -> None:
        if table == INTEGRATIONS:
            return
        if after:
            self.rows[key_of(after)] = after
        elif before:
            self.rows.pop(key_of(before))
        self.watch.written(table, before, after)

    def tell_post(self, worker: Worker, post: Post) -> None:
        waiting = set(self._escrowed()) - self.watch.committed
        again = any(self.authority.issued[each].derived_from == post.credential for each in waiting)
        self.watch.require(not (again and post.rotates), "I-03: sent again while its successor waits", post.key)
        self.watch.post(worker, post)
        self.posted(post)

    def tell_opening(self, worker: Worker, key: str, *, known: bool) -> None:
        self.watch.require(known and key not in self.ended_keys, "K-01: under a key that its reader has not", key)

    def tell_repeat(self, worker: Worker, operation: str) -> None:
        self.watch.cases[worker].uncertain |= operation == "update_item"

    def tell_revocation(self, worker: Worker, credential: str) -> None:
        self.watch.revocation(worker, credential)

    # workers

    def start(self, case: Case, body: Callable[[Edge], None], *, lives: float = 0) -> Worker:
        whose = case.keys[0].tenant[-1] if len(case.keys) == 1 else ""
        name = f"{case.kind}-{len(self.timeline.workers)}{whose}"
        worker = Worker(
            self.timeline, name, lambda worker: body(Edge(self, worker, self.keys())), lives=lives or FUNCTION_SECONDS
        )
        worker.skew = SKEW * (2 * self.chaos.share() - 1)
        self.watch.cases[worker] = case
        worker.on_end.append(lambda _survived: self.watch.ended(worker, escrowed=self._escrowed))
        return worker

    def _escrowed(self) -> list[str]:
        kept = [escrow.kept(message.body) for message in self.queues.open if message.queue == ESCROW]
        tokens = [commit.set_attributes["access_token"] for commit in kept]
        return [opened(each) for each in tokens if isinstance(each, bytes)]

    def connections(self, edge: Edge) -> DynamoConnections:
        return DynamoConnections(cast("Any", WorkerDynamo(edge)), TABLE)

    def engine(self, edge: Edge, epoch: int = EPOCH) -> RefreshConnection:
        ports = {
            "clock": WorkerClock(edge.worker),
            "randomness": self.randomness,
            "connections": self.connections(edge),
            "guard": self._guard(edge),
            "catalogue": self.catalogue,
            "secrets": WorkerSecrets(edge),
            "envelopes": WorkerEnvelopes(edge),
            "provider_client": WorkerProvider(edge),
            "escrow": SqsEscrow(cast("Any", WorkerSqs(edge)), ESCROW),
            "erasures": DynamoErasures(cast("Any", WorkerDynamo(edge)), TABLE),
            "epoch": epoch,
            "min_refresh_seconds": MIN_REFRESH_SECONDS,
        }
        return engine_of(ports)

    def health(self, edge: Edge) -> DynamoHealth:
        return DynamoHealth(cast("Any", WorkerDynamo(edge)), INTEGRATIONS)

    def _guard(self, edge: Edge) -> Guard:
        """Each worker is a process of its own, or all of them are the same one."""
        known = {} if self.remembered is None else self.remembered
        clock, records = WorkerClock(edge.worker), self.health(edge)
        return Guard(clock=clock, randomness=self.randomness, records=records, limits=self.limits, _known=known)

    def invoke(self, key: ConnectionKey, event: Mapping[str, Any], kind: str, *, epoch: int = EPOCH) -> Worker:
        return self.start(
            Case(kind=kind, keys=(key,)), lambda edge: self._answer(functions.work(event, self.engine(edge, epoch)))
        )

    def _answer(self, answer: Mapping[str, Any]) -> None:
        failed = bool(answer.get("batchItemFailures"))
        self.timeline.note("failed" if failed else "done")
        if failed and self.timeline.running:
            self.failed.add(self.timeline.running)

    def force(self, key: ConnectionKey, rejected: int, *, epoch: int = EPOCH) -> None:
        """A consumer's token was rejected, or has ended."""
        event = {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": rejected}
        self.invoke(key, event, "forced", epoch=epoch)

    def _deliver_hint(self, message: Message, handled: Callable[[bool], None]) -> None:
        hint = json.loads(message.body)
        key = ConnectionKey.from_sort_key(hint["tenant"], hint["connection"])
        event = {"Records": [{"messageId": message.id, "body": message.body}]}
        worker = self.invoke(key, event, "hinted")
        worker.on_end.append(lambda survived: handled(survived and worker not in self.failed))

    def _deliver_escrow(self, message: Message, handled: Callable[[bool], None]) -> None:
        event = {"Records": [{"messageId": message.id, "body": message.body}]}

        def restore(edge: Edge) -> None:
            queue = SqsEscrow(cast("Any", WorkerSqs(edge)), ESCROW)
            self._answer(functions.restore(event, queue, self.connections(edge)))

        worker = self.start(Case(kind="restore", keys=tuple(self.kinds)), restore, lives=30.0)
        worker.on_end.append(lambda survived: handled(survived and worker not in self.failed))

    def tick(self) -> None:
        """One run of the dispatcher."""

        def sweep(edge: Edge) -> None:
            queue = SqsRefreshQueue(cast("Any", WorkerSqs(edge)), HINTS)
            dispatch = Dispatch(
                clock=WorkerClock(edge.worker),
                index=self.connections(edge),
                queue=queue,
                rates=self.health(edge),
                limits=lambda: self.rates,
                shards=SHARDS,
            )
            try:
                functions.tick(dispatch)
            except ConsentryError:
                self.timeline.note("tick failed")

        self.start(Case(kind="dispatch", keys=tuple(self.kinds)), sweep, lives=DISPATCH_SECONDS)

    def connect(self, key: ConnectionKey, kind: str, lifetime: int) -> None:
        """The customer consents, for the first time or again."""
        self.kinds[key] = kind
        self.lifetimes[key] = lifetime
        self.start(Case(kind="consent", keys=(key,)), partial(self._consent, key, kind, lifetime), lives=29.0)

    def _consent(self, key: ConnectionKey, kind: str, lifetime: int, edge: Edge) -> None:
        provider, clock = KINDS[kind], WorkerClock(edge.worker)
        table, envelopes = self.connections(edge), WorkerEnvelopes(edge)
        store = StoreTokens(
            clock=clock,
            randomness=self.randomness,
            connections=table,
            envelopes=envelopes,
            epoch=EPOCH,
            min_refresh_seconds=MIN_REFRESH_SECONDS,
        )
        try:
            before = table.read(key)
            refuse_what_is_removed(before, clock.now())
            keys = store.sealing_keys(key)
            store(self._arrival(key, provider, kind, lifetime), keys, before)
        except ConsentryError as error:
            self.timeline.note(f"consent failed: {error.code}")

    def disconnect(self, key: ConnectionKey) -> None:
        """The customer disconnects; who is not answered says so again."""
        self.start(Case(kind="disconnect", keys=(key,)), partial(self._disconnect, key), lives=29.0)

    def _disconnect(self, key: ConnectionKey, edge: Edge) -> None:
        table = DynamoRemovals(cast("Any", WorkerDynamo(edge)), TABLE)
        try:
            marked = table.mark(key, now=WorkerClock(edge.worker).now(), removal=Removal.REVOKE)
        except ConsentryError as error:
            self.timeline.note(f"disconnect failed: {error.code}")
        else:
            self.timeline.note(f"disconnect: {marked}")

    def _arrival(self, key: ConnectionKey, provider: Provider, kind: str, lifetime: int) -> Arrival:
        issued = self.authority.consent(key, provider.refresh, lifetime)
        remint = provider.refresh.rotation is Rotation.REMINT
        credential = Secret(issued.refresh_token)
        tokens = TokenGrant(
            access_token=Secret(issued.access_token), token_type="Bearer", expires_in_seconds=lifetime,
            refresh_token=None if remint or kind == "bare" else credential, scopes=None, metadata={},
            account=key.tenant,
        )  # fmt: skip
        return Arrival(
            key=key, provider=provider, grant_type=Grant.CLIENT_CREDENTIALS if remint else Grant.AUTHORIZATION_CODE,
            client_id="client", tokens=tokens, account=key.tenant,
            credentials={"client_id": Secret("customer"), "client_secret": credential} if remint else {},
        )  # fmt: skip
