"""Finding what is due: most urgent first, level-triggered, with the index's real expressions and pages."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from consentry.aws import connections
from consentry.aws.connections import SHARDS, shard_of
from consentry.aws.dynamodb import to_item
from consentry.aws.health import DynamoHealth
from consentry.aws.registry import DynamoIntegrations
from consentry.model import ConnectionKey, Removal
from consentry.ports import Due, RefreshHint, StorageUnavailable
from consentry.refresh.dispatch import ENQUEUED_SECONDS, Dispatch, Dispatched, RegisteredLimits
from consentry.refresh.health import Health, IntegrationRates
from consentry.refresh.policy import Outcome
from tests.support.catalogue import CRM, FakeCatalogue
from tests.support.clock import FakeClock
from tests.support.deployment import INTEGRATIONS, Deployment
from tests.support.dynamo import MemoryDynamo
from tests.support.tables import create_tables
from tests.support.vaulted import Vaulted


class FakeQueue:
    def __init__(self) -> None:
        self.calls: list[list[RefreshHint]] = []
        self.delays: list[int] = []
        self.refuse: set[RefreshHint] = set()

    def send(self, hints: Sequence[tuple[RefreshHint, int]]) -> Sequence[RefreshHint]:
        self.calls.append([hint for hint, _ in hints])
        self.delays += [delay for _, delay in hints]
        return [hint for hint, _ in hints if hint not in self.refuse]

    @property
    def sent(self) -> list[RefreshHint]:
        return [hint for call in self.calls for hint in call]


class Sweep:
    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.queue = FakeQueue()
        deployment.clock.remaining = 50.0

    def connect(self, tenant: str, *, lifetime: int = 1800, integration: str = "crm") -> Vaulted:
        made = Vaulted(self.deployment)
        made.key = ConnectionKey(tenant, integration)
        made.connect(expires_in=lifetime)
        self.deployment.clock.remaining = 50.0
        return made

    def connect_many(self, number: int, *, integration: str = "crm") -> list[Vaulted]:
        """Make so many connections, all of them due now."""
        made = [self.connect(f"tenant-{each}", integration=integration) for each in range(number)]
        self.deployment.clock.advance(1800)
        return made

    def dispatch(self, rates: IntegrationRates | None = None, clock: FakeClock | None = None) -> Dispatch:
        deployment = self.deployment
        return Dispatch(
            clock=clock or deployment.clock,
            index=deployment.connections,
            queue=self.queue,
            rates=rates or deployment.health,
            limits=RegisteredLimits(deployment.integrations, deployment.catalogue),
            shards=SHARDS,
        )

    def tick(self, rates: IntegrationRates | None = None) -> Dispatched:
        """Sweep once, in an invocation of its own."""
        self.deployment.clock.remaining = 50.0
        return self.dispatch(rates)()

    def limit(self, rate: int | None = None, *, provider: int | None = None) -> None:
        """Limit the integration `crm` to so many requests a minute, or its provider."""
        refresh = replace(CRM.refresh, requests_per_minute=provider)
        self.deployment.catalogue = FakeCatalogue(replace(CRM, refresh=refresh))
        row: dict[str, object] = {"integration": "crm", "provider": "crm", "client_id": "crm-client"}
        self.put(row | ({} if rate is None else {"refreshes_per_minute": rate}))

    def put(self, item: dict[str, object]) -> None:
        table = self.deployment.names["IntegrationsTable"]
        self.deployment.dynamo.client.put_item(TableName=table, Item=to_item(item))

    @property
    def now(self) -> int:
        return self.deployment.clock.now()

    @property
    def health(self) -> Health:
        return self.deployment.health.read("crm")


class PagedDynamo(MemoryDynamo):
    """Counts the pages that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = 0

    def query(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        self.pages += 1
        return super().query(**request)


@pytest.fixture
def paged() -> PagedDynamo:
    return PagedDynamo()


@pytest.fixture
def deployment(paged: PagedDynamo) -> Deployment:
    """A deployment in memory, with the sample integrations: some of these tests make many connections."""
    client = paged.as_client
    names = create_tables(client)
    for each in INTEGRATIONS:
        client.put_item(TableName=names["IntegrationsTable"], Item=to_item(each))
    return Deployment(client, names, FakeCatalogue())


@pytest.fixture
def sweep(deployment: Deployment) -> Sweep:
    return Sweep(deployment)


def test_nothing_due_is_nothing_sent(sweep: Sweep) -> None:
    sweep.connect("acme")
    assert sweep.tick() == Dispatched()
    assert sweep.queue.calls == []


def test_what_is_due_is_sent_once_while_it_is_enqueued(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    made.fall_due()
    assert sweep.tick() == Dispatched(due=1, dispatched=1)
    assert sweep.queue.sent == [RefreshHint(made.key, 1)]
    assert sweep.tick() == Dispatched(due=1)


def test_a_hint_that_was_lost_is_sent_again(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    made.fall_due()
    sweep.tick()
    sweep.deployment.clock.advance(ENQUEUED_SECONDS + 1)
    assert sweep.tick().dispatched == 1


def test_a_hint_the_queue_refused_stays_due(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    made.fall_due()
    sweep.queue.refuse = {RefreshHint(made.key, 1)}
    assert sweep.tick() == Dispatched(due=1)
    sweep.queue.refuse = set()
    assert sweep.tick() == Dispatched(due=1, dispatched=1)


def test_the_most_urgent_go_first_and_ten_to_a_call(sweep: Sweep) -> None:
    made = [sweep.connect(f"tenant-{number}", lifetime=3600 - 60 * number) for number in range(25)]
    sweep.deployment.clock.advance(3600)
    report = sweep.tick()
    assert (report.due, report.dispatched) == (25, 25)
    assert [len(call) for call in sweep.queue.calls] == [10, 10, 5]
    due_at = {each.key: each.record.due_at or 0 for each in made}
    times = [due_at[hint.key] for hint in sweep.queue.sent]
    assert times == sorted(times)
    assert report.oldest_overdue_seconds == sweep.deployment.clock.now() - times[0]


def test_a_tick_that_runs_out_of_time_leaves_the_rest_due(sweep: Sweep) -> None:
    sweep.connect("acme").fall_due()
    sweep.deployment.clock.remaining = 9.0
    assert sweep.dispatch()().dispatched == 0
    assert sweep.tick().dispatched == 1


def test_a_record_that_moved_on_meanwhile_is_not_held_back(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    moved = Due(RefreshHint(made.key, 1), (made.record.due_at or 0) - 1)
    sweep.deployment.connections.mark_enqueued(moved, until=sweep.deployment.clock.now() + 10_000)
    made.fall_due()
    assert sweep.tick().dispatched == 1


def test_the_dispatcher_never_sees_a_record_not_even_one_that_moved_on(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    asked: list[str] = []
    original = sweep.deployment.dynamo.client.update_item

    class Spy:
        def update_item(self, **request: object) -> object:
            asked.append(str(request.get("ReturnValuesOnConditionCheckFailure", "NONE")))
            return original(**request)  # type: ignore[arg-type]  # handed on as it came

    sweep.deployment.connections._client = Spy()  # type: ignore[assignment]  # one call of it is enough
    sweep.deployment.connections.mark_enqueued(Due(RefreshHint(made.key, 7), 1), until=5)
    assert asked == ["NONE"]


def test_a_connection_always_falls_into_the_same_shard() -> None:
    keys = [ConnectionKey("acme", "crm", f"name-{number}") for number in range(200)]
    assert {shard_of(key) for key in keys} == set(range(SHARDS))
    assert all(shard_of(key) == shard_of(replace(key)) for key in keys)


# Rates


def test_without_a_limit_all_are_sent_at_once_and_nothing_is_reserved(sweep: Sweep) -> None:
    sweep.connect_many(12)
    assert sweep.tick().dispatched == 12
    assert sweep.queue.delays == [0] * 12
    assert sweep.health.budget_at == 0


@pytest.mark.parametrize(("of_integration", "of_provider", "sent"), [(None, 4, 4), (6, 4, 6), (2, 4, 2), (3, None, 3)])
def test_a_limit_is_the_integration_s_or_else_the_provider_s(
    sweep: Sweep, of_integration: int | None, of_provider: int | None, sent: int
) -> None:
    sweep.limit(of_integration, provider=of_provider)
    sweep.connect_many(8)
    report = sweep.tick()
    assert (report.due, report.dispatched, report.parked) == (8, sent, 8 - sent)


def test_exactly_so_many_are_sent_a_minute_until_none_is_left(sweep: Sweep) -> None:
    sweep.limit(5)
    sweep.connect_many(17)
    sent = []
    for _ in range(5):
        sent.append(sweep.tick().dispatched)
        sweep.deployment.clock.advance(60)
    assert sent == [5, 5, 5, 2, 0]
    assert len(set(sweep.queue.sent)) == 17


def test_a_minute_s_requests_are_spread_over_the_minute(sweep: Sweep) -> None:
    sweep.limit(6)
    sweep.connect_many(6)
    sweep.tick()
    assert sweep.queue.delays == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_no_delay_reaches_into_the_next_minute_and_they_only_grow(sweep: Sweep, limit: int) -> None:
    sweep.limit(limit)
    sweep.connect_many(12)
    sweep.tick()
    assert len(sweep.queue.delays) == min(limit, 12)
    assert all(0 <= one <= other < 60 for one, other in pairwise([0, *sweep.queue.delays]))


def test_a_delayed_hint_counts_as_on_its_way_until_it_arrived_and_was_worked_on(sweep: Sweep) -> None:
    sweep.limit(2)
    sweep.connect_many(2)
    now = sweep.now
    sweep.tick()
    found = [each for shard in range(SHARDS) for each in sweep.deployment.connections.due(shard, now=now)]
    assert sorted(each.enqueued_until - now for each in found) == [ENQUEUED_SECONDS, ENQUEUED_SECONDS + 30]


def test_a_limit_of_one_a_minute_sends_one_each_minute(sweep: Sweep) -> None:
    sweep.limit(1)
    sweep.connect_many(4)
    sent = []
    for _ in range(4):
        sent.append(sweep.tick().dispatched)
        sweep.deployment.clock.advance(60)
    assert sent == [1, 1, 1, 1]


def test_a_schedule_that_is_a_second_early_and_a_second_late_loses_no_request(sweep: Sweep) -> None:
    sweep.limit(1)
    sweep.connect_many(6)
    for seconds in (59, 61) * 3:
        sweep.tick()
        sweep.deployment.clock.advance(seconds)
    assert len(sweep.queue.sent) >= 5


class Earlier:
    """Rates as another dispatcher reads them before this one has reserved anything."""

    def __init__(self, health: DynamoHealth) -> None:
        self._seen = list(health.all())
        self._health = health

    def all(self) -> Sequence[Health]:
        return self._seen

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else is the real thing
        return getattr(self._health, name)


@pytest.mark.parametrize("known", [False, True])
def test_two_dispatchers_in_the_same_minute_never_exceed_the_limit_together(sweep: Sweep, *, known: bool) -> None:
    sweep.limit(5)
    sweep.connect_many(12)
    if known:
        sweep.tick()
        sweep.deployment.clock.advance(60)
    before = len(sweep.queue.sent)
    other = Earlier(sweep.deployment.health)
    reports = [sweep.tick(), sweep.tick(other), sweep.tick()]
    assert [each.dispatched for each in reports] == [5, 0, 0]
    assert len(sweep.queue.sent) - before == 5


def test_dispatchers_whose_clocks_differ_never_exceed_the_limit_together(sweep: Sweep) -> None:
    sweep.limit(6)
    sweep.connect_many(40)
    began = sweep.now
    clocks = [FakeClock(began, 50.0), FakeClock(began - 5, 50.0), FakeClock(began + 5, 50.0)]
    for _ in range(3):
        for clock in clocks:
            sweep.dispatch(clock=clock)()
            clock.advance(60)
            clock.remaining = 50.0
    assert 6 <= len(sweep.queue.sent) <= 6 * 3 + 1


def test_a_second_dispatcher_finds_nothing_left_however_high_the_limit(sweep: Sweep) -> None:
    sweep.limit(60)
    sweep.connect_many(70)
    assert [sweep.tick().dispatched, sweep.tick().dispatched] == [60, 0]


def test_a_limit_that_is_not_used_up_hides_no_delay(sweep: Sweep) -> None:
    """Hints are sent and nobody works on them: nothing of that is the limit's doing."""
    sweep.limit(100)
    sweep.connect_many(3)
    for _ in range(30):
        sweep.tick()
        sweep.deployment.clock.advance(60)
    assert sweep.tick().oldest_overdue_seconds >= 1800


def test_what_was_not_needed_is_given_back(sweep: Sweep) -> None:
    sweep.limit(10)
    sweep.connect_many(3)
    assert sweep.tick().dispatched == 3
    assert (sweep.health.budget, sweep.health.budget_at) == (7, sweep.now)
    sweep.connect_many(20)
    sweep.deployment.health.give_back("crm", 7, reserved_at=sweep.health.budget_at)
    assert sweep.tick().dispatched == 10


def test_an_integration_that_nothing_is_due_for_reserves_nothing(sweep: Sweep) -> None:
    sweep.limit(10)
    sweep.connect("acme")
    sweep.tick()
    assert sweep.health.budget_at == 0


def test_what_a_limit_holds_back_stays_due_is_not_late_and_lets_others_go_first(sweep: Sweep) -> None:
    sweep.limit(1)
    parked = sweep.connect_many(3)
    due_at = [each.record.due_at for each in parked]
    sweep.deployment.clock.advance(7200)
    sweep.connect("acme", integration="desk").fall_due()
    report = sweep.tick()
    assert (report.due, report.dispatched, report.parked) == (4, 2, 2)
    assert [each.record.due_at for each in parked] == due_at
    sweep.deployment.clock.advance(1)
    report = sweep.tick()
    assert (report.dispatched, report.parked) == (0, 2)


def test_parked_connections_are_not_overdue(sweep: Sweep) -> None:
    sweep.connect_many(2)
    sweep.deployment.health.pause("crm", until=sweep.now + 9999)
    sweep.deployment.clock.advance(5000)
    assert sweep.tick() == Dispatched(due=2, parked=2, failing=1)


def test_what_a_limit_held_back_is_not_late_when_its_turn_comes(sweep: Sweep) -> None:
    sweep.limit(1)
    sweep.connect_many(120)
    for _ in range(59):
        sweep.tick()
        sweep.deployment.clock.advance(60)
    report = sweep.tick()
    assert report.dispatched == 1
    assert report.parked > 100
    assert report.oldest_overdue_seconds < 900


# Breakers


def test_an_open_breaker_sends_nothing_and_others_go_on(sweep: Sweep) -> None:
    sweep.connect_many(5)
    sweep.connect("acme", integration="desk").fall_due()
    sweep.deployment.clock.advance(1000)
    sweep.deployment.health.open("crm", until=sweep.now + 30, opened=1, now=sweep.now)
    report = sweep.tick()
    assert (report.dispatched, report.parked, report.failing) == (1, 5, 1)
    assert [hint.key.integration for hint in sweep.queue.sent] == ["desk"]


def test_a_breaker_half_opens_for_three_and_then_ramps_up(sweep: Sweep) -> None:
    sweep.connect_many(80)
    health, clock = sweep.deployment.health, sweep.deployment.clock
    health.open("crm", until=sweep.now + 30, opened=1, now=sweep.now)
    assert sweep.tick().dispatched == 0
    clock.advance(60)
    report = sweep.tick()
    assert (report.dispatched, report.failing, sweep.queue.delays) == (3, 1, [0, 20, 40])
    clock.advance(59)
    health.recover("crm", now=sweep.now)
    sent = []
    for _ in range(3):
        clock.advance(1)
        sent.append(sweep.tick().dispatched)
        clock.advance(59)
    assert sent == [10, 20, 40]
    assert sweep.tick().failing == 0


def test_what_a_breaker_holds_back_for_hours_is_looked_at_once_an_hour_and_not_asked_about(sweep: Sweep) -> None:
    made, clock = sweep.connect_many(5), sweep.deployment.clock
    sweep.deployment.health.pause("crm", until=sweep.now + 9 * 3600)
    for _ in range(5 * 60):
        clock.advance(60)
        assert sweep.tick().dispatched == 0
    clock.advance(2 * 3600)
    for _ in range(60):
        if sweep.tick().dispatched:
            looked_at = {hint.key for hint in sweep.queue.calls[-1]}
            assert {each.refresh().outcome for each in made if each.key in looked_at} == {Outcome.HELD_BACK}
        clock.advance(60)
    assert sorted(hint.key.tenant for hint in sweep.queue.sent) == [f"tenant-{each}" for each in range(5)]
    assert sweep.deployment.provider.requests == []


def test_a_disconnected_connection_ends_although_a_breaker_stays_open(sweep: Sweep) -> None:
    made, clock = sweep.connect("acme"), sweep.deployment.clock
    sweep.deployment.health.pause("crm", until=sweep.now + 99 * 3600)
    sweep.deployment.removals.mark(made.key, now=sweep.now, removal=Removal.REVOKE)
    ends_by = sweep.now + 32 * 3600
    while sweep.deployment.connections.read(made.key) and sweep.now < ends_by:
        if sweep.tick().dispatched:
            made.refresh()
        clock.advance(60)
    assert sweep.deployment.connections.read(made.key) is None
    assert sweep.deployment.provider.requests == []


def test_what_a_breaker_held_back_is_not_late_when_it_is_probed_with(sweep: Sweep) -> None:
    sweep.connect_many(5)
    sweep.deployment.clock.advance(7200)
    sweep.deployment.health.open("crm", until=sweep.now - 1, opened=1, now=sweep.now - 30)
    report = sweep.tick()
    assert (report.dispatched, report.parked) == (3, 2)
    assert report.oldest_overdue_seconds < 900


def test_probes_do_not_exceed_a_lower_limit(sweep: Sweep) -> None:
    sweep.limit(1)
    sweep.connect_many(5)
    sweep.deployment.health.open("crm", until=sweep.now - 1, opened=1, now=sweep.now - 30)
    assert sweep.tick().dispatched == 1


def test_a_recovery_by_a_clock_that_is_ahead_does_not_end_the_sweep(sweep: Sweep) -> None:
    sweep.connect_many(12)
    sweep.deployment.health.open("crm", until=sweep.now - 1, opened=1, now=sweep.now - 30)
    sweep.deployment.health.recover("crm", now=sweep.now + 5)
    assert sweep.tick().dispatched == 10


def test_what_a_breaker_held_back_is_sent_again_when_it_half_opens(sweep: Sweep) -> None:
    made = sweep.connect_many(3)
    assert sweep.tick().dispatched == 3
    sweep.deployment.health.open("crm", until=sweep.now + 30, opened=1, now=sweep.now)
    assert [each.refresh().outcome for each in made] == [Outcome.HELD_BACK] * 3
    sweep.deployment.clock.advance(60)
    assert sweep.tick().dispatched == 3


# Holds, and how many there are


def test_a_held_integration_is_told_and_still_asked(sweep: Sweep) -> None:
    sweep.connect("acme").fall_due()
    sweep.deployment.health.hold("crm", until=sweep.now + 100, now=sweep.now)
    assert sweep.tick() == Dispatched(due=1, dispatched=1, held=1)
    sweep.deployment.health.release("crm", until=sweep.now + 100)
    assert sweep.tick().held == 0


def test_each_shard_is_counted_at_its_minute_and_all_within_the_hour(sweep: Sweep) -> None:
    made = [sweep.connect(f"tenant-{number}") for number in range(20)]
    sweep.connect("acme", integration="desk")
    sizes = [sum(shard_of(each.key) == shard for each in made) for shard in range(SHARDS)]
    hour = sweep.now - sweep.now % 3600 + 3600
    found = []
    for shard in range(SHARDS):
        for minute in range(7):
            sweep.deployment.clock.time = float(hour + 60 * (7 * shard + minute))
            sweep.tick()
        found.append(sweep.health.connections)
    assert found == [sum(sizes[: shard + 1]) for shard in range(SHARDS)]
    assert sweep.deployment.health.read("desk").connections == 1


def test_a_count_shrinks_as_connections_go(sweep: Sweep) -> None:
    made = [sweep.connect(f"tenant-{number}") for number in range(20)]
    gone = [each for each in made if shard_of(each.key) == 0]
    sweep.deployment.clock.time = float(sweep.now - sweep.now % 3600)
    sweep.tick()
    assert sweep.health.connections == len(gone) > 0
    for each in gone:
        key = to_item({"tenant": each.key.tenant, "connection": each.key.sort_key})
        sweep.deployment.dynamo.client.delete_item(TableName=sweep.deployment.names["ConnectionsTable"], Key=key)
    sweep.deployment.clock.advance(3600)
    sweep.tick()
    assert sweep.health.connections == 0


def test_a_count_that_did_not_change_is_not_in_the_way_of_anything(sweep: Sweep) -> None:
    sweep.connect("acme")
    sweep.deployment.clock.time = float(sweep.now - sweep.now % 3600 + 60 * 7 * shard_of(ConnectionKey("acme", "crm")))
    sweep.tick()
    before = sweep.deployment.health.read("crm")
    sweep.tick()
    assert sweep.deployment.health.read("crm") == before == Health(integration="crm", connections=1)


# Pages


class Impatient(FakeClock):
    """A clock that takes a second of the invocation each time that it is asked."""

    def remaining_seconds(self) -> float:
        self.remaining -= 1
        return self.remaining


def test_several_pages_of_several_shards_are_merged_by_urgency(
    sweep: Sweep, paged: PagedDynamo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PAGE", 2)
    made = [sweep.connect(f"tenant-{number}", lifetime=3600 - 30 * number) for number in range(40)]
    sweep.deployment.clock.advance(3600)
    paged.pages = 0
    assert sweep.tick().dispatched == 40
    assert paged.pages >= 40 / 2
    due_at = {each.key: each.record.due_at or 0 for each in made}
    times = [due_at[hint.key] for hint in sweep.queue.sent]
    assert times == sorted(times)


def test_when_time_runs_out_no_more_than_a_page_of_each_shard_was_read_ahead(
    sweep: Sweep, paged: PagedDynamo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PAGE", 2)
    sweep.connect_many(40)
    paged.pages = 0
    report = sweep.dispatch(clock=Impatient(sweep.now, 20.0))()
    assert report.due == report.dispatched == 10
    assert paged.pages <= SHARDS + report.due // 2
    assert sweep.tick().dispatched == 30


def test_parked_connections_are_walked_past_and_never_gathered(sweep: Sweep) -> None:
    """A thousand times as many as a page holds: only as many as are sent are ever kept."""
    alive: list[int] = []

    class Endless:
        def due(self, shard: int, *, now: int) -> Iterator[Due]:
            for number in range(20_000 if shard == 0 else 0):
                alive.append(number)
                yield Due(RefreshHint(ConnectionKey("acme", "crm", f"n{number}"), 1), now - 20_000 + number)

        def integrations(self, shard: int) -> Iterator[str]:
            return iter(())

        def mark_enqueued(self, due: Due, *, until: int) -> None:
            pass

    sweep.deployment.health.pause("crm", until=sweep.now + 60)
    report = replace(sweep.dispatch(), index=Endless())()
    assert (report.due, report.parked, len(alive)) == (20_000, 20_000, 20_000)
    assert (report.dispatched, report.oldest_overdue_seconds) == (0, 0)


# Trouble


class Broken(Earlier):
    """Rates of which some calls fail."""

    def __init__(self, health: DynamoHealth, *failing: str) -> None:
        super().__init__(health)
        self._failing = failing

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as above
        if name != "_failing" and name in self._failing:
            raise StorageUnavailable("the table is away")
        return super().__getattribute__(name)


@pytest.mark.parametrize("failing", ["all", "reserve", "give_back", "count_connections"])
def test_health_that_cannot_be_reached_does_not_end_the_sweep(sweep: Sweep, failing: str) -> None:
    sweep.limit(10)
    sweep.connect_many(2)
    sweep.connect("acme", integration="desk").fall_due()
    sweep.deployment.clock.time = float(sweep.now - sweep.now % 3600 + 3600)
    report = sweep.tick(Broken(sweep.deployment.health, failing))
    assert RefreshHint(ConnectionKey("acme", "desk"), 1) in sweep.queue.sent
    assert report.due == 3


def test_limits_that_cannot_be_read_are_the_last_known(sweep: Sweep) -> None:
    class Away(DynamoIntegrations):
        def integrations(self) -> Any:  # noqa: ANN401 - it never returns
            raise StorageUnavailable("the table is away")

    sweep.limit(2)
    sweep.connect_many(3)
    limits = RegisteredLimits(sweep.deployment.integrations, sweep.deployment.catalogue)
    limits()
    limits.integrations = Away(sweep.deployment.dynamo.as_client, "nothing")
    sweep.deployment.clock.remaining = 50.0
    assert replace(sweep.dispatch(), limits=limits)().dispatched == 2
    never = RegisteredLimits(limits.integrations, limits.catalogue)
    assert replace(sweep.dispatch(), limits=never)().dispatched == 1


@pytest.mark.parametrize("name", ["open_until", "paused_until", "hold_until", "budget", "budget_at", "connections_0"])
def test_nonsense_in_a_health_item_stops_nobody(sweep: Sweep, name: str) -> None:
    sweep.limit(10)
    sweep.connect_many(2)
    sweep.connect("acme", integration="desk").fall_due()
    sweep.put({"integration": "crm#health", name: "soon"})
    assert sweep.tick().dispatched >= 1
    assert RefreshHint(ConnectionKey("acme", "desk"), 1) in sweep.queue.sent


@pytest.mark.parametrize("mistake", [{"refreshes_per_minute": "10"}, {"scopes": "contacts"}, {"display_name": 7}])
def test_a_registration_with_a_mistake_keeps_the_provider_s_limit(sweep: Sweep, mistake: dict[str, object]) -> None:
    sweep.limit(provider=1)
    sweep.put({"integration": "crm", "provider": "crm", "client_id": "crm-client", **mistake})
    sweep.connect_many(3)
    assert sweep.tick().dispatched == 1


def test_a_registration_of_an_unknown_provider_hides_no_other_limit(sweep: Sweep) -> None:
    sweep.limit(2)
    sweep.put({"integration": "aaa", "provider": "nobody"})
    sweep.connect_many(3)
    assert sweep.tick().dispatched == 2


def test_health_of_an_integration_that_is_not_registered_any_more_is_in_nobody_s_way(sweep: Sweep) -> None:
    sweep.deployment.health.open("former", until=sweep.now + 30, opened=1, now=sweep.now)
    sweep.connect("acme").fall_due()
    sweep.deployment.clock.advance(86_400)
    report = sweep.tick()
    assert report.dispatched == 1
    assert report.failing == 0


def test_a_limit_of_the_operator_s_survives_a_mistake_in_another_attribute(sweep: Sweep) -> None:
    row = {"integration": "crm", "provider": "crm", "scopes": "contacts", "refreshes_per_minute": 1}
    sweep.put(row)
    sweep.connect_many(3)
    assert sweep.tick().dispatched == 1
