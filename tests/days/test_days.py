"""A small month: a day and a night, 165 connections, everything that goes wrong; and a checker that can fail."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from consentry.record import Record
from consentry.refresh import dispatch, health
from consentry.refresh.guard import Guard
from consentry.refresh.health import Share
from tests.days.month import Month
from tests.days.plan import CAPPED, DAY, DOWN, HOUR, MINUTE, MISTAKEN, SERVICES, Plan, Service, short
from tests.days.watch import BY_MISTAKE, LATE_BEHIND_A_LIMIT

CAP = 2
WEIGHTS = {DOWN: 60, "grace": 8, "none": 6, "remint": 6, CAPPED: 18, MISTAKEN: 65, "forever": 1, "forgetful": 1}


def shrunk(service: Service) -> Service:
    """Return the service as so few connections need it: enough of those that must come in numbers."""
    provider = service.provider
    if service.id == CAPPED:
        provider = replace(provider, refresh=replace(provider.refresh, requests_per_minute=CAP))
    lifetimes = {DOWN: (30 * MINUTE,), MISTAKEN: (30 * MINUTE,), CAPPED: (4 * HOUR,)}
    return Service(
        provider=provider, weight=WEIGHTS[service.id], lifetimes=lifetimes.get(service.id, service.lifetimes)
    )


SMALL = short(1.25, connections=165, seed=3, services=tuple(map(shrunk, SERVICES)), revocations_a_day=6, looks_a_day=24)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return Month(SMALL).run()


def test_no_promise_is_broken(report: dict[str, Any]) -> None:
    assert report["broken"] == {}, report["examples"]


def test_everything_went_wrong_that_should(report: dict[str, Any]) -> None:
    moods = report["requests_by_mood_of_the_provider"]
    assert min(moods[mood] for mood in ("failing", "silent", "mistaken")) > 0
    assert report["storage_calls_that_failed"]["hinted: update_item"] > 0
    assert report["counts"]["sweeps"] < (SMALL.span - SMALL.silence) / MINUTE + 4 * 60
    assert report["counts"]["parked"] > 0
    assert report["counts"][f"integration failing: {DOWN}"] > 0
    assert report["counts"]["looks refused: it has ended"] > 0


def test_readers_were_served_and_nobody_an_expired_token(report: dict[str, Any]) -> None:
    assert report["counts"]["looks served"] > 1000
    assert "an expired token was served" not in report["broken"]


def test_a_mistake_of_the_provider_flags_a_few_and_then_nobody(report: dict[str, Any]) -> None:
    assert 0 < report["flagged_by_mistake"] <= BY_MISTAKE
    assert report["counts"][f"integration held: {MISTAKEN}"] == 1
    assert report["outcomes"]["held"] > 0


def test_who_revoked_is_flagged_and_nobody_else(report: dict[str, Any]) -> None:
    counts = report["counts"]
    assert counts["customers revoke"] > 0
    assert counts["flagged because of customer"] == counts["customers revoke"] - report["revoked_and_not_flagged_yet"]


def test_others_are_in_time_while_a_provider_is_down(report: dict[str, Any]) -> None:
    lateness = report["latest_seconds_after_due"]
    assert 0 < lateness["others, while a provider is down"] <= LATE_BEHIND_A_LIMIT
    assert 0 < lateness["calm"] <= LATE_BEHIND_A_LIMIT


def test_all_catch_up_within_twice_the_outage(report: dict[str, Any]) -> None:
    minutes = report["catch_up_minutes"]
    assert minutes["outage"] <= 2 * SMALL.outage / MINUTE
    assert minutes["silence"] <= 2 * SMALL.silence / MINUTE


def test_a_seed_tells_the_same_story_twice() -> None:
    plan = short(1, connections=30, seed=5)
    first, second = Month(plan).run(), Month(plan).run()
    for told in (first, second):
        del told["seconds"], told["cpu_seconds"]
    assert first == second


# A checker that cannot fail proves nothing.


def least_urgent_first(*found: Iterable[Any], key: Callable[[Any], int]) -> Iterator[Any]:
    yield from sorted(chain(*found), key=key, reverse=True)


def threefold(known: health.Health, allowed: int, now: int) -> Share:
    return Share(3 * allowed, now)


def always(*_given: object, **_named: object) -> bool:
    return True


def never(*_given: object, **_named: object) -> bool:
    return False


def anything_goes(*_given: object) -> None:
    return None


type Weakening = Sequence[tuple[object, str, object]]
WEAKENED: dict[str, Weakening] = {
    "something less urgent went first": ((dispatch, "merge", least_urgent_first),),
    "more requests in a minute than a provider allows": (
        (health, "share", threefold),
        (health, "turns", anything_goes),
    ),
    "too many flagged by a provider's mistake": ((Guard, "holds", never),),
    "an expired token was served": ((Record, "servable", always),),
    "a provider that is down is asked too often": ((Guard, "admits", always), (health, "per_minute", anything_goes)),
}


@pytest.mark.parametrize("promise", WEAKENED)
def test_a_weakened_deployment_is_found_out(promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name, stand_in in WEAKENED[promise]:
        monkeypatch.setattr(place, name, stand_in)
    assert promise in Month(SMALL, until=promise).run()["broken"]


@pytest.mark.parametrize(
    ("plan", "remedy"),
    [
        (Plan(connections=7), "--connections must be at least 8"),
        (Plan(days=15, outage=5 * DAY), "--days is too short"),
        (Plan(days=15, silence=5 * DAY), "--days is too short"),
    ],
)
def test_a_plan_that_cannot_be_says_what_to_correct(plan: Plan, remedy: str) -> None:
    assert plan.wrong().startswith(remedy)


def test_every_connection_has_a_service() -> None:
    placed = Plan(connections=123).placed()
    assert len(placed) == 123
    assert {each.id for each in placed} == {each.id for each in SERVICES}
