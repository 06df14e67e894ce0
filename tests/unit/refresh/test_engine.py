"""The engine, on the real conditional writes: what is sent, what is stored, and what is never lost."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NoReturn
from urllib.parse import parse_qs

import pytest

from consentry.aws.dynamodb import to_item
from consentry.model import ConnectionKey, Grant, Secret, Status
from consentry.oauth.provider import RefreshBehaviour, Revocation
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import Commit, NotDelivered, StorageUnavailable, Undetermined
from consentry.refresh.engine import Refreshed
from consentry.refresh.health import Breaker, Limits, breaker
from consentry.refresh.policy import CALL, LEASE, SETTLE, Outcome
from consentry.web.work import restore
from tests.support.catalogue import METRICS, FakeCatalogue
from tests.support.deployment import Deployment, SlowProvider
from tests.support.dynamo import MemoryDynamo
from tests.support.logs import Log
from tests.support.provider import FakeProvider, answer, tokens
from tests.support.tables import create_tables, items, unavailable
from tests.support.vaulted import FIRST_ACCESS, FIRST_REFRESH, FORGIVING, STATIC, STRICT, Vaulted

SECOND = tokens(access_token="CNRY-access-second", refresh_token="CNRY-refresh-second")
THIRD = tokens(access_token="CNRY-access-third", refresh_token="CNRY-refresh-third")
REVOKED = answer(400, {"error": "invalid_grant"})


class Died(BaseException):
    """The process ends here: nothing after it runs."""


def died_in_the_request(vaulted: Vaulted) -> None:
    vaulted.provider.then(Died())
    with pytest.raises(Died):
        vaulted.refresh()


# The good way


def test_a_due_connection_gets_a_new_generation(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert [form["refresh_token"] for form in vaulted.provider.forms] == [FIRST_REFRESH]
    assert (vaulted.access_token, vaulted.refresh_token) == ("CNRY-access-second", "CNRY-refresh-second")
    record = vaulted.record
    assert (record.gen, record.lease_owner, record.pend_gen, record.failures) == (2, "", None, 0)
    assert record.expires_at == vaulted.clock.now() + 1800
    assert record.due_at is not None
    assert vaulted.clock.now() < record.due_at < record.expires_at


def test_a_refresh_costs_one_read_two_writes_and_three_key_calls_and_health_once_in_ten_seconds(
    vaulted: Vaulted,
) -> None:
    vaulted.provider.then(SECOND, THIRD)
    vaulted.deployment.dynamo.calls.clear()
    vaulted.refresh()
    assert vaulted.deployment.dynamo.calls == ["get_item", "get_item", "update_item", "update_item"]
    assert vaulted.deployment.envelopes.opened == ["grant"]
    assert vaulted.deployment.envelopes.sealing == ["access_token", "grant"]
    vaulted.fall_due()
    vaulted.guard.admits("crm")
    vaulted.deployment.dynamo.calls.clear()
    vaulted.refresh()
    assert vaulted.deployment.dynamo.calls == ["get_item", "update_item", "update_item"]


def test_between_answer_and_durable_write_there_is_no_call_but_the_write(vaulted: Vaulted) -> None:
    order: list[str] = []
    vaulted.deployment.ports.before = order.append

    class Noting(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            received = super().send(request, deadline_seconds=deadline_seconds)
            order.append("received")
            return received

    vaulted.engine(Noting(SECOND))(vaulted.key)
    assert order[order.index("received") + 1 :] == ["update_item"]


def test_what_is_not_due_is_left_alone(vaulted: Vaulted) -> None:
    vaulted.clock.advance(-6)
    assert vaulted.refresh() == Refreshed(Outcome.FRESH, 1)
    assert vaulted.provider.requests == []


def test_an_answer_without_a_refresh_token_keeps_the_stored_one(vaulted: Vaulted) -> None:
    vaulted.provider.then(tokens(access_token="CNRY-access-second", refresh_token=None))
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert (vaulted.access_token, vaulted.refresh_token) == ("CNRY-access-second", FIRST_REFRESH)


def test_metadata_of_the_connection_outlives_an_answer_that_does_not_repeat_it(vaulted: Vaulted) -> None:
    vaulted.provider.then(tokens(hub_id=None))
    vaulted.refresh()
    assert vaulted.record.metadata == {"hub_id": 4711}


def test_a_short_lived_token_does_not_make_the_engine_loop(vaulted: Vaulted) -> None:
    vaulted.provider.then(tokens(expires_in=3))
    vaulted.refresh()
    assert vaulted.record.due_at == vaulted.clock.now() + 60


def test_customers_credentials_mint_again_and_stay(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect_with_credentials()
    vaulted.fall_due()
    before = vaulted.record.grant
    vaulted.provider.then(tokens(access_token="CNRY-minted"))  # the answer has a refresh token that nobody asked for
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert vaulted.provider.forms[0]["grant_type"] == "client_credentials"
    assert vaulted.access_token == "CNRY-minted"
    assert vaulted.record.grant == before


def test_no_secret_reaches_the_log(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.provider.then(answer(400, {"error": FIRST_REFRESH, "error_description": FIRST_REFRESH}))
    vaulted.refresh()
    assert log_lines.lines
    assert "CNRY-" not in log_lines.text


# One at a time


def test_thirty_two_workers_send_one_request(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    engine = vaulted.engine()
    with ThreadPoolExecutor(32) as pool:
        outcomes = [each.outcome for each in pool.map(lambda _: engine(vaulted.key), range(32))]
    assert len(vaulted.provider.requests) == 1
    assert outcomes.count(Outcome.REFRESHED) == 1
    assert set(outcomes) <= {Outcome.REFRESHED, Outcome.BUSY, Outcome.FRESH}
    assert vaulted.record.gen == 2


def test_twenty_callers_with_one_rejected_token_cause_one_request(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    outcomes = [vaulted.refresh(rejected_gen=1) for _ in range(20)]
    assert len(vaulted.provider.requests) == 1
    assert {each.generation for each in outcomes} == {2}


def test_a_token_rejected_before_it_was_due_is_refreshed(vaulted: Vaulted) -> None:
    vaulted.clock.advance(-300)
    vaulted.provider.then(SECOND)
    assert vaulted.refresh(rejected_gen=1) == Refreshed(Outcome.REFRESHED, 2)


def test_a_commit_over_a_newer_generation_is_refused_and_the_newer_one_adopted(vaulted: Vaulted) -> None:
    class Overtaken(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            overtake(vaulted)
            return super().send(request, deadline_seconds=deadline_seconds)

    assert vaulted.engine(Overtaken(SECOND))(vaulted.key) == Refreshed(Outcome.ADOPTED, 2)
    assert vaulted.record.commit_id == "somebody-else"


def test_a_losers_failure_never_overwrites_the_winners_success(vaulted: Vaulted) -> None:
    class Overtaken(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            overtake(vaulted)
            return super().send(request, deadline_seconds=deadline_seconds)

    assert vaulted.engine(Overtaken(REVOKED))(vaulted.key) == Refreshed(Outcome.ADOPTED, 2)
    assert (vaulted.record.status, vaulted.record.failures) == (Status.ACTIVE, 0)


def overtake(vaulted: Vaulted) -> None:
    record = vaulted.record
    attributes = {"access_token": record.access_token, "expires_at": record.expires_at, "due_at": record.due_at}
    vaulted.deployment.connections.commit(
        Commit(
            key=vaulted.key,
            expected_gen=1,
            expected_epoch=1,
            epoch=1,
            commit_id="somebody-else",
            status=Status.ACTIVE,
            set_attributes=attributes,
        )
    )


def test_a_worker_that_read_before_another_was_told_to_wait_sends_nothing(vaulted: Vaulted) -> None:
    vaulted.provider.then(answer(429, {"error": "slow_down"}, retry_after="3600"))
    first: list[Refreshed] = []

    def overtaken(operation: str) -> None:
        if operation == "open" and not first:
            first.append(Refreshed(Outcome.BUSY, 0))
            first[0] = vaulted.refresh()

    vaulted.deployment.ports.before = overtaken
    assert vaulted.refresh().outcome is Outcome.BUSY
    assert first[0].outcome is Outcome.RETRY_LATER
    assert len(vaulted.provider.requests) == 1


def test_forced_refreshes_keep_the_least_time_between_two(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND, THIRD)
    assert vaulted.refresh(rejected_gen=1) == Refreshed(Outcome.REFRESHED, 2)
    assert vaulted.refresh(rejected_gen=2).outcome is Outcome.WAITING
    vaulted.clock.advance(60)
    assert vaulted.refresh(rejected_gen=2) == Refreshed(Outcome.REFRESHED, 3)


def test_a_generation_that_does_not_exist_yet_was_rejected_by_nobody(vaulted: Vaulted) -> None:
    assert vaulted.refresh(rejected_gen=10**9).outcome is Outcome.FRESH
    assert vaulted.provider.requests == []


# Death and silence


def test_after_a_death_in_the_request_strict_rotation_is_not_asked_again_while_the_token_lives(
    vaulted: Vaulted,
) -> None:
    expires_at = vaulted.record.expires_at or 0
    died_in_the_request(vaulted)
    record = vaulted.record
    assert record.in_doubt
    assert record.due_at == expires_at - 120
    assert record.servable(vaulted.clock.now())
    vaulted.clock.advance(LEASE + SETTLE + 1)
    assert vaulted.refresh().outcome is Outcome.FRESH
    assert len(vaulted.provider.requests) == 1


def test_a_token_lost_in_strict_rotation_is_flagged_with_its_cause(vaulted: Vaulted) -> None:
    died_in_the_request(vaulted)
    vaulted.fall_due()
    vaulted.provider.then(REVOKED)
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED
    assert (vaulted.record.status, vaulted.record.status_cause) == (Status.REAUTH_REQUIRED, "ambiguous_rotation")


def test_a_request_that_never_arrived_costs_nothing_even_under_strict_rotation(vaulted: Vaulted) -> None:
    died_in_the_request(vaulted)
    vaulted.fall_due()
    vaulted.provider.then(SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)


def test_a_grace_brings_the_token_back_once_the_first_request_must_have_settled(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment, FORGIVING)
    vaulted.connect()
    vaulted.fall_due()
    began = vaulted.clock.now()
    died_in_the_request(vaulted)
    assert vaulted.record.due_at == began + LEASE + SETTLE + 1
    vaulted.clock.time = began + LEASE + SETTLE - 1.0
    assert vaulted.refresh(rejected_gen=1).outcome is Outcome.WAITING
    vaulted.fall_due()
    vaulted.provider.then(SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert {form["refresh_token"] for form in vaulted.provider.forms} == {FIRST_REFRESH}


def test_where_nothing_rotates_the_lease_is_all_there_is_to_wait_for(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment, STATIC)
    vaulted.connect()
    vaulted.fall_due()
    died_in_the_request(vaulted)
    vaulted.clock.advance(LEASE + 1)
    vaulted.provider.then(SECOND)
    assert vaulted.refresh().outcome is Outcome.REFRESHED


def test_no_answer_leaves_the_intent_and_names_the_next_time(vaulted: Vaulted) -> None:
    vaulted.provider.then(Undetermined("deadline"))
    assert vaulted.refresh().outcome is Outcome.IN_DOUBT
    record = vaulted.record
    assert record.in_doubt
    assert record.due_at == (record.expires_at or 0) - 120
    assert vaulted.clock.now() + LEASE + SETTLE < record.next_try_at < record.due_at
    assert record.last_error == "in_doubt:deadline"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"access_', b"[]", b'{"access_token": 7}'])
def test_an_unusable_success_may_have_rotated(vaulted: Vaulted, body: bytes) -> None:
    vaulted.provider.then(answer(200, body))
    assert vaulted.refresh().outcome is Outcome.IN_DOUBT
    assert vaulted.record.in_doubt


def test_a_request_that_never_left_is_made_once_more(vaulted: Vaulted) -> None:
    vaulted.provider.then(NotDelivered("refused"), SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)


def test_a_provider_that_cannot_be_reached_is_tried_later_without_a_doubt(vaulted: Vaulted) -> None:
    vaulted.provider.then(NotDelivered("refused"), NotDelivered("refused"))
    assert vaulted.refresh().outcome is Outcome.RETRY_LATER
    record = vaulted.record
    assert (record.in_doubt, record.status, record.failures) == (False, Status.ACTIVE, 1)
    assert record.due_at == record.next_try_at > vaulted.clock.now()


def test_a_closed_connection_is_replayed_at_once_only_where_a_grace_allows_it(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment, FORGIVING)
    vaulted.connect()
    vaulted.fall_due()
    vaulted.provider.then(Undetermined("closed", peer_closed=True), SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)


def test_a_closed_connection_is_not_replayed_under_strict_rotation(vaulted: Vaulted) -> None:
    vaulted.provider.then(Undetermined("closed", peer_closed=True))
    assert vaulted.refresh().outcome is Outcome.IN_DOUBT
    assert len(vaulted.provider.requests) == 1


def test_that_the_replay_never_left_says_nothing_about_the_first_request(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment, FORGIVING)
    vaulted.connect()
    vaulted.fall_due()
    vaulted.provider.then(Undetermined("closed", peer_closed=True), NotDelivered("refused"))
    assert vaulted.refresh().outcome is Outcome.IN_DOUBT
    assert vaulted.record.in_doubt


# What the provider says


def test_a_revoked_grant_is_flagged_at_once_and_never_asked_for_again(vaulted: Vaulted) -> None:
    vaulted.provider.then(REVOKED)
    assert vaulted.refresh() == Refreshed(Outcome.REAUTH_REQUIRED, 1)
    record = vaulted.record
    assert (record.status, record.status_cause, record.due_at) == (Status.REAUTH_REQUIRED, "grant_revoked", None)
    assert vaulted.access_token == FIRST_ACCESS
    vaulted.clock.advance(86_400)
    assert vaulted.refresh().outcome is Outcome.NOT_ACTIVE
    assert vaulted.refresh(rejected_gen=1).outcome is Outcome.NOT_ACTIVE
    assert len(vaulted.provider.requests) == 1


def test_the_operators_wrong_secret_touches_no_grant_and_recovers_by_itself(vaulted: Vaulted) -> None:
    vaulted.provider.then(answer(401, {"error": "invalid_client"}))
    assert vaulted.refresh().outcome is Outcome.OPERATOR
    assert (vaulted.record.status, vaulted.record.in_doubt) == (Status.ACTIVE, False)
    vaulted.fall_due()
    vaulted.provider.then(SECOND)
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert (vaulted.record.last_error, vaulted.record.next_try_at) == ("", 0)


def test_the_secret_from_before_a_rotation_is_tried_once_when_the_client_is_refused(vaulted: Vaulted) -> None:
    vaulted.deployment.secrets.previous = {"crm": {"client_secret": "CNRY-the-secret-before-3a91"}}
    vaulted.provider.then(answer(401, {"error": "invalid_client"}), SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert vaulted.provider.forms[1]["client_secret"] == "CNRY-the-secret-before-3a91"


def test_when_both_secrets_are_refused_the_operator_is_told_and_the_grant_stays(vaulted: Vaulted) -> None:
    vaulted.deployment.secrets.previous = {"crm": {"client_secret": "CNRY-the-secret-before-3a91"}}
    refused = answer(401, {"error": "invalid_client"})
    vaulted.provider.then(refused, refused)
    assert vaulted.refresh().outcome is Outcome.OPERATOR
    assert (len(vaulted.provider.requests), vaulted.record.status) == (2, Status.ACTIVE)


def test_a_secret_from_before_that_cannot_be_read_leaves_the_first_refusal_as_it_is(vaulted: Vaulted) -> None:
    failing_at(vaulted, "previous_client_secrets")
    vaulted.provider.then(answer(401, {"error": "invalid_client"}))
    assert vaulted.refresh().outcome is Outcome.OPERATOR
    assert len(vaulted.provider.requests) == 1
    record = vaulted.record
    assert (record.last_error, record.status, record.in_doubt) == ("operator:invalid_client", Status.ACTIVE, False)


@pytest.mark.parametrize("step", [REVOKED, answer(503, b""), answer(403, b"<html>")])
def test_no_other_refusal_is_answered_with_another_secret(vaulted: Vaulted, step: HttpAnswer) -> None:
    vaulted.deployment.secrets.previous = {"crm": {"client_secret": "CNRY-the-secret-before-3a91"}}
    vaulted.provider.then(step)
    vaulted.refresh()
    assert len(vaulted.provider.requests) == 1


def test_too_many_requests_waits_as_long_as_it_is_told(vaulted: Vaulted) -> None:
    vaulted.provider.then(answer(429, {"error": "slow_down"}, retry_after="700"))
    assert vaulted.refresh().outcome is Outcome.RETRY_LATER
    assert vaulted.record.next_try_at == vaulted.clock.now() + 700
    assert not vaulted.record.in_doubt


@pytest.mark.parametrize(
    "unreadable", [answer(408, b"<html>"), answer(400, b'{"error": "inv'), answer(403, b"<html>WAF"), answer(302, b"")]
)
def test_only_a_readable_refusal_says_that_nothing_was_rotated(vaulted: Vaulted, unreadable: HttpAnswer) -> None:
    vaulted.provider.then(unreadable)
    vaulted.refresh()
    assert (vaulted.record.status, vaulted.record.in_doubt) == (Status.ACTIVE, True)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_keeps_grant_and_token_and_leaves_a_doubt(vaulted: Vaulted, status: int) -> None:
    vaulted.provider.then(answer(status, b"<html>oops</html>"))
    assert vaulted.refresh().outcome is Outcome.RETRY_LATER
    record = vaulted.record
    assert (record.status, record.in_doubt, vaulted.refresh_token) == (Status.ACTIVE, True, FIRST_REFRESH)
    assert record.servable(vaulted.clock.now())


def test_a_day_of_server_errors_marks_nothing_dead(vaulted: Vaulted) -> None:
    end = vaulted.clock.now() + 86_400
    attempts = 0
    while vaulted.clock.now() < end:
        vaulted.provider.then(answer(503, b""))
        assert vaulted.refresh().outcome is Outcome.RETRY_LATER
        attempts += 1
        vaulted.fall_due()
    assert attempts < 24 * 60
    vaulted.provider.then(SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)


def test_rejected_credentials_get_one_retry(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect_with_credentials()
    vaulted.fall_due()
    rejected = answer(401, {"error": "invalid_client"})
    vaulted.provider.then(rejected, rejected)
    assert vaulted.refresh().outcome is Outcome.RETRY_LATER
    vaulted.fall_due()
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED
    assert vaulted.record.status_cause == "credential_rejected"


def test_a_token_that_nobody_can_renew_is_flagged_when_it_ends(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect(refresh_token=None)
    assert vaulted.record.due_at == vaulted.record.expires_at
    assert vaulted.refresh(rejected_gen=1).outcome is Outcome.NOT_REFRESHABLE
    vaulted.fall_due()
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED
    assert vaulted.record.status_cause == "no_refresh_token"
    assert vaulted.provider.requests == []


def test_a_token_that_nobody_can_renew_is_flagged_by_whoever_holds_the_lease(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect(refresh_token=None)
    vaulted.fall_due()
    seen: list[str] = []

    def overtaken(operation: str) -> None:
        seen.append(operation)
        if seen == ["get_item", "update_item"]:
            lease_to_another(vaulted)

    deployment.ports.before = overtaken
    assert vaulted.refresh() == Refreshed(Outcome.BUSY, 1)
    assert (vaulted.record.status, vaulted.record.lease_owner) == (Status.ACTIVE, "another")


def lease_to_another(vaulted: Vaulted) -> None:
    vaulted.deployment.dynamo.client.update_item(
        TableName=vaulted.deployment.names["ConnectionsTable"],
        Key=to_item({"tenant": vaulted.key.tenant, "connection": vaulted.key.sort_key}),
        UpdateExpression="SET lease_owner = :o, lease_until = :u",
        ExpressionAttributeValues=to_item({":o": "another", ":u": vaulted.clock.now() + LEASE}),
    )


def test_a_token_without_an_end_is_never_due(deployment: Deployment) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect(expires_in=None)
    assert (vaulted.record.expires_at, vaulted.record.due_at) == (None, None)
    vaulted.clock.advance(10**9)
    assert vaulted.refresh().outcome is Outcome.FRESH


# Storage in trouble


def failing_at(vaulted: Vaulted, *operations: str) -> None:
    def fail(operation: str) -> None:
        if operation in operations:
            raise unavailable(operation) if operation.endswith("_item") else StorageUnavailable("a key is gone")

    vaulted.deployment.ports.before = fail


def test_a_table_that_cannot_be_read_sends_and_writes_nothing(vaulted: Vaulted) -> None:
    failing_at(vaulted, "get_item")
    with pytest.raises(StorageUnavailable):
        vaulted.refresh()
    assert vaulted.provider.requests == []


@pytest.mark.parametrize("failing", ["open", "seal", "client_secrets"])
def test_trouble_before_the_request_sends_nothing_and_lets_the_others_go_first(vaulted: Vaulted, failing: str) -> None:
    before = vaulted.record
    failing_at(vaulted, failing)
    pauses = []
    for _ in range(7):
        vaulted.fall_due()
        assert vaulted.refresh().outcome is Outcome.UNAVAILABLE
        pauses.append((vaulted.record.due_at or 0) - vaulted.clock.now())
    assert pauses == [60, 120, 240, 480, 900, 900, 900]
    assert vaulted.provider.requests == []
    record = vaulted.record
    assert (record.access_token, record.grant, record.gen) == (before.access_token, before.grant, 1)
    assert (record.status, record.in_doubt, record.last_error[:14]) == (Status.ACTIVE, False, "not_attempted:")


def test_storage_that_stumbles_once_is_tried_again_at_once(vaulted: Vaulted) -> None:
    stumbled: list[str] = []

    def stumble(operation: str) -> None:
        if operation not in stumbled and operation in {"get_item", "open", "client_secrets", "update_item"}:
            stumbled.append(operation)
            raise unavailable(operation) if operation.endswith("_item") else StorageUnavailable("a moment")

    vaulted.deployment.ports.before = stumble
    vaulted.provider.then(SECOND)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert len(stumbled) == 4


def test_a_postponed_record_that_moved_on_meanwhile_is_left_alone(vaulted: Vaulted) -> None:
    seen = vaulted.record
    overtake(vaulted)
    after = vaulted.record
    vaulted.deployment.connections.postpone(seen, error="not_attempted:x", until=vaulted.clock.now() + 900)
    assert vaulted.record == after


def test_a_record_that_cannot_be_read_is_left_as_it_is_and_said_loudly(vaulted: Vaulted, log_lines: Log) -> None:
    client, name = vaulted.deployment.dynamo.client, vaulted.deployment.names["ConnectionsTable"]
    (item,) = items(client, name)
    broken = {**item, "v": {"N": "2"}}
    client.put_item(TableName=name, Item=broken)
    assert vaulted.refresh() == Refreshed(Outcome.UNREADABLE, 0)
    assert (items(client, name), vaulted.provider.requests) == ([broken], [])
    (line,) = log_lines.named("record not readable, left as it is")
    assert (line["level"], "version 2" in line["detail"]) == ("CRITICAL", True)


def test_a_lease_that_cannot_be_written_means_no_request(vaulted: Vaulted) -> None:
    fail_writes(vaulted, times=3)
    assert vaulted.refresh().outcome is Outcome.UNAVAILABLE
    assert vaulted.provider.requests == []
    assert not vaulted.record.in_doubt


def test_a_refusal_is_written_again_until_it_is_there(vaulted: Vaulted) -> None:
    vaulted.provider.then(REVOKED)
    fail_writes(vaulted, times=5, skip=1)
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED
    assert vaulted.record.status_cause == "grant_revoked"


def test_a_refusal_that_was_written_although_the_answer_was_lost_counts_once(vaulted: Vaulted) -> None:
    vaulted.provider.then(REVOKED)
    fail_writes(vaulted, times=1, skip=1, applied=True)
    assert vaulted.refresh() == Refreshed(Outcome.REAUTH_REQUIRED, 1)


def test_a_refusal_that_cannot_be_written_leaves_the_doubt_of_the_lease(vaulted: Vaulted) -> None:
    vaulted.provider.then(REVOKED)
    fail_writes(vaulted, times=10_000, skip=1)
    assert vaulted.refresh().outcome is Outcome.IN_DOUBT
    assert (vaulted.record.status, vaulted.record.in_doubt) == (Status.ACTIVE, True)


def test_a_new_token_is_written_again_until_it_is_there(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    fail_writes(vaulted, times=5, skip=1)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert vaulted.access_token == "CNRY-access-second"


def test_a_commit_that_was_applied_although_its_answer_was_lost_counts_once(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    fail_writes(vaulted, times=1, skip=1, applied=True)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert vaulted.record.gen == 2


def test_a_token_that_cannot_be_stored_waits_in_escrow_and_is_restored_from_there(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    fail_writes(vaulted, times=10_000, skip=1)
    assert vaulted.refresh().outcome is Outcome.ESCROWED
    vaulted.deployment.ports.before = lambda _: None
    assert vaulted.record.in_doubt
    event = {"Records": [{"messageId": "m", "body": vaulted.escrow.messages[0]}]}
    assert restore(event, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    assert (vaulted.record.gen, vaulted.record.in_doubt) == (2, False)
    assert (vaulted.access_token, vaulted.refresh_token) == ("CNRY-access-second", "CNRY-refresh-second")
    assert "CNRY-access" not in vaulted.escrow.messages[0]
    assert "CNRY-refresh" not in vaulted.escrow.messages[0]


def test_a_write_that_takes_long_is_in_escrow_before_it_succeeds_after_all(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    fail_writes(vaulted, times=40, skip=1)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert len(vaulted.escrow.messages) == 1
    committed = vaulted.record
    event = {"Records": [{"messageId": "m", "body": vaulted.escrow.messages[0]}]}
    assert restore(event, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    assert vaulted.record == committed


def test_a_write_that_stumbles_leaves_nothing_in_escrow(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    fail_writes(vaulted, times=5, skip=1)
    assert vaulted.refresh() == Refreshed(Outcome.REFRESHED, 2)
    assert vaulted.escrow.messages == []


def test_restoring_twice_counts_once(vaulted: Vaulted) -> None:
    escrowed(vaulted)
    event = {"Records": [{"messageId": "m", "body": vaulted.escrow.messages[0]}] * 2}
    assert restore(event, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    assert vaulted.record.gen == 2


def test_an_ancient_message_never_overwrites_a_newer_generation(vaulted: Vaulted) -> None:
    escrowed(vaulted)
    overtake(vaulted)
    event = {"Records": [{"messageId": "m", "body": vaulted.escrow.messages[0]}]}
    assert restore(event, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    assert vaulted.record.commit_id == "somebody-else"


@pytest.mark.parametrize("behaviour", [STRICT, FORGIVING])
def test_while_something_waits_in_escrow_nobody_asks_again_where_tokens_rotate(
    deployment: Deployment, behaviour: RefreshBehaviour
) -> None:
    vaulted = Vaulted(deployment, behaviour)
    vaulted.connect()
    vaulted.fall_due()
    escrowed(vaulted)
    vaulted.fall_due()
    assert vaulted.refresh().outcome is Outcome.WAITING
    vaulted.escrow.messages.clear()
    vaulted.fall_due()
    vaulted.provider.then(REVOKED)
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED


def test_an_escrow_that_cannot_be_seen_counts_as_not_empty(vaulted: Vaulted) -> None:
    died_in_the_request(vaulted)
    vaulted.fall_due()
    vaulted.escrow.unavailable = True
    assert vaulted.refresh().outcome is Outcome.WAITING
    assert len(vaulted.provider.requests) == 1


def test_what_cannot_be_written_yet_is_delivered_again(vaulted: Vaulted) -> None:
    escrowed(vaulted)
    event = {"Records": [{"messageId": "m", "body": vaulted.escrow.messages[0]}]}
    fail_writes(vaulted, times=10_000)
    answer_while_down = restore(event, vaulted.escrow, vaulted.deployment.connections)
    assert answer_while_down == {"batchItemFailures": [{"itemIdentifier": "m"}]}


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"v":1}', '{"v":2}', "[" * 20_000, '{"v":1,"tenant":"acme","set":{"B":"?"}}']
)
def test_a_message_that_can_never_be_written_does_not_block_the_others(
    vaulted: Vaulted, body: str, log_lines: Log
) -> None:
    event = {"Records": [{"messageId": "m", "body": body}]}
    assert restore(event, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    assert log_lines.named("escrow message dropped")[0]["level"] == "CRITICAL"
    assert vaulted.record.gen == 1


def test_a_token_that_can_be_kept_nowhere_is_said_loudly_and_stays_in_doubt(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.provider.then(SECOND)
    vaulted.escrow.unavailable = True
    fail_writes(vaulted, times=10_000, skip=1)
    assert vaulted.refresh().outcome is Outcome.ROTATION_LOST
    assert [line["level"] for line in log_lines.named("new token could not be stored")] == ["CRITICAL"]
    assert vaulted.record.in_doubt
    assert "CNRY-" not in log_lines.text


def escrowed(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    fail_writes(vaulted, times=10_000, skip=1)
    assert vaulted.refresh().outcome is Outcome.ESCROWED
    vaulted.deployment.ports.before = lambda _: None


def fail_writes(vaulted: Vaulted, *, times: int, skip: int = 0, applied: bool = False) -> None:
    seen = 0

    def fail(operation: str) -> None:
        nonlocal seen
        if operation == "update_item":
            seen += 1
            if skip < seen <= skip + times:
                raise unavailable(operation)

    if applied:
        vaulted.deployment.ports.after = fail
    else:
        vaulted.deployment.ports.before = fail


# Fences


def test_a_lifetime_counts_from_when_the_token_was_asked_for(vaulted: Vaulted) -> None:
    class Slow(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            vaulted.clock.advance(24)
            return super().send(request, deadline_seconds=deadline_seconds)

    asked_at = vaulted.clock.now()
    vaulted.engine(Slow(tokens(expires_in=120)))(vaulted.key)
    assert vaulted.record.expires_at == asked_at + 120


def test_a_tick_of_a_clock_that_is_five_seconds_ahead_is_not_in_vain(vaulted: Vaulted) -> None:
    vaulted.clock.advance(-5)
    vaulted.provider.then(SECOND)
    assert vaulted.refresh().outcome is Outcome.REFRESHED


def test_a_record_of_another_epoch_is_not_refreshed(vaulted: Vaulted) -> None:
    vaulted.epoch = 2
    assert vaulted.refresh().outcome is Outcome.OTHER_EPOCH
    assert vaulted.refresh(rejected_gen=1).outcome is Outcome.OTHER_EPOCH
    assert vaulted.provider.requests == []


def test_too_little_time_means_no_lease_and_no_request(vaulted: Vaulted) -> None:
    vaulted.clock.remaining = 32.0
    assert vaulted.engine()(vaulted.key).outcome is Outcome.WAITING
    assert vaulted.provider.requests == []
    assert vaulted.record.lease_owner == ""


def test_a_lease_that_took_too_long_to_write_sends_nothing_and_keeps_its_intent(vaulted: Vaulted) -> None:
    def slowly(operation: str) -> None:
        if operation == "update_item":
            vaulted.clock.remaining = 20.0

    vaulted.deployment.ports.after = slowly
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)
    assert vaulted.provider.requests == []
    assert vaulted.record.in_doubt


@pytest.mark.parametrize("step", [SECOND, REVOKED, answer(503, b"")])
def test_a_connection_that_is_being_removed_is_not_brought_back(vaulted: Vaulted, step: HttpAnswer) -> None:
    class Removing(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            mark_deleting(vaulted)
            return super().send(request, deadline_seconds=deadline_seconds)

    vaulted.engine(Removing(step))(vaulted.key)
    assert (vaulted.record.status, vaulted.record.gen) == (Status.DELETING, 1)


def mark_deleting(vaulted: Vaulted) -> None:
    vaulted.deployment.dynamo.client.update_item(
        TableName=vaulted.deployment.names["ConnectionsTable"],
        Key=to_item({"tenant": vaulted.key.tenant, "connection": vaulted.key.sort_key}),
        UpdateExpression="SET #s = :d",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues=to_item({":d": "deleting"}),
    )


def test_nobody_is_refreshed_who_is_not_there(vaulted: Vaulted) -> None:
    assert vaulted.engine()(replace(vaulted.key, tenant="globex")) == Refreshed(Outcome.ABSENT, 0)


def test_refreshing_one_connection_touches_no_other(vaulted: Vaulted, deployment: Deployment) -> None:
    other = Vaulted(deployment)
    other.key = replace(vaulted.key, tenant="globex")
    other.connect()
    before = other.record
    vaulted.provider.then(SECOND)
    vaulted.refresh()
    assert other.record == before


# When the provider is in trouble


HOLD_SECONDS = Limits().hold_seconds
FLAKY = replace(STRICT, gone_retries=2)
DOWN = answer(503, b"")


@pytest.fixture
def memory() -> Deployment:
    """A deployment in memory: these tests need many connections."""
    client = MemoryDynamo().as_client
    return Deployment(client, create_tables(client), FakeCatalogue())


def crowd(deployment: Deployment, number: int, behaviour: RefreshBehaviour = STRICT) -> list[Vaulted]:
    """Make so many connections, each looked at by a process of its own, all of them due now."""
    made = [Vaulted(deployment, behaviour) for _ in range(number)]
    for order, each in enumerate(made):
        each.key = replace(each.key, tenant=f"tenant-{order}")
        each.connect()
    deployment.clock.advance(1800)
    return made


def crowd_with_credentials(deployment: Deployment, number: int) -> list[Vaulted]:
    made = [Vaulted(deployment) for _ in range(number)]
    for order, each in enumerate(made):
        each.key = ConnectionKey(f"tenant-{order}", "metrics")
        given = {"client_id": Secret("customer"), "client_secret": Secret("CNRY-customer-secret")}
        each._store(Grant.CLIENT_CREDENTIALS, METRICS, each._tokens(None, 1800), given)
    deployment.clock.advance(1800)
    return made


def outcomes(connections: list[Vaulted], *script: HttpAnswer | BaseException) -> list[Outcome]:
    """Look at each connection once; the provider gives each the same answers."""
    found = []
    for each in connections:
        each.provider.script = list(script)
        found.append(each.refresh().outcome)
    return found


class Away:
    """Health that can be neither read nor written."""

    def __getattr__(self, _name: str) -> Callable[..., NoReturn]:
        def fail(*_given: object, **_named: object) -> NoReturn:
            raise StorageUnavailable("the table is away")

        return fail


def test_an_open_breaker_sends_nothing_and_leaves_the_record_as_it_is(vaulted: Vaulted) -> None:
    vaulted.deployment.health.open("crm", until=vaulted.clock.now() + 30, opened=1, now=vaulted.clock.now())
    before = vaulted.record
    assert vaulted.refresh() == Refreshed(Outcome.HELD_BACK, 1)
    assert vaulted.refresh(rejected_gen=1) == Refreshed(Outcome.HELD_BACK, 1)
    assert (vaulted.provider.requests, vaulted.record) == ([], before)


def test_a_rejected_token_that_is_held_back_before_it_is_due_costs_no_write(vaulted: Vaulted) -> None:
    vaulted.clock.advance(-300)
    vaulted.deployment.health.pause("crm", until=vaulted.clock.now() + 30)
    vaulted.deployment.dynamo.calls.clear()
    assert vaulted.refresh(rejected_gen=1) == Refreshed(Outcome.HELD_BACK, 1)
    assert vaulted.deployment.dynamo.calls == ["get_item", "get_item"]
    assert vaulted.provider.requests == []


def test_a_connection_whose_turn_does_not_come_in_time_takes_no_lease_and_stays_due(vaulted: Vaulted) -> None:
    health, before = vaulted.deployment.health, vaulted.record
    health.reserve(health.read("crm"), since=vaulted.clock.now(), rate=60)
    assert vaulted.guard.admits("crm")
    vaulted.clock.remaining = 37.0
    assert [vaulted.guard.takes_turn("crm") for _ in range(4)] == [True, True, True, False]
    assert vaulted.engine()(vaulted.key) == Refreshed(Outcome.HELD_BACK, 1)
    assert (vaulted.provider.requests, vaulted.record) == ([], before)


def test_ten_failing_connections_keep_the_eleventh_from_being_asked(memory: Deployment) -> None:
    *ten, eleventh = crowd(memory, 11)
    assert outcomes(ten, DOWN) == [Outcome.RETRY_LATER] * 10
    assert outcomes([eleventh], SECOND) == [Outcome.HELD_BACK]


def test_after_a_while_one_may_try_and_its_success_lets_all_the_others_in(memory: Deployment) -> None:
    connections = crowd(memory, 13)
    outcomes(connections[:10], DOWN)
    memory.clock.advance(33)
    during: list[Outcome] = []

    class Probed(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            during.append(connections[11].refresh().outcome)
            return super().send(request, deadline_seconds=deadline_seconds)

    memory.clock.remaining = 45.0
    assert connections[10].engine(Probed(SECOND))(connections[10].key).outcome is Outcome.REFRESHED
    assert during == [Outcome.HELD_BACK]
    assert breaker(memory.health.read("crm"), memory.clock.now()) is Breaker.RAMP
    assert outcomes(connections[12:], SECOND) == [Outcome.REFRESHED]


def test_retry_after_holds_for_every_connection_and_every_worker(memory: Deployment) -> None:
    first, second = crowd(memory, 2)
    assert outcomes([first], answer(429, b"", retry_after="120")) == [Outcome.RETRY_LATER]
    assert outcomes([second], SECOND) == [Outcome.HELD_BACK]
    memory.clock.advance(120)
    assert outcomes([first, second], SECOND) == [Outcome.REFRESHED] * 2


@pytest.mark.parametrize(
    ("step", "outcome", "error"),
    [
        (SECOND, Outcome.REFRESHED, ""),
        (DOWN, Outcome.RETRY_LATER, "later:http_503"),
        (answer(429, b"", retry_after="60"), Outcome.RETRY_LATER, "later:http_429"),
        (REVOKED, Outcome.REAUTH_REQUIRED, "gone:invalid_grant"),
    ],
)
def test_health_that_is_away_stops_no_refresh_and_hides_no_failure(
    vaulted: Vaulted, step: HttpAnswer, outcome: Outcome, error: str
) -> None:
    vaulted.guard.records = Away()
    assert outcomes([vaulted], step) == [outcome]
    assert vaulted.record.last_error == error


def test_a_customer_s_own_refused_credentials_count_towards_nothing(memory: Deployment) -> None:
    connections = crowd_with_credentials(memory, 25)
    rejected = answer(401, {"error": "invalid_client"})
    assert outcomes(connections, rejected) == [Outcome.RETRY_LATER] * 25
    memory.clock.advance(60)
    assert outcomes(connections, rejected) == [Outcome.REAUTH_REQUIRED] * 25
    found = memory.health.read("metrics")
    assert (found.failed, found.gone, found.hold_until, found.open_until) == (0, 0, 0, 0)


def test_three_requests_are_repeated_at_once_and_then_only_as_many_as_went_well(memory: Deployment) -> None:
    connections = crowd(memory, 6)
    for each in connections:
        each.guard = connections[0].guard
    requests = connections[0].provider.requests
    sent = []
    for each in connections:
        before = len(requests)
        outcomes([each], NotDelivered("refused"), NotDelivered("refused"))
        sent.append(len(requests) - before)
    assert sent == [2, 2, 2, 1, 1, 1]


# Refused by mistake


def test_from_the_twentieth_refused_connection_on_none_is_marked(memory: Deployment, log_lines: Log) -> None:
    connections = crowd(memory, 25)
    assert outcomes(connections, REVOKED) == [Outcome.REAUTH_REQUIRED] * 19 + [Outcome.HELD] * 6
    now = memory.clock.now()
    for each in connections[19:]:
        record = each.record
        assert (record.status, record.status_cause, record.in_doubt) == (Status.ACTIVE, "", False)
        assert now + 450 <= (record.due_at or 0) == record.next_try_at <= now + 900
        assert each.access_token == FIRST_ACCESS
    assert [line["level"] for line in log_lines.named("integration held: too many connections refused at once")] == [
        "CRITICAL"
    ]


def test_a_held_connection_is_asked_again_ever_more_seldom_and_serves_its_token(memory: Deployment) -> None:
    *_, held = crowd(memory, 20)
    memory.health.hold("crm", until=memory.clock.now() + 10**6, now=memory.clock.now())
    pauses = []
    for _ in range(5):
        assert outcomes([held], REVOKED) == [Outcome.HELD]
        assert outcomes([held]) == [Outcome.FRESH]
        pauses.append((held.record.due_at or 0) - memory.clock.now())
        held.fall_due()
    assert pauses == [675, 1350, 2700, 5400, 5400]
    assert outcomes([held], SECOND) == [Outcome.REFRESHED]
    assert (held.record.refused, held.record.last_error) == (0, "")


def test_under_a_hold_all_may_end_and_none_is_lost(memory: Deployment) -> None:
    """What ends meanwhile is not served, and comes back with the provider."""
    connections = crowd(memory, 5)
    memory.health.hold("crm", until=memory.clock.now() + HOLD_SECONDS, now=memory.clock.now())
    assert outcomes(connections, REVOKED) == [Outcome.HELD] * 5
    memory.clock.advance(7200)
    assert not any(each.record.servable(memory.clock.now()) for each in connections)
    assert outcomes(connections, REVOKED) == [Outcome.HELD] * 5
    memory.clock.advance(7200)
    assert outcomes(connections, SECOND) == [Outcome.REFRESHED] * 5


def test_a_connection_that_is_refused_after_the_hold_is_marked(memory: Deployment) -> None:
    connections = crowd(memory, 21)
    outcomes(connections, REVOKED)
    memory.clock.advance(HOLD_SECONDS)
    assert outcomes(connections[19:], REVOKED) == [Outcome.REAUTH_REQUIRED] * 2
    assert {each.record.status_cause for each in connections} == {"grant_revoked"}


def test_a_released_hold_lets_marks_through(memory: Deployment) -> None:
    connections = crowd(memory, 45)
    assert outcomes(connections[:20], REVOKED)[-1] is Outcome.HELD
    memory.health.release("crm", until=memory.clock.now() + 3600)
    assert outcomes(connections[20:], REVOKED) == [Outcome.REAUTH_REQUIRED] * 25
    connections[19].fall_due()
    assert outcomes([connections[19]], REVOKED) == [Outcome.REAUTH_REQUIRED]


def test_one_connection_that_is_held_again_and_again_counts_once(memory: Deployment) -> None:
    *_, held = crowd(memory, 20)
    memory.health.hold("crm", until=memory.clock.now() + 10**6, now=memory.clock.now())
    for _ in range(3):
        assert outcomes([held], REVOKED) == [Outcome.HELD]
        held.fall_due()
    assert memory.health.read("crm").gone == 1


def test_a_held_refusal_after_an_older_doubt_stays_in_doubt_and_ends_with_its_cause(memory: Deployment) -> None:
    """An outage leaves everyone in doubt; that all are refused afterwards is still one mistake."""
    connections = crowd(memory, 21)
    for each in connections:
        died_in_the_request(each)
    memory.clock.advance(3600)
    assert outcomes(connections, REVOKED) == [Outcome.REAUTH_REQUIRED] * 19 + [Outcome.HELD] * 2
    held = connections[20]
    assert (held.record.in_doubt, held.record.status) == (True, Status.ACTIVE)
    memory.clock.advance(HOLD_SECONDS)
    assert outcomes([held], REVOKED) == [Outcome.REAUTH_REQUIRED]
    assert {each.record.status_cause for each in (*connections[:19], held)} == {"ambiguous_rotation"}


def test_a_slow_refusal_in_the_midst_of_a_hold_marks_nobody(vaulted: Vaulted) -> None:
    vaulted.deployment.health.hold("crm", until=vaulted.clock.now() + HOLD_SECONDS, now=vaulted.clock.now())
    slow = SlowProvider(vaulted.clock, CALL)
    slow.then(REVOKED)
    vaulted.clock.remaining = 37.0
    assert vaulted.engine(slow)(vaulted.key).outcome is Outcome.HELD
    assert vaulted.record.status is Status.ACTIVE


# Refused now and then


def flaky(deployment: Deployment) -> Vaulted:
    made = Vaulted(deployment, FLAKY)
    made.connect()
    made.fall_due()
    return made


def test_where_good_tokens_are_refused_now_and_then_the_third_refusal_is_believed(deployment: Deployment) -> None:
    vaulted = flaky(deployment)
    for _ in range(2):
        before = vaulted.clock.now()
        assert outcomes([vaulted], REVOKED) == [Outcome.RETRY_LATER]
        assert (vaulted.record.status, vaulted.record.in_doubt) == (Status.ACTIVE, False)
        assert vaulted.record.next_try_at == vaulted.record.due_at == before + 60
        assert outcomes([vaulted]) == [Outcome.FRESH]
        assert vaulted.refresh(rejected_gen=1).outcome is Outcome.WAITING
        vaulted.fall_due()
    assert outcomes([vaulted], REVOKED) == [Outcome.REAUTH_REQUIRED]
    assert vaulted.record.status_cause == "grant_revoked"


@pytest.mark.parametrize("step", [DOWN, answer(401, {"error": "invalid_client"}), Undetermined("deadline")])
@pytest.mark.parametrize("refusals", [0, 1, 2])
def test_a_different_failure_in_between_begins_the_count_anew(
    deployment: Deployment, step: HttpAnswer | BaseException, refusals: int
) -> None:
    vaulted = flaky(deployment)
    for _ in range(refusals):
        outcomes([vaulted], REVOKED)
        vaulted.fall_due()
    outcomes([vaulted], step)
    found = []
    for _ in range(3):
        vaulted.fall_due()
        found += outcomes([vaulted], REVOKED)
    assert found == [Outcome.RETRY_LATER, Outcome.RETRY_LATER, Outcome.REAUTH_REQUIRED]


def test_a_success_in_between_begins_the_count_anew(deployment: Deployment) -> None:
    vaulted = flaky(deployment)
    for _ in range(2):
        outcomes([vaulted], REVOKED)
        vaulted.fall_due()
    assert outcomes([vaulted], SECOND) == [Outcome.REFRESHED]
    for _ in range(2):
        vaulted.fall_due()
        assert outcomes([vaulted], REVOKED) == [Outcome.RETRY_LATER]


def test_a_provider_that_is_asked_again_is_held_too(memory: Deployment) -> None:
    connections = crowd(memory, 25, FLAKY)
    for _ in range(2):
        assert outcomes(connections, REVOKED) == [Outcome.RETRY_LATER] * 25
        memory.clock.advance(60)
    assert outcomes(connections, REVOKED) == [Outcome.REAUTH_REQUIRED] * 19 + [Outcome.HELD] * 6
    assert memory.health.read("crm").gone == 25
    memory.clock.advance(7200)
    assert Counter(outcomes(connections[19:], REVOKED)) == {Outcome.HELD: 6}
    assert memory.health.read("crm").gone == 25


# A new token for a connection that was erased meanwhile


REVOKE_AT = "https://api.crm.test/revoke"


def erase(vaulted: Vaulted) -> None:
    """Take the record away, lease and all: by hand, since nobody erases what is leased."""
    vaulted.deployment.dynamo.client.delete_item(
        TableName=vaulted.deployment.names["ConnectionsTable"],
        Key=to_item({"tenant": vaulted.key.tenant, "connection": vaulted.key.sort_key}),
    )


def removed_meanwhile(vaulted: Vaulted, *then: HttpAnswer | BaseException, kind: Revocation) -> FakeProvider:
    """Refresh while the connection is erased; `then` is what the revocation meets."""
    vaulted.crm = replace(vaulted.crm, revocation_url=REVOKE_AT, revocation=kind)

    class Removing(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            if not self.requests:
                erase(vaulted)
            return super().send(request, deadline_seconds=deadline_seconds)

    provider = Removing(SECOND, *then)
    vaulted.clock.remaining = 45.0
    assert vaulted.engine(provider)(vaulted.key) == Refreshed(Outcome.ABSENT, 0)
    assert vaulted.deployment.connections.read(vaulted.key) is None
    return provider


def test_a_token_of_a_removed_connection_is_revoked_where_that_ends_it_alone(vaulted: Vaulted, log_lines: Log) -> None:
    provider = removed_meanwhile(vaulted, answer(200, b""), kind=Revocation.TOKEN)
    _, request = provider.requests
    assert (request.method, request.url) == ("POST", REVOKE_AT)
    form = parse_qs(request.body.decode())
    assert (form["token"], form["token_type_hint"]) == (["CNRY-refresh-second"], ["refresh_token"])
    assert form["client_id"] == ["crm-client"]
    (line,) = log_lines.named("stray grant")
    assert (line["outcome"], line["connection"], line["level"]) == ("revoked", "crm#default", "INFO")
    assert "CNRY-" not in log_lines.text


@pytest.mark.parametrize("kind", [Revocation.GRANT, Revocation.UNKNOWN])
def test_a_token_whose_revocation_may_end_more_is_left_and_said_so(
    vaulted: Vaulted, kind: Revocation, log_lines: Log
) -> None:
    assert len(removed_meanwhile(vaulted, kind=kind).requests) == 1
    (line,) = log_lines.named("stray grant")
    assert (line["outcome"], line["detail"], line["level"]) == ("left", "may_be_shared", "WARNING")
    assert "CNRY-" not in log_lines.text


@pytest.mark.parametrize(
    ("trouble", "told"), [(NotDelivered("refused"), "not_delivered_refused"), (Undetermined("deadline"), "deadline")]
)
def test_a_revocation_that_is_not_answered_changes_nothing_else(
    vaulted: Vaulted, trouble: Exception, told: str, log_lines: Log
) -> None:
    removed_meanwhile(vaulted, trouble, kind=Revocation.TOKEN)
    (line,) = log_lines.named("stray grant")
    assert (line["level"], line["outcome"], line["detail"]) == ("ERROR", "unconfirmed", told)
    assert "CNRY-" not in log_lines.text


@pytest.mark.parametrize("status", [302, 400, 401, 503])
def test_a_refused_revocation_is_not_called_one(vaulted: Vaulted, status: int, log_lines: Log) -> None:
    removed_meanwhile(vaulted, answer(status, {"error": "CNRY-refresh-second"}), kind=Revocation.TOKEN)
    (line,) = log_lines.named("stray grant")
    assert (line["level"], line["outcome"]) == ("ERROR", "unconfirmed")
    assert line["detail"]
    assert "CNRY-" not in log_lines.text


def test_without_a_client_secret_nothing_is_revoked_and_it_is_said_so(vaulted: Vaulted, log_lines: Log) -> None:
    given = vaulted.deployment.secrets
    asked: list[str] = []

    def away(operation: str) -> None:
        if operation == "client_secrets":
            asked.append(operation)
            if len(asked) > 1:
                raise StorageUnavailable("secrets are away")

    given._before = away
    assert len(removed_meanwhile(vaulted, kind=Revocation.TOKEN).requests) == 1
    assert [line["detail"] for line in log_lines.named("stray grant")] == ["storage_unavailable"]


def test_with_too_little_time_nothing_is_revoked(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.crm = replace(vaulted.crm, revocation_url=REVOKE_AT, revocation=Revocation.TOKEN)

    class Late(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            erase(vaulted)
            vaulted.clock.remaining = 8.9
            return super().send(request, deadline_seconds=deadline_seconds)

    provider = Late(SECOND)
    vaulted.clock.remaining = 45.0
    assert vaulted.engine(provider)(vaulted.key) == Refreshed(Outcome.ABSENT, 0)
    assert len(provider.requests) == 1
    assert [line["detail"] for line in log_lines.named("stray grant")] == ["no_time_left"]


def test_an_answer_without_a_new_refresh_token_leaves_nothing_to_revoke(vaulted: Vaulted) -> None:
    """The stored one was whoever erased the connection's to revoke."""
    vaulted.crm = replace(vaulted.crm, revocation_url=REVOKE_AT, revocation=Revocation.TOKEN)

    class Removing(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            erase(vaulted)
            return super().send(request, deadline_seconds=deadline_seconds)

    provider = Removing(tokens(access_token="CNRY-access-second", refresh_token=None))
    vaulted.clock.remaining = 45.0
    vaulted.engine(provider)(vaulted.key)
    assert len(provider.requests) == 1
