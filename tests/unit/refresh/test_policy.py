"""What next? The decisions of the refresh protocol, as a table of facts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.model import Cause, Connection, ConnectionKey, Grant, Status
from consentry.oauth.provider import RefreshBehaviour, Rotation
from consentry.oauth.wire import FailureClass
from consentry.refresh.policy import (
    CALL,
    COMMIT,
    FUNCTION,
    GUARD,
    LEASE,
    SETTLE,
    Look,
    Outcome,
    Refusal,
    backoff_seconds,
    held_verdict,
    in_doubt_due_at,
    reason_to_wait,
    settle_seconds,
    verdict,
)

NOW = 1_800_000_000
STRICT = RefreshBehaviour(rotation=Rotation.ROTATES)
FORGIVING = RefreshBehaviour(rotation=Rotation.ROTATES, reuse_grace_seconds=600)
STATIC = RefreshBehaviour(rotation=Rotation.NONE)
REMINT = RefreshBehaviour(rotation=Rotation.REMINT)
DUE = Connection(
    key=ConnectionKey("acme", "hubspot"),
    provider="hubspot",
    grant_type=Grant.AUTHORIZATION_CODE,
    status=Status.ACTIVE,
    gen=7,
    epoch=1,
    refreshed_at=NOW - 1000,
    expires_at=NOW + 800,
    due_at=NOW - 10,
)
LOOK = Look(now=NOW, epoch=1)
FORCED = Look(now=NOW, epoch=1, rejected_gen=7)


def test_a_lease_outlives_the_function_and_the_function_outlives_the_call() -> None:
    assert CALL + COMMIT < GUARD < FUNCTION < LEASE
    assert CALL < SETTLE


def test_what_is_due_is_refreshed() -> None:
    assert reason_to_wait(DUE, LOOK, STRICT) is None


@pytest.mark.parametrize(
    ("record", "look", "expected"),
    [
        (replace(DUE, due_at=NOW + 6), LOOK, Outcome.FRESH),
        (replace(DUE, due_at=None), LOOK, Outcome.FRESH),
        (replace(DUE, epoch=0), LOOK, Outcome.OTHER_EPOCH),
        (replace(DUE, epoch=2), FORCED, Outcome.OTHER_EPOCH),
        (replace(DUE, status=Status.REAUTH_REQUIRED), FORCED, Outcome.NOT_ACTIVE),
        (replace(DUE, status=Status.DELETING), LOOK, Outcome.NOT_ACTIVE),
        (replace(DUE, lease_until=NOW + 1), LOOK, Outcome.BUSY),
        (replace(DUE, lease_until=NOW + 1), FORCED, Outcome.BUSY),
        (replace(DUE, next_try_at=NOW + 6), FORCED, Outcome.WAITING),
        (replace(DUE, refreshed_at=NOW - 59), FORCED, Outcome.WAITING),
        (replace(DUE, pend_gen=7, pend_at=NOW - LEASE), LOOK, Outcome.WAITING),
    ],
)
def test_there_is_a_reason_to_wait(record: Connection, look: Look, expected: Outcome) -> None:
    assert reason_to_wait(record, look, STRICT) is expected


def test_a_rejected_generation_that_was_replaced_already_costs_nothing() -> None:
    assert reason_to_wait(DUE, replace(FORCED, rejected_gen=6), STRICT) is Outcome.FRESH


def test_a_rejected_newest_generation_is_refreshed_though_not_due() -> None:
    assert reason_to_wait(replace(DUE, due_at=NOW + 500), FORCED, STRICT) is None


def test_an_open_question_about_an_older_generation_is_no_reason_to_wait() -> None:
    assert reason_to_wait(replace(DUE, pend_gen=6, pend_at=NOW), LOOK, STRICT) is None


def test_a_settled_question_is_asked_again() -> None:
    assert reason_to_wait(replace(DUE, pend_gen=7, pend_at=NOW - LEASE - SETTLE), LOOK, STRICT) is None


def test_where_nothing_rotates_the_end_of_the_lease_settles_it() -> None:
    open_question = replace(DUE, pend_gen=7, pend_at=NOW - LEASE)
    assert reason_to_wait(open_question, LOOK, STATIC) is None
    assert reason_to_wait(open_question, LOOK, REMINT) is None


def test_strict_rotation_is_not_asked_again_before_shortly_before_the_token_ends() -> None:
    record = replace(DUE, expires_at=NOW + 3600)
    assert in_doubt_due_at(record, STRICT, NOW) == NOW + 3600 - 120
    assert in_doubt_due_at(record, FORGIVING, NOW) == NOW + LEASE + SETTLE + 1
    assert in_doubt_due_at(record, STATIC, NOW) == NOW + LEASE + 1


def test_strict_rotation_still_settles_when_the_token_ends_soon() -> None:
    assert in_doubt_due_at(replace(DUE, expires_at=NOW + 5), STRICT, NOW) == NOW + LEASE + SETTLE + 1


def decide(kind: FailureClass, before: Connection = DUE, behaviour: RefreshBehaviour = STRICT, **said: bool) -> Outcome:
    return verdict(before, Refusal(kind=kind, error="e", **said), behaviour, now=NOW, fraction=0.5).outcome


def test_a_grant_that_is_gone_needs_the_customer_and_says_why() -> None:
    decided = verdict(DUE, Refusal(kind=FailureClass.GONE, error="invalid_grant"), STRICT, now=NOW, fraction=0)
    assert (decided.outcome, decided.cause) == (Outcome.REAUTH_REQUIRED, Cause.GRANT_REVOKED)


@pytest.mark.parametrize(("before", "repeated"), [(replace(DUE, pend_gen=7, pend_at=NOW - 500), False), (DUE, True)])
def test_a_grant_that_is_gone_after_an_unanswered_request_was_lost_in_rotation(
    before: Connection, repeated: bool
) -> None:
    refusal = Refusal(kind=FailureClass.GONE, error="invalid_grant", repeated=repeated)
    assert verdict(before, refusal, STRICT, now=NOW, fraction=0).cause is Cause.AMBIGUOUS_ROTATION


def test_the_operators_mistake_never_touches_a_grant() -> None:
    decided = verdict(DUE, Refusal(kind=FailureClass.OPERATOR, error="invalid_client"), STRICT, now=NOW, fraction=0)
    assert (decided.outcome, decided.cause, decided.answered) == (Outcome.OPERATOR, None, True)
    assert decided.next_try_at > NOW


def test_rejected_credentials_get_one_retry_then_need_the_customer() -> None:
    assert decide(FailureClass.CREDENTIAL_REJECTED) is Outcome.RETRY_LATER
    again = replace(DUE, failures=1, last_error="credential_rejected:invalid_client")
    refusal = Refusal(kind=FailureClass.CREDENTIAL_REJECTED, error="invalid_client")
    assert verdict(again, refusal, REMINT, now=NOW, fraction=0).cause is Cause.CREDENTIAL_REJECTED


def test_another_kind_of_failure_before_does_not_use_up_the_credentials_retry() -> None:
    again = replace(DUE, failures=3, last_error="later:temporarily_unavailable")
    assert decide(FailureClass.CREDENTIAL_REJECTED, again) is Outcome.RETRY_LATER


def test_retry_after_is_honoured() -> None:
    refusal = Refusal(kind=FailureClass.LATER, error="slow_down", retry_after_seconds=1800)
    assert verdict(DUE, refusal, STRICT, now=NOW, fraction=0).next_try_at == NOW + 1800


def test_an_answer_ends_the_doubt_of_its_own_request_and_never_an_older_one() -> None:
    refusal = Refusal(kind=FailureClass.LATER, error="slow_down")
    assert verdict(DUE, refusal, STRICT, now=NOW, fraction=0).answered
    older = replace(DUE, pend_gen=7, pend_at=NOW - 500)
    assert not verdict(older, refusal, STRICT, now=NOW, fraction=0).answered


def test_a_server_error_may_have_rotated_so_the_doubt_stays() -> None:
    refusal = Refusal(kind=FailureClass.LATER, error="server_error", processed=True)
    decided = verdict(DUE, refusal, STRICT, now=NOW, fraction=0)
    assert not decided.answered
    assert decided.next_try_at > NOW + settle_seconds(STRICT)


def test_no_pause_eats_a_providers_grace() -> None:
    tired = replace(DUE, failures=8)
    refusal = Refusal(kind=FailureClass.LATER, error="server_error", processed=True)
    assert verdict(tired, refusal, FORGIVING, now=NOW, fraction=0.99).next_try_at == NOW + LEASE + SETTLE + 1


@given(failures=st.integers(0, 10_000), fraction=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_between_a_quarter_of_a_minute_and_a_quarter_of_an_hour(failures: int, fraction: float) -> None:
    assert 15 <= backoff_seconds(failures, fraction) <= 900


@given(
    kind=st.sampled_from(FailureClass),
    pend_gen=st.sampled_from([None, 6, 7]),
    processed=st.booleans(),
    repeated=st.booleans(),
    behaviour=st.sampled_from([STRICT, FORGIVING, STATIC, REMINT]),
    retry_after=st.none() | st.integers(1, 3600),
)
def test_every_verdict_ends_with_a_cause_or_a_later_time(
    kind: FailureClass,
    pend_gen: int | None,
    processed: bool,
    repeated: bool,
    behaviour: RefreshBehaviour,
    retry_after: int | None,
) -> None:
    refusal = Refusal(kind=kind, error="e", retry_after_seconds=retry_after, processed=processed, repeated=repeated)
    decided = verdict(replace(DUE, pend_gen=pend_gen), refusal, behaviour, now=NOW, fraction=0.3)
    assert (decided.cause is not None) != (decided.next_try_at > NOW)


# Refused now and then, or all at once


FLAKY = replace(STRICT, gone_retries=2)
GONE = Refusal(kind=FailureClass.GONE, error="invalid_grant")


@pytest.mark.parametrize(
    ("refused", "failures", "expected"),
    [
        (0, 0, Outcome.RETRY_LATER),
        (0, 7, Outcome.RETRY_LATER),  # other failures before are no refusals
        (1, 1, Outcome.RETRY_LATER),
        (1, 9, Outcome.RETRY_LATER),
        (2, 2, Outcome.REAUTH_REQUIRED),
        (3, 3, Outcome.REAUTH_REQUIRED),
    ],
)
def test_a_provider_that_refuses_by_mistake_is_believed_the_third_time(
    refused: int, failures: int, expected: Outcome
) -> None:
    before = replace(DUE, refused=refused, failures=failures, last_error="gone:invalid_grant")
    assert decide(FailureClass.GONE, before, FLAKY) is expected


def test_any_other_provider_is_believed_the_first_time() -> None:
    assert decide(FailureClass.GONE, DUE, STRICT) is Outcome.REAUTH_REQUIRED


def test_a_refusal_that_is_not_believed_is_followed_by_another_request_a_minute_later() -> None:
    decided = verdict(DUE, GONE, FLAKY, now=NOW, fraction=0.9)
    assert (decided.next_try_at, decided.due_at, decided.answered, decided.cause) == (NOW + 60, NOW + 60, True, None)


def test_an_older_doubt_outlives_a_refusal_that_is_not_believed_and_settles_first() -> None:
    doubt = replace(DUE, pend_gen=7, pend_at=NOW - 500)
    decided = verdict(doubt, GONE, FLAKY, now=NOW, fraction=0.9)
    assert not decided.answered
    assert decided.next_try_at > NOW + settle_seconds(FLAKY)


@given(failures=st.integers(0, 10_000), fraction=st.floats(0, 1, exclude_max=True))
def test_a_held_connection_is_asked_again_between_seven_minutes_and_two_hours_later(
    failures: int, fraction: float
) -> None:
    decided = held_verdict(replace(DUE, failures=failures), GONE, now=NOW, fraction=fraction)
    assert NOW + 450 <= decided.next_try_at == decided.due_at <= NOW + 7200
    assert (decided.outcome, decided.cause, decided.answered) == (Outcome.HELD, None, True)


@pytest.mark.parametrize(
    ("pend_gen", "repeated", "answered"),
    [(None, False, True), (6, False, True), (7, False, False), (None, True, False)],
)
def test_a_held_refusal_ends_its_own_doubt_and_no_older_one(
    pend_gen: int | None, *, repeated: bool, answered: bool
) -> None:
    before = replace(DUE, pend_gen=pend_gen, pend_at=NOW - 500)
    decided = held_verdict(before, replace(GONE, repeated=repeated), now=NOW, fraction=0)
    assert decided.answered is answered


def test_a_held_connection_in_doubt_has_settled_before_it_is_asked_again() -> None:
    doubt = replace(DUE, pend_gen=7, pend_at=NOW - 500)
    assert held_verdict(doubt, GONE, now=NOW, fraction=0).next_try_at > NOW + settle_seconds(STRICT)
