"""Finding what is due: most urgent first, level-triggered, on the real index."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from consentry.aws.connections import SHARDS, shard_of
from consentry.model import ConnectionKey
from consentry.ports import Due, RefreshHint
from consentry.refresh.dispatch import ENQUEUED_SECONDS, Dispatch, Dispatched
from tests.support.deployment import Deployment
from tests.support.vaulted import Vaulted


class FakeQueue:
    def __init__(self) -> None:
        self.calls: list[list[RefreshHint]] = []
        self.refuse: set[RefreshHint] = set()

    def send(self, hints: Sequence[RefreshHint]) -> Sequence[RefreshHint]:
        self.calls.append(list(hints))
        return [hint for hint in hints if hint not in self.refuse]

    @property
    def sent(self) -> list[RefreshHint]:
        return [hint for call in self.calls for hint in call]


class Sweep:
    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.queue = FakeQueue()
        deployment.clock.remaining = 50.0

    def connect(self, tenant: str, *, lifetime: int = 1800) -> Vaulted:
        made = Vaulted(self.deployment)
        made.key = ConnectionKey(tenant, "crm")
        made.connect(expires_in=lifetime)
        self.deployment.clock.remaining = 50.0
        return made

    def tick(self) -> Dispatched:
        index = self.deployment.connections
        return Dispatch(clock=self.deployment.clock, index=index, queue=self.queue, shards=SHARDS)()


@pytest.fixture
def sweep(deployment: Deployment) -> Sweep:
    return Sweep(deployment)


def test_nothing_due_is_nothing_sent(sweep: Sweep) -> None:
    sweep.connect("acme")
    assert sweep.tick() == Dispatched(0, 0, 0)
    assert sweep.queue.calls == []


def test_what_is_due_is_sent_once_while_it_is_enqueued(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    made.fall_due()
    assert sweep.tick() == Dispatched(1, 1, 0)
    assert sweep.queue.sent == [RefreshHint(made.key, 1)]
    assert sweep.tick() == Dispatched(0, 0, 0)


def test_a_hint_that_was_lost_is_sent_again(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    made.fall_due()
    sweep.tick()
    sweep.deployment.clock.advance(ENQUEUED_SECONDS + 1)
    sweep.deployment.clock.remaining = 50.0
    assert sweep.tick().dispatched == 1


def test_a_hint_the_queue_refused_stays_due(sweep: Sweep) -> None:
    made = sweep.connect("acme")
    made.fall_due()
    sweep.queue.refuse = {RefreshHint(made.key, 1)}
    assert sweep.tick() == Dispatched(1, 0, 0)
    sweep.queue.refuse = set()
    assert sweep.tick() == Dispatched(1, 1, 0)


def test_the_most_urgent_go_first_and_ten_to_a_call(sweep: Sweep) -> None:
    made = [sweep.connect(f"tenant-{number}", lifetime=3600 - 60 * number) for number in range(25)]
    sweep.deployment.clock.advance(3600)
    sweep.deployment.clock.remaining = 50.0
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
    assert sweep.tick().dispatched == 0
    sweep.deployment.clock.remaining = 50.0
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
