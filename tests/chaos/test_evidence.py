"""The judge itself: it must see what is broken, and believe what could not be helped."""

from typing import Any

from tests.chaos.evidence import End, Evidence, GrantNow, Held, Kill, Presented

LIVE = GrantNow(id="g", live=True, current=True)
ROTATED = GrantNow(id="g", live=True, current=False)
DEAD = GrantNow(id="g", live=False, current=False)


def presented(at: float, outcome: str = "issued", **fields: Any) -> Presented:  # noqa: ANN401 - of many types
    return Presented(at=at, server="strict", grant="g", token="t", outcome=outcome, **fields)


def held(grant: GrantNow | None, **fields: Any) -> Held:  # noqa: ANN401 - of many types
    given: dict[str, Any] = {
        "status": "active",
        "cause": "",
        "in_doubt": False,
        "due": True,
        "ended": False,
        "last_error": "",
    }
    return Held(name="c", token="t", grant=grant, **given | fields)


def flagged(cause: str, grant: GrantNow = DEAD) -> Held:
    return held(grant, status="reauth_required", cause=cause, due=False)


def test_a_token_that_is_the_next_one_to_present_is_fresh_until_its_access_token_ends() -> None:
    assert Evidence([]).judge(held(LIVE)) is End.FRESH
    assert Evidence([]).judge(held(LIVE, ended=True)) is End.LATE


def test_an_active_record_with_a_used_token_and_no_intent_is_silently_dead() -> None:
    assert Evidence([presented(1)]).judge(held(ROTATED)) is End.SILENT
    assert Evidence([presented(1)]).judge(held(DEAD)) is End.SILENT
    assert Evidence([]).judge(held(None)) is End.SILENT


def test_an_active_record_that_nobody_will_look_at_again_is_silently_dead() -> None:
    assert Evidence([]).judge(held(LIVE, due=False)) is End.SILENT


def test_an_intent_says_that_the_record_is_in_doubt() -> None:
    assert Evidence([presented(1)]).judge(held(ROTATED, in_doubt=True)) is End.IN_DOUBT


def test_a_refusal_that_is_written_down_but_not_believed_is_held() -> None:
    assert Evidence([]).judge(held(DEAD, last_error="gone:invalid_grant")) is End.HELD


def test_a_flag_on_a_grant_that_lives_is_broken() -> None:
    assert Evidence([]).judge(flagged("grant_revoked", LIVE)) is End.FLAGGED_ALIVE


def test_a_loss_that_nothing_explains_is_needless() -> None:
    requests = [presented(1), presented(100, "invalid_grant")]
    assert Evidence(requests).judge(flagged("ambiguous_rotation")) is End.NEEDLESS


def test_an_answer_that_was_dropped_explains_a_loss_under_one_cause_alone() -> None:
    evidence = Evidence([presented(1, fault="drop_after"), presented(100, "invalid_grant")])
    assert evidence.judge(flagged("ambiguous_rotation")) is End.FLAGGED
    assert evidence.judge(flagged("grant_revoked")) is End.WRONG_CAUSE
    assert evidence.dead_grants() == {"g"}


def test_a_killed_worker_explains_a_loss_only_if_it_sent_that_request_and_at_once() -> None:
    requests = [presented(1, pid=7), presented(100, "invalid_grant", pid=8)]

    def end(kill: Kill) -> End:
        return Evidence(requests, [kill]).judge(flagged("ambiguous_rotation"))

    assert end(Kill(7, 1.5)) is End.FLAGGED
    assert [end(each) for each in (Kill(9, 1.5), Kill(7, 40), Kill(7, -20))] == [End.NEEDLESS] * 3


def test_a_sender_that_was_gone_before_it_was_seen_was_killed_just_then() -> None:
    request = presented(10, pid=0)
    assert Evidence([request], [Kill(7, 9.5)]).lost("t")
    assert not Evidence([request], [Kill(7, 20)]).lost("t")
    assert not Evidence([request]).lost("t")


def test_a_worker_may_hold_tokens_for_long_while_the_table_is_away() -> None:
    evidence = Evidence([presented(1, pid=7)], [Kill(7, 40)], table_away=[(0, 60)])
    assert evidence.lost("t")


def test_a_grace_explains_no_loss_before_its_end() -> None:
    def end(replayed_at: float) -> End:
        requests = [presented(1, fault="drop_after"), presented(replayed_at, "invalid_grant")]
        return Evidence(requests, grace_seconds={"strict": 600}).judge(flagged("ambiguous_rotation"))

    assert (end(100), end(700)) == (End.NEEDLESS, End.FLAGGED)


def test_a_customers_revocation_has_its_own_cause() -> None:
    evidence = Evidence([presented(1, "invalid_grant")], revoked=frozenset({"g"}))
    assert evidence.judge(flagged("grant_revoked")) is End.FLAGGED
    assert evidence.judge(flagged("ambiguous_rotation")) is End.WRONG_CAUSE
    assert evidence.judge(held(DEAD)) is End.LATE


def test_a_token_may_come_again_only_after_an_answer_that_was_lost() -> None:
    again = presented(100)
    assert Evidence([presented(1), again]).repeated() == [again]
    assert Evidence([presented(1, fault="delay"), again]).repeated() == [again]
    assert Evidence([presented(1, fault="truncated"), again]).repeated() == []
    assert Evidence([presented(1, "not_processed", fault="status"), again]).repeated() == []
    assert Evidence([presented(1, pid=7), again], [Kill(7, 2)]).repeated() == []


def test_two_requests_in_flight_are_broken_unless_the_server_just_hung_up_on_one() -> None:
    both = [presented(1, together=2), presented(1.1, together=2)]
    assert Evidence(both).overlapping() == both
    assert Evidence([presented(1, together=2, fault="drop_after"), presented(1.1, together=2)]).overlapping() == []
