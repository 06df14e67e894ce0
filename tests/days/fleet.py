"""A deployment in virtual time: the real dispatcher, engine, guard and adapters, a process for each busy function.

Invocations are the simulation's greenlets: they overlap, wait and are killed as there. Left out, because the schedules
of `tests/simulation` have them: workers that die, calls that hang, duplicated messages, lost ticks one by one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Final, cast

from consentry.aws import connections, dynamodb, escrow, health, registry
from consentry.aws.connections import SHARDS, DynamoConnections
from consentry.aws.erasures import DynamoErasures
from consentry.aws.escrow import SqsEscrow
from consentry.aws.health import DynamoHealth
from consentry.aws.registry import DynamoIntegrations, SqsRefreshQueue
from consentry.connect.store import Arrival, StoreTokens
from consentry.errors import ConsentryError
from consentry.model import ConnectionKey, Secret
from consentry.model import Grant as GrantType
from consentry.oauth.provider import Rotation
from consentry.oauth.wire import TokenGrant
from consentry.refresh.dispatch import Dispatch, RegisteredLimits
from consentry.refresh.engine import RefreshConnection
from consentry.refresh.guard import Guard
from consentry.web import work as functions
from tests.days.edge import (
    Calendar,
    Invocation,
    Line,
    LineClock,
    LineDynamo,
    LineProvider,
    Numbered,
    line_envelopes,
    line_secrets,
    line_sqs,
)
from tests.days.plan import DOWN, MISTAKEN, Plan, Service
from tests.days.providers import Grant, Mood, Providers
from tests.days.queues import Message, Queue, Queues
from tests.days.store import OrderedDynamo
from tests.days.watch import Watch
from tests.simulation.stand_ins import standing_in
from tests.simulation.timeline import Worker
from tests.support.catalogue import FakeCatalogue
from tests.support.engines import engine_of
from tests.support.tables import create_tables, template

HINTS: Final = "refresh-queue"
ESCROW: Final = "escrow-queue"
EPOCH: Final = 1
MIN_REFRESH_SECONDS: Final = 60
_CONSENT_SECONDS: Final = 29.0
_LATEST_TICK: Final = 1.5
_SKEW: Final = 2.0
_RENEWED: Final = 0.005  # how often a process is replaced by a new one, which remembers nothing
_FORCED: Final = -1


def timeout_of(function: str) -> float:
    return float(template()["Resources"][function]["Properties"]["Timeout"])


def at_once() -> int:
    """Return how many refresh functions the queue keeps busy unless told otherwise."""
    return int(template()["Parameters"]["RefreshConcurrency"]["Default"])


def batch_size() -> int:
    return int(template()["Resources"]["RefreshFunction"]["Properties"]["Events"]["Hints"]["Properties"]["BatchSize"])


class Fleet:
    """Implements `edge.World`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.timeline = Calendar()
        self.began = self.timeline.now
        self.random = Random(plan.seed)  # noqa: S311 - a month that can be repeated
        self.providers = Providers(lambda: self.timeline.now)
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.failed_calls: Counter[str] = Counter()
        self.catalogue = FakeCatalogue(*(each.provider for each in plan.services))
        self.dynamo = OrderedDynamo("test-ConnectionsTable")
        create_tables(self.dynamo.as_client)
        self.watch = Watch(plan, self.timeline, self.providers, self.dynamo)
        self.dynamo.told = self.watch.written
        visible = {url: template()["Resources"][name]["Properties"]["VisibilityTimeout"] for url, name in _QUEUES}
        self.hints = Queue(
            self.timeline, self._hinted, visibility=visible[HINTS], at_once=at_once(), batch=batch_size()
        )
        self.kept = Queue(self.timeline, self._restored, visibility=visible[ESCROW], at_once=2, batch=1)
        self.queues = Queues({HINTS: self.hints, ESCROW: self.kept}, self.random.random)
        self.randomness = Numbered(self.random)
        self.line = Line(self)
        self._engines: dict[int, RefreshConnection] = {}
        self._lasts = {name: timeout_of(name) for name in ("RefreshFunction", "RefreshDispatchFunction")}
        self._lasts["EscrowFunction"] = timeout_of("EscrowFunction")
        for service in plan.services:
            self._register(service)
        self.dispatch = self._dispatcher()

    def tell_opening(self, worker: Worker, key: str, *, known: bool) -> None:
        """Take it as it is: nobody replaces keys in these weeks."""

    def _register(self, service: Service) -> None:
        item = {"integration": {"S": service.id}, "provider": {"S": service.id}, "client_id": {"S": "client"}}
        self.dynamo.put_item(TableName="test-IntegrationsTable", Item=item)

    # the world of the ports

    @property
    def elapsed(self) -> float:
        return self.timeline.now - self.began

    def storage_error_rate(self) -> float:
        return self.plan.storage_errors if self.plan.storage_trouble.holds(self.elapsed) else 0.0

    def mood_of(self, integration: str) -> Mood:
        outage = self.plan.provider_outage
        if integration == DOWN and outage.holds(self.elapsed):
            return Mood.FAILING if self.elapsed < outage.start + outage.seconds / 2 else Mood.SILENT
        if integration == MISTAKEN and self.plan.mistaken_hour.holds(self.elapsed):
            return Mood.MISTAKEN
        return Mood.WELL

    def asked(self, grant: Grant, mood: Mood, invocation: Invocation) -> None:
        self.watch.asked(grant, mood, forced=invocation.kind == "forced")

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Logs become observations, threads become turns, and the adapters' slow parts fast ones, until this ends."""
        with standing_in(self.watch.logged, (dynamodb, connections, escrow, health, registry)):
            try:
                yield
            finally:
                self.timeline.close()

    # wiring

    @property
    def connections(self) -> DynamoConnections:
        return DynamoConnections(cast("Any", LineDynamo(self.line)), "test-ConnectionsTable")

    @property
    def health(self) -> DynamoHealth:
        return DynamoHealth(cast("Any", LineDynamo(self.line)), "test-IntegrationsTable")

    def _clock(self) -> LineClock:
        return LineClock(self.timeline, _SKEW * (2 * self.random.random() - 1))

    def _engine(self) -> RefreshConnection:
        clock = self._clock()
        ports = {
            "clock": clock,
            "randomness": self.randomness,
            "connections": self.connections,
            "erasures": DynamoErasures(cast("Any", LineDynamo(self.line)), "test-ConnectionsTable"),
            "catalogue": self.catalogue,
            "secrets": line_secrets(self.line),
            "envelopes": line_envelopes(self.line),
            "provider_client": LineProvider(self),
            "escrow": SqsEscrow(line_sqs(self.line), ESCROW),
            "guard": Guard(clock=clock, randomness=self.randomness, records=self.health),
            "epoch": EPOCH,
            "min_refresh_seconds": MIN_REFRESH_SECONDS,
        }
        return engine_of(ports)

    def _engine_of(self, instance: int) -> RefreshConnection:
        if instance not in self._engines or self.random.random() < _RENEWED:
            self._engines[instance] = self._engine()
        return self._engines[instance]

    def _dispatcher(self) -> Dispatch:
        integrations = DynamoIntegrations(cast("Any", LineDynamo(self.line)), "test-IntegrationsTable")
        return Dispatch(
            clock=self._clock(),
            index=self.connections,
            queue=SqsRefreshQueue(line_sqs(self.line), HINTS),
            rates=self.health,
            limits=RegisteredLimits(integrations, self.catalogue),
            shards=SHARDS,
        )

    # invocations

    def _start(self, kind: str, body: Callable[[], None], lives: float, over: Callable[[bool], None]) -> None:
        invocation = Invocation(self.timeline, kind, lambda _worker: body(), lives=lives)
        invocation.kind = kind
        invocation.on_end.append(over)

    def tick(self) -> None:
        """One run of the dispatcher, unless it is out of order."""
        if self.plan.dispatcher_outage.holds(self.elapsed):
            return

        def sweep() -> None:
            self.watch.sweep_began()
            try:
                functions.tick(self.dispatch)
            except ConsentryError:
                self.watch.counts["sweeps failed"] += 1
            else:
                self.watch.sweep_ended()

        late = _LATEST_TICK * self.random.random()
        self.timeline.at(
            self.timeline.now + late,
            lambda: self._start("dispatch", sweep, self._lasts["RefreshDispatchFunction"], lambda _survived: None),
        )

    def _hinted(self, instance: int, some: Sequence[Message], done: Callable[[Message, bool], None]) -> None:
        engine = self._engine_of(instance)
        for message in some:
            self._invoke("hinted", engine, {"Records": [_record(message)]}, partial(done, message))

    def force(self, key: ConnectionKey, rejected: int) -> None:
        """A reader's token has ended: it asks for another itself."""
        event = {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": rejected}
        self._invoke("forced", self._engine_of(_FORCED), event, lambda _handled: None)

    def _invoke(
        self, kind: str, engine: RefreshConnection, event: Mapping[str, Any], over: Callable[[bool], None]
    ) -> None:
        handled = False
        began = self.timeline.now

        def body() -> None:
            nonlocal handled
            handled = not functions.work(event, engine).get("batchItemFailures")

        def ended(survived: bool) -> None:
            self.watch.worked(kind, self.timeline.now - began, survived=survived)
            over(survived and handled)

        self._start(kind, body, self._lasts["RefreshFunction"], ended)

    def _restored(self, _instance: int, some: Sequence[Message], done: Callable[[Message, bool], None]) -> None:
        (message,) = some
        handled = False

        def body() -> None:
            nonlocal handled
            queue = SqsEscrow(line_sqs(self.line), ESCROW)
            answer = functions.restore({"Records": [_record(message)]}, queue, self.connections)
            handled = not answer["batchItemFailures"]

        self._start(
            "restore", body, self._lasts["EscrowFunction"], lambda survived: done(message, survived and handled)
        )

    # people

    def connect(self, key: ConnectionKey, service: Service, lifetime: int | None) -> None:
        """The customer consents, for the first time or again."""
        self._start("consent", partial(self._consent, key, service, lifetime), _CONSENT_SECONDS, lambda _survived: None)

    def _consent(self, key: ConnectionKey, service: Service, lifetime: int | None) -> None:
        table, provider = self.connections, service.provider
        store = StoreTokens(
            clock=self._clock(),
            randomness=self.randomness,
            connections=table,
            envelopes=line_envelopes(self.line),
            epoch=EPOCH,
            min_refresh_seconds=MIN_REFRESH_SECONDS,
        )
        grant = self.providers.consent(key, provider.refresh, lifetime)
        try:
            before = table.read(key)
            store(self._arrival(grant, service), store.sealing_keys(key), before)
        except ConsentryError:
            self.watch.counts["consents failed"] += 1

    def _arrival(self, grant: Grant, service: Service) -> Arrival:
        remint = service.provider.refresh.rotation is Rotation.REMINT
        credential = Secret(grant.credential)
        tokens = TokenGrant(
            access_token=Secret(self.providers.access_token(grant)), token_type="Bearer",
            expires_in_seconds=grant.lifetime, refresh_token=None if remint else credential, scopes=None, metadata={},
            account="",
        )  # fmt: skip
        arrival = Arrival(
            key=grant.key, provider=service.provider, grant_type=GrantType.AUTHORIZATION_CODE, client_id="client",
            tokens=tokens,
        )  # fmt: skip
        if not remint:
            return arrival
        typed_in = {"client_id": Secret("customer"), "client_secret": credential}
        return replace(arrival, grant_type=GrantType.CLIENT_CREDENTIALS, credentials=typed_in)


_QUEUES: Final = ((HINTS, "RefreshQueue"), (ESCROW, "EscrowQueue"))


def _record(message: Message) -> dict[str, str]:
    return {"messageId": "message", "body": message.body}
