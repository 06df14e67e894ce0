"""One integration's trouble, as workers see it: breaker, pause, hold and repeats, on the real conditional writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from consentry.aws.dynamodb import to_item
from consentry.oauth.wire import FailureClass
from consentry.refresh.guard import Guard
from consentry.refresh.health import PROBE_SECONDS, Breaker, Health, Limits, breaker, per_minute
from consentry.refresh.policy import CALL, Refusal
from tests.support.clock import FakeClock
from tests.support.deployment import Deployment
from tests.support.logs import Log
from tests.support.randomness import ScriptedRandomness
from tests.support.tables import ignore, unavailable

DOWN = Refusal(kind=FailureClass.LATER, error="http_503", processed=True)
HOLD_SECONDS = Limits().hold_seconds


class Fleet:
    """Processes that share one table; each has a guard and a clock of its own."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.clocks: list[FakeClock] = []
        self.first = self.process()

    def process(self, *, ahead: int = 0) -> Guard:
        now = int(self.clocks[0].time) if self.clocks else self.deployment.clock.now()
        self.clocks.append(FakeClock(now + ahead))
        return Guard(clock=self.clocks[-1], randomness=ScriptedRandomness(), records=self.deployment.health)

    def advance(self, seconds: float) -> None:
        for each in self.clocks:
            each.advance(seconds)

    def fail(self, times: int = 10, guard: Guard | None = None) -> None:
        for _ in range(times):
            (guard or self.first).failed("crm", DOWN)

    def refuse(self, times: int, *, first: bool = True, guard: Guard | None = None) -> list[bool]:
        return [(guard or self.first).holds("crm", first=first, hurried=False) for _ in range(times)]

    def open_and_wait(self) -> None:
        """Open the breaker, and wait until it half-opens."""
        self.fail()
        self.advance(31)

    def turn(self, guard: Guard | None = None) -> bool:
        asking = guard or self.first
        return asking.admits("crm") and asking.takes_turn("crm")

    @property
    def now(self) -> int:
        return self.clocks[0].now()

    @property
    def health(self) -> Health:
        return self.deployment.health.read("crm")

    @property
    def breaker(self) -> Breaker:
        return breaker(self.health, self.now)

    def is_in(self, state: Breaker) -> bool:
        return self.breaker is state

    def calls(self, call: Callable[[], object], times: int = 1) -> list[str]:
        """Return the names of the database's calls that something costs."""
        before = len(self.deployment.dynamo.calls)
        for _ in range(times):
            call()
        return self.deployment.dynamo.calls[before:]

    def failing(self, *operations: str) -> None:
        def fail(operation: str) -> None:
            if operation in operations:
                raise unavailable(operation)

        self.deployment.ports.before = fail


@pytest.fixture
def fleet(deployment: Deployment) -> Fleet:
    return Fleet(deployment)


# Breaker


def test_whoever_has_no_record_is_asked(fleet: Fleet) -> None:
    assert fleet.first.admits("crm")
    assert fleet.health == Health(integration="crm")


def test_nine_failures_are_not_too_many_and_the_tenth_is(fleet: Fleet, log_lines: Log) -> None:
    fleet.fail(9)
    assert (fleet.breaker, fleet.first.admits("crm")) == (Breaker.CLOSED, True)
    fleet.fail(1)
    assert (fleet.breaker, fleet.first.admits("crm")) == (Breaker.OPEN, False)
    assert fleet.health.open_until == fleet.now + 30
    (line,) = log_lines.named("integration failing: breaker open")
    assert (line["level"], line["integration"], line["error"]) == ("ERROR", "crm", "later:http_503")


def test_another_integration_is_not_drawn_in(fleet: Fleet) -> None:
    fleet.fail()
    assert fleet.first.admits("desk")


def test_failures_of_several_processes_count_together(fleet: Fleet) -> None:
    for guard in (fleet.first, *(fleet.process() for _ in range(9))):
        fleet.fail(1, guard)
    assert fleet.breaker is Breaker.OPEN


def test_ten_failures_in_more_than_a_minute_are_not_too_many(fleet: Fleet) -> None:
    fleet.fail(9)
    fleet.advance(60)
    fleet.fail(9)
    assert fleet.is_in(Breaker.CLOSED)
    fleet.fail(1)
    assert fleet.is_in(Breaker.OPEN)


def test_successes_are_told_with_the_next_failure_and_count_against_it(fleet: Fleet) -> None:
    assert fleet.first.admits("crm")
    assert fleet.calls(lambda: fleet.first.succeeded("crm"), times=11) == []
    fleet.fail(10)
    assert (fleet.health.failed, fleet.health.succeeded, fleet.breaker) == (10, 11, Breaker.CLOSED)
    fleet.fail(1)
    assert fleet.breaker is Breaker.OPEN


def test_successes_of_long_ago_do_not_hide_that_a_provider_is_down(fleet: Fleet) -> None:
    for _ in range(100):
        fleet.first.succeeded("crm")
    fleet.advance(600)
    fleet.fail(10)
    assert fleet.breaker is Breaker.OPEN


@pytest.mark.parametrize("kind", [FailureClass.GONE, FailureClass.CREDENTIAL_REJECTED])
def test_one_connection_s_refusal_says_nothing_about_the_provider(fleet: Fleet, kind: FailureClass) -> None:
    refusal = Refusal(kind=kind, error="invalid_grant", retry_after_seconds=60)
    fleet.first.admits("crm")
    assert fleet.calls(lambda: fleet.first.failed("crm", refusal), times=50) == []
    assert fleet.first.admits("crm")


@pytest.mark.parametrize("kind", [FailureClass.OPERATOR, FailureClass.LATER, FailureClass.IN_DOUBT])
def test_what_concerns_everybody_counts(fleet: Fleet, kind: FailureClass) -> None:
    for _ in range(10):
        fleet.first.failed("crm", Refusal(kind=kind, error="e"))
    assert fleet.breaker is Breaker.OPEN


def test_failures_under_way_do_not_prolong_an_open_breaker_and_are_told_once(fleet: Fleet, log_lines: Log) -> None:
    other = fleet.process()
    fleet.fail()
    until = fleet.health.open_until
    fleet.advance(10)
    fleet.fail(25, other)
    fleet.fail(25)
    assert (fleet.health.open_until, fleet.health.opened) == (until, 1)
    assert len(log_lines.named("integration failing: breaker open")) == 1


def test_counts_begin_anew_after_an_opening(fleet: Fleet) -> None:
    fleet.fail()
    assert (fleet.health.failed, fleet.health.succeeded, fleet.health.window_at) == (0, 0, fleet.now)


def test_of_two_processes_one_may_probe(fleet: Fleet) -> None:
    fleet.open_and_wait()
    other = fleet.process()
    assert [fleet.first.admits("crm"), other.admits("crm")] == [True, False]


def test_of_many_threads_one_may_probe(fleet: Fleet) -> None:
    fleet.open_and_wait()
    guards = [fleet.first, fleet.process()] * 8
    together = Barrier(len(guards), timeout=20)

    def admits(guard: Guard) -> bool:
        together.wait()
        return guard.admits("crm")

    with ThreadPoolExecutor(len(guards)) as pool:
        assert list(pool.map(admits, guards)).count(True) == 1


def test_a_probe_whose_worker_died_is_taken_over_after_a_minute(fleet: Fleet) -> None:
    fleet.open_and_wait()
    assert fleet.first.admits("crm")
    other = fleet.process()
    fleet.advance(PROBE_SECONDS)
    assert not other.admits("crm")
    fleet.advance(1)
    assert other.admits("crm")


def test_a_probe_that_succeeds_begins_a_ramp(fleet: Fleet, log_lines: Log) -> None:
    fleet.open_and_wait()
    assert fleet.first.admits("crm")
    fleet.first.succeeded("crm")
    assert fleet.is_in(Breaker.RAMP)
    allowed = []
    for _ in range(11):
        allowed.append(per_minute(fleet.health, None, fleet.now))
        fleet.advance(60)
    assert (allowed[:3], allowed[9], allowed[10]) == ([10, 20, 40], 5120, None)
    assert fleet.is_in(Breaker.CLOSED)
    assert len(log_lines.named("integration recovers")) == 1


def test_who_saw_the_recovery_lets_the_next_one_in_without_asking(fleet: Fleet) -> None:
    fleet.open_and_wait()
    assert fleet.first.admits("crm")
    fleet.first.succeeded("crm")
    assert fleet.calls(lambda: fleet.first.admits("crm")) == []
    assert fleet.first.admits("crm")


def test_in_a_ramp_every_worker_is_admitted_and_a_success_writes_nothing(fleet: Fleet) -> None:
    fleet.open_and_wait()
    fleet.first.admits("crm")
    fleet.first.succeeded("crm")
    other = fleet.process()
    assert other.admits("crm")
    assert fleet.calls(lambda: other.succeeded("crm")) == []


def test_a_probe_that_fails_opens_for_longer_each_time(fleet: Fleet) -> None:
    fleet.open_and_wait()
    seconds = []
    for _ in range(6):
        fleet.advance(PROBE_SECONDS)
        assert fleet.first.admits("crm")
        fleet.fail(1)
        seconds.append(fleet.health.open_until - fleet.now)
        fleet.advance(seconds[-1])
    assert seconds == [60, 120, 240, 480, 600, 600]


@pytest.mark.parametrize("kind", [FailureClass.GONE, FailureClass.CREDENTIAL_REJECTED])
def test_a_probe_that_is_refused_for_its_own_sake_says_that_the_provider_answers(
    fleet: Fleet, kind: FailureClass
) -> None:
    fleet.open_and_wait()
    assert fleet.first.admits("crm")
    fleet.first.failed("crm", Refusal(kind=kind, error="invalid_grant"))
    assert fleet.breaker is Breaker.RAMP


def test_a_failing_ramp_opens_for_longer_and_one_that_is_over_begins_short_again(fleet: Fleet) -> None:
    fleet.open_and_wait()
    fleet.first.succeeded("crm")
    fleet.advance(300)
    fleet.fail(10)
    assert (fleet.health.opened, fleet.health.open_until) == (2, fleet.now + 60)
    fleet.advance(61)
    fleet.first.succeeded("crm")
    fleet.advance(600)
    assert fleet.breaker is Breaker.CLOSED
    fleet.fail(10)
    assert (fleet.health.opened, fleet.health.open_until) == (1, fleet.now + 30)


def test_a_few_failures_do_not_end_a_ramp(fleet: Fleet) -> None:
    fleet.open_and_wait()
    fleet.first.succeeded("crm")
    fleet.fail(9)
    assert fleet.breaker is Breaker.RAMP


def test_one_who_still_believes_in_half_open_does_not_end_a_ramp(fleet: Fleet) -> None:
    fleet.open_and_wait()
    late = fleet.process()
    assert late.admits("crm")
    fleet.first.succeeded("crm")
    fleet.fail(1, late)
    assert fleet.breaker is Breaker.RAMP


def test_a_failure_that_was_under_way_at_the_opening_is_no_failed_probe(fleet: Fleet) -> None:
    early = fleet.process()
    assert early.admits("crm")
    fleet.fail()
    fleet.advance(CALL)
    fleet.fail(1, early)
    assert (fleet.breaker, fleet.health.opened) == (Breaker.OPEN, 1)


# Pause


def test_retry_after_pauses_the_whole_integration_and_leaves_no_half_open_state(fleet: Fleet) -> None:
    other = fleet.process()
    fleet.first.failed("crm", Refusal(kind=FailureClass.LATER, error="slow_down", retry_after_seconds=120))
    assert fleet.health.paused_until == fleet.now + 120
    assert not fleet.first.admits("crm")
    assert not other.admits("crm")
    assert per_minute(fleet.health, 100, fleet.now) == 0
    fleet.advance(120)
    assert fleet.breaker is Breaker.CLOSED
    assert fleet.first.admits("crm")
    assert other.admits("crm")


def test_a_shorter_pause_does_not_end_a_longer_one(fleet: Fleet) -> None:
    for seconds in (600, 5, 60):
        fleet.first.failed("crm", Refusal(kind=FailureClass.LATER, error="slow_down", retry_after_seconds=seconds))
    assert fleet.health.paused_until == fleet.now + 600
    fleet.advance(30)
    assert not fleet.first.admits("crm")


def test_a_probe_that_is_told_to_wait_waits_so_long_and_is_made_again(fleet: Fleet) -> None:
    fleet.open_and_wait()
    assert fleet.first.admits("crm")
    fleet.first.failed("crm", Refusal(kind=FailureClass.LATER, error="slow_down", retry_after_seconds=900))
    assert fleet.breaker is Breaker.OPEN
    fleet.advance(900)
    assert (fleet.breaker, fleet.first.admits("crm")) == (Breaker.HALF_OPEN, True)


# What it costs, and storage in trouble


def test_health_is_read_once_in_ten_seconds(fleet: Fleet) -> None:
    assert fleet.calls(lambda: fleet.first.admits("crm")) == ["get_item"]
    assert fleet.calls(lambda: fleet.first.admits("crm")) == []
    fleet.advance(9)
    assert fleet.calls(lambda: fleet.first.admits("crm")) == []
    assert fleet.calls(lambda: fleet.first.succeeded("crm")) == []
    fleet.advance(1)
    assert fleet.calls(lambda: fleet.first.admits("crm")) == ["get_item"]


def test_what_this_process_opened_it_knows_without_reading(fleet: Fleet) -> None:
    fleet.fail()
    assert fleet.calls(lambda: fleet.first.admits("crm")) == []
    assert not fleet.first.admits("crm")


def test_health_that_cannot_be_read_admits(fleet: Fleet, log_lines: Log) -> None:
    fleet.failing("get_item")
    assert fleet.first.admits("crm")
    (line,) = log_lines.named("integration health unavailable")
    assert (line["level"], line["detail"]) == ("ERROR", "read health: InternalServerError")
    assert "CNRY-" not in log_lines.text


def test_health_that_cannot_be_read_is_not_waited_for_at_each_refresh(fleet: Fleet) -> None:
    fleet.failing("get_item")
    assert [len(fleet.calls(lambda: fleet.first.admits("crm"))) for _ in range(3)] == [1, 0, 0]
    fleet.advance(10)
    assert len(fleet.calls(lambda: fleet.first.admits("crm"))) == 1


def test_a_breaker_that_was_open_when_it_could_still_be_read_stays_so_until_its_time(fleet: Fleet) -> None:
    fleet.fail()
    fleet.failing("get_item", "update_item")
    fleet.advance(15)
    assert not fleet.first.admits("crm")
    fleet.advance(16)
    assert fleet.first.admits("crm")


def test_health_that_cannot_be_written_stops_nothing(fleet: Fleet, log_lines: Log) -> None:
    fleet.failing("update_item")
    fleet.fail(20)
    fleet.first.failed("crm", Refusal(kind=FailureClass.LATER, error="slow_down", retry_after_seconds=60))
    assert not fleet.first.holds("crm", first=True, hurried=False)
    assert fleet.first.admits("crm")
    assert len(log_lines.named("integration health unavailable")) == 22


def test_a_probe_that_cannot_be_taken_is_made_all_the_same(fleet: Fleet) -> None:
    fleet.open_and_wait()
    fleet.failing("update_item")
    assert fleet.first.admits("crm")
    fleet.first.succeeded("crm")
    fleet.deployment.ports.before = ignore
    assert fleet.breaker is Breaker.HALF_OPEN


def test_successes_that_could_not_be_told_are_told_later(fleet: Fleet) -> None:
    for _ in range(11):
        fleet.first.succeeded("crm")
    fleet.failing("update_item")
    fleet.fail(1)
    fleet.deployment.ports.before = ignore
    fleet.fail(10)
    assert (fleet.health.succeeded, fleet.breaker) == (11, Breaker.CLOSED)


# Hold


def count_connections(fleet: Fleet, connections: int) -> None:
    fleet.deployment.health.count_connections("crm", 0, connections)


def test_the_twentieth_connection_and_all_after_it_are_held(fleet: Fleet, log_lines: Log) -> None:
    assert fleet.refuse(25) == [False] * 19 + [True] * 6
    (line,) = log_lines.named("integration held: too many connections refused at once")
    assert (line["level"], line["integration"], line["count"]) == ("CRITICAL", "crm", 20)
    assert fleet.health.hold_until == fleet.now + HOLD_SECONDS


def test_where_there_are_many_a_twentieth_of_them_must_be_refused(fleet: Fleet) -> None:
    count_connections(fleet, 600)
    assert fleet.refuse(32) == [False] * 30 + [True] * 2


def test_refusals_spread_over_more_than_ten_minutes_are_believed(fleet: Fleet) -> None:
    for _ in range(4):
        assert fleet.refuse(19) == [False] * 19
        fleet.advance(600)


def test_another_integration_s_refusals_hold_nobody_here(fleet: Fleet) -> None:
    fleet.refuse(25)
    assert not fleet.first.holds("desk", first=True, hurried=False)


def test_one_connection_that_is_refused_again_and_again_counts_once(fleet: Fleet) -> None:
    assert fleet.refuse(1) == [False]
    assert fleet.refuse(50, first=False) == [False] * 50
    assert fleet.health.gone == 1


def test_a_connection_that_was_held_is_held_again_and_does_not_prolong_the_hold(fleet: Fleet) -> None:
    fleet.refuse(20)
    until = fleet.health.hold_until
    fleet.advance(3600)
    assert fleet.refuse(3, first=False) == [True] * 3
    assert fleet.health.hold_until == until


def test_single_refusals_are_held_and_do_not_prolong_the_hold(fleet: Fleet) -> None:
    fleet.refuse(20)
    until = fleet.health.hold_until
    fleet.advance(3600)
    assert fleet.refuse(1) == [True]
    assert fleet.health.hold_until == until


def test_as_many_again_prolong_the_hold(fleet: Fleet, log_lines: Log) -> None:
    fleet.refuse(20)
    fleet.advance(3600)
    assert fleet.refuse(20) == [True] * 20
    assert fleet.health.hold_until == fleet.now + HOLD_SECONDS
    assert len(log_lines.named("integration held: too many connections refused at once")) == 1


def test_in_a_hurry_what_this_process_remembers_decides_and_nothing_is_asked(fleet: Fleet) -> None:
    def held() -> list[bool]:
        return [fleet.first.holds("crm", first=first, hurried=True) for first in (True, False)]

    assert held() == [False, True]
    fleet.refuse(20)
    fleet.advance(20)
    assert fleet.first.admits("crm")
    assert fleet.calls(held) == []
    assert held() == [True, True]


def test_a_connection_that_was_held_stays_so_while_nobody_can_say_whether(fleet: Fleet) -> None:
    fleet.refuse(20)
    fleet.failing("get_item", "update_item")
    assert fleet.refuse(1, first=False) == [True]
    assert fleet.refuse(1) == [False]


def test_a_hold_that_is_over_lets_marks_through(fleet: Fleet) -> None:
    fleet.refuse(20)
    fleet.advance(HOLD_SECONDS)
    assert fleet.refuse(1, first=False) == [False]
    assert fleet.refuse(1) == [False]


def test_a_released_hold_lets_marks_through_and_none_begins_meanwhile(fleet: Fleet) -> None:
    fleet.refuse(20)
    fleet.deployment.health.release("crm", until=fleet.now + 3600)
    assert fleet.refuse(30) == [False] * 30
    assert fleet.refuse(5, first=False) == [False] * 5
    fleet.advance(3600)
    assert fleet.refuse(20) == [False] * 19 + [True]


def test_workers_whose_clocks_differ_by_five_seconds_hold_together(fleet: Fleet) -> None:
    ahead, behind = fleet.process(ahead=5), fleet.process(ahead=-5)
    held = [each.holds("crm", first=True, hurried=False) for _ in range(7) for each in (ahead, behind, fleet.first)]
    assert held == [False] * 19 + [True] * 2


def test_threads_that_find_a_hold_at_once_say_so_once(fleet: Fleet, log_lines: Log) -> None:
    fleet.refuse(19)
    together = Barrier(8, timeout=20)

    def holds(_: int) -> bool:
        together.wait()
        return fleet.first.holds("crm", first=True, hurried=False)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(holds, range(8))) == [True] * 8
    assert len(log_lines.named("integration held: too many connections refused at once")) == 1


# Repeats


def succeed(fleet: Fleet, times: int) -> None:
    for _ in range(times):
        fleet.first.succeeded("crm")


def repeats(fleet: Fleet, times: int = 20) -> int:
    """Return how many of so many wishes to repeat are granted."""
    return sum(fleet.first.may_repeat("crm") for _ in range(times))


def test_three_repeats_and_then_one_for_ten_that_went_well(fleet: Fleet) -> None:
    assert [fleet.first.may_repeat("crm") for _ in range(5)] == [True, True, True, False, False]
    succeed(fleet, 9)
    assert repeats(fleet) == 0
    succeed(fleet, 1)
    assert repeats(fleet) == 1
    succeed(fleet, 30)
    assert repeats(fleet) == 3


def test_however_long_all_went_well_ten_may_be_repeated(fleet: Fleet) -> None:
    succeed(fleet, 1000)
    assert repeats(fleet, 50) == 10


def test_what_is_not_sent_earns_no_repeat(fleet: Fleet) -> None:
    assert repeats(fleet) == 3
    fleet.fail()
    for _ in range(100):
        assert not fleet.first.admits("crm")
    assert repeats(fleet) == 0


def test_repeats_of_one_integration_cost_no_other(fleet: Fleet) -> None:
    assert [fleet.first.may_repeat("crm") for _ in range(3)] == [True] * 3
    assert fleet.first.may_repeat("desk")


def test_threads_share_one_budget_of_repeats(fleet: Fleet) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: fleet.first.may_repeat("crm"), range(64))) == 3


# Clocks, names, and what others wrote


def test_a_recovery_by_a_clock_that_is_ahead_is_a_ramp_for_one_that_is_behind(fleet: Fleet) -> None:
    ahead, behind = fleet.process(ahead=5), fleet.process(ahead=-5)
    fleet.open_and_wait()
    fleet.advance(10)
    assert ahead.admits("crm")
    ahead.succeeded("crm")
    assert behind.admits("crm")
    assert per_minute(fleet.health, None, behind.clock.now()) == 10


def test_an_opening_by_a_clock_that_is_behind_still_opens(fleet: Fleet) -> None:
    behind = fleet.process(ahead=-5)
    fleet.open_and_wait()
    fleet.advance(10)
    assert behind.admits("crm")
    fleet.fail(1, behind)
    assert (fleet.breaker, fleet.health.opened) == (Breaker.OPEN, 2)


@pytest.mark.parametrize("name", ["a-_-b", "0", "x" * 63, "CRM"])
def test_every_integration_has_a_record_of_its_own(fleet: Fleet, name: str) -> None:
    for _ in range(10):
        fleet.first.failed(name, DOWN)
    assert not fleet.first.admits(name)
    assert fleet.first.admits("crm")


NONSENSE = ["open_until", "paused_until", "opened", "hold_until", "released_until", "gone", "failed", "connections_0"]


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_that_somebody_wrote_stops_nobody(fleet: Fleet, name: str) -> None:
    table = fleet.deployment.names["IntegrationsTable"]
    item = to_item({"integration": "crm#health", name: "soon"})
    fleet.deployment.dynamo.client.put_item(TableName=table, Item=item)
    assert fleet.first.admits("crm")
    fleet.first.succeeded("crm")
    fleet.fail(3)
    assert not fleet.first.holds("crm", first=True, hurried=False)


# Turns of a limited integration


def test_a_worker_waits_for_the_next_window_and_then_gives_up(fleet: Fleet) -> None:
    fleet.deployment.health.reserve(fleet.health, since=fleet.now, rate=60)
    fleet.clocks[0].remaining = 300.0
    began = fleet.now
    admitted = [fleet.turn() for _ in range(4)]
    assert admitted == [True] * 4
    assert 0 < fleet.now - began <= 3
    others = [fleet.process() for _ in range(8)]
    for clock in fleet.clocks:
        clock.remaining = 300.0
    assert sum(fleet.turn(each) for each in others) == 5  # two of this window are left, three of the next


def test_a_worker_without_time_does_not_wait_for_a_turn(fleet: Fleet) -> None:
    fleet.deployment.health.reserve(fleet.health, since=fleet.now, rate=60)
    fleet.clocks[0].remaining = 37.0
    began = fleet.now
    assert [fleet.turn() for _ in range(4)] == [True, True, True, False]
    assert fleet.now == began


def test_turns_that_cannot_be_counted_stop_nobody(fleet: Fleet) -> None:
    fleet.deployment.health.reserve(fleet.health, since=fleet.now, rate=60)
    fleet.turn()
    fleet.failing("update_item")
    assert [fleet.turn() for _ in range(5)] == [True] * 5
