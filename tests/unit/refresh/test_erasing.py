"""From a disconnect to nothing (S-28): no token from the mark on, the grant withdrawn, the record gone within a day."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consentry.aws.dynamodb import from_item, to_item
from consentry.model import Connection, ConnectionKey, Field, Removal, Secret, Status
from consentry.oauth.provider import RefreshBehaviour, Revocation
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import Commit, NotDelivered, StorageUnavailable, Undetermined
from consentry.refresh.engine import Refreshed
from consentry.refresh.erasing import GIVE_UP_SECONDS
from consentry.refresh.guard import Guard
from consentry.refresh.health import Breaker, breaker
from consentry.refresh.policy import LEASE, Outcome
from consentry.tokens import grant_payload
from consentry.web.work import restore
from tests.support.catalogue import FakeCatalogue
from tests.support.deployment import Deployment
from tests.support.dynamo import MemoryDynamo
from tests.support.logs import Log
from tests.support.provider import FakeProvider, answer, tokens
from tests.support.tables import create_tables, ignore, unavailable
from tests.support.vaulted import FIRST_REFRESH, STATIC, STRICT, Vaulted

REVOKE_AT = "https://api.crm.test/revoke"
UNINSTALL_AT = "https://api.crm.test/install"
DONE = answer(200, b"")
BUSY = answer(503, b"")
SECOND = tokens(access_token="CNRY-access-second", refresh_token="CNRY-refresh-second")
ERASED = Refreshed(Outcome.ERASED, 1)
UNREVOKED = Refreshed(Outcome.ERASED_UNREVOKED, 1)
LATER = Refreshed(Outcome.RETRY_LATER, 1)


@pytest.fixture
def deployment() -> Deployment:
    client = MemoryDynamo().as_client
    return Deployment(client, create_tables(client), FakeCatalogue())


@pytest.fixture
def vaulted(deployment: Deployment) -> Vaulted:
    return connected(deployment)


KEY = ConnectionKey("acme", "crm")


def connected(
    deployment: Deployment,
    key: ConnectionKey = KEY,
    kind: Revocation = Revocation.TOKEN,
    behaviour: RefreshBehaviour = STRICT,
) -> Vaulted:
    """A connection whose provider revokes; one account for all of them."""
    made = Vaulted(deployment, behaviour)
    made.key = key
    made.crm = replace(made.crm, revocation_url=REVOKE_AT, revocation=kind)
    made.connect()
    return made


def disconnect(vaulted: Vaulted, removal: Removal = Removal.REVOKE) -> None:
    vaulted.deployment.removals.mark(vaulted.key, now=vaulted.clock.now(), removal=removal)


def row(vaulted: Vaulted) -> dict[str, Any]:
    found = vaulted.deployment.dynamo.client.get_item(
        TableName=vaulted.deployment.names["ConnectionsTable"], Key=key_of(vaulted)
    )
    return from_item(found["Item"]) if "Item" in found else {}


def key_of(vaulted: Vaulted) -> dict[str, Any]:
    return to_item({"tenant": vaulted.key.tenant, "connection": vaulted.key.sort_key})


def put(vaulted: Vaulted, **changes: object) -> None:
    item = to_item({**row(vaulted), **changes})
    vaulted.deployment.dynamo.client.put_item(TableName=vaulted.deployment.names["ConnectionsTable"], Item=item)


def failing(*operations: str) -> Callable[[str], None]:
    def fail(operation: str) -> None:
        if operation in operations:
            raise unavailable(operation)

    return fail


# The good way


def test_a_disconnected_connection_is_revoked_and_then_gone(vaulted: Vaulted, log_lines: Log) -> None:
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    (request,) = vaulted.provider.requests
    assert (request.method, request.url) == ("POST", REVOKE_AT)
    assert vaulted.provider.forms[0]["token"] == FIRST_REFRESH
    assert row(vaulted) == {}
    (line,) = log_lines.named("connection erased")
    assert (line["revoked"], line["outcome"], line["level"]) == (True, "erased", "INFO")
    assert "CNRY-" not in log_lines.text


def test_from_the_mark_on_there_is_no_access_token_and_the_grant_waits(vaulted: Vaulted) -> None:
    put(vaulted, attention="reauth_required", attention_since=1, next_try_at=5, last_error="later:x", enqueued_until=9)
    disconnect(vaulted)
    marked = row(vaulted)
    assert (marked["status"], marked["removal"], marked["failures"]) == ("deleting", "revoke", 0)
    assert marked["deleting_since"] == marked["due_at"] == vaulted.clock.now()
    ended = {"access_token", "attention", "attention_since", "next_try_at", "last_error", "enqueued_until"}
    assert ended.isdisjoint(marked)
    assert vaulted.refresh_token == FIRST_REFRESH


def test_what_was_erased_is_absent_for_the_next_hint(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    vaulted.refresh()
    assert vaulted.refresh() == Refreshed(Outcome.ABSENT, 0)


def test_a_rejected_token_erases_nothing(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    assert vaulted.refresh(rejected_gen=1) == Refreshed(Outcome.NOT_ACTIVE, 1)
    assert vaulted.provider.requests == []


def test_a_token_that_the_provider_no_longer_knows_has_ended(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.provider.then(answer(400, {"error": "invalid_token"}))
    assert vaulted.refresh() == ERASED


# Nothing to revoke


def test_customers_credentials_are_erased_at_once_and_said_not_to_be_revoked(
    deployment: Deployment, log_lines: Log
) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect_with_credentials()
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    (line,) = log_lines.named("connection erased")
    assert (line["revoked"], line["detail"], line["level"]) == (False, "client_credentials", "WARNING")
    assert row(vaulted) == {}


@pytest.mark.parametrize("removal", Removal)
def test_a_provider_without_revocation_leaves_nothing_to_do(vaulted: Vaulted, removal: Removal, log_lines: Log) -> None:
    vaulted.crm = replace(vaulted.crm, revocation_url="")
    disconnect(vaulted, removal)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "no_revocation"


def test_a_token_that_came_alone_has_no_grant_to_revoke(deployment: Deployment, log_lines: Log) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect(refresh_token=None)
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "no_refresh_token"


def test_a_grant_that_nobody_can_open_is_erased(vaulted: Vaulted, log_lines: Log) -> None:
    put(vaulted, grant=b"of another row")
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "unreadable_grant"


def test_a_provider_that_revokes_no_refresh_tokens_is_not_asked_again(vaulted: Vaulted, log_lines: Log) -> None:
    disconnect(vaulted)
    vaulted.provider.then(answer(400, {"error": "unsupported_token_type"}))
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "unsupported_token_type"


# Who shares the grant


OTHER = ConnectionKey("globex", "crm", "second")


@pytest.mark.parametrize("kind", [Revocation.GRANT, Revocation.UNKNOWN])
def test_what_ends_more_than_one_grant_is_not_done_while_another_connection_lives(
    deployment: Deployment, kind: Revocation, log_lines: Log
) -> None:
    vaulted, other = connected(deployment, kind=kind), connected(deployment, OTHER, kind=kind)
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    assert vaulted.provider.requests == []
    assert log_lines.named("connection erased")[0]["detail"] == "account_shared"
    assert other.record.status is Status.ACTIVE


@pytest.mark.parametrize("status", ["deleting", "reauth_required"])
@pytest.mark.parametrize("kind", [Revocation.GRANT, Revocation.UNKNOWN])
def test_a_connection_without_a_live_grant_is_in_nobodys_way(
    deployment: Deployment, kind: Revocation, status: str
) -> None:
    vaulted, other = connected(deployment, kind=kind), connected(deployment, OTHER, kind=kind)
    put(other, status=status)
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED


def test_another_account_of_the_same_client_is_another_grant(deployment: Deployment) -> None:
    vaulted, other = connected(deployment, kind=Revocation.GRANT), connected(deployment, OTHER, kind=Revocation.GRANT)
    put(other, client_account="api.crm.test|crm-client|4712", account="4712")
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED


def test_a_token_that_is_revoked_alone_needs_no_look_at_the_others(deployment: Deployment) -> None:
    vaulted, _ = connected(deployment), connected(deployment, OTHER)
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    deployment.dynamo.calls.clear()
    assert vaulted.refresh() == ERASED
    assert "query" not in deployment.dynamo.calls


@pytest.mark.parametrize("change", [{"v": 9}, {"connection": "not a name"}])
def test_a_row_that_nobody_can_read_counts_as_live(
    deployment: Deployment, change: dict[str, object], log_lines: Log
) -> None:
    vaulted, other = connected(deployment, kind=Revocation.GRANT), connected(deployment, OTHER, kind=Revocation.GRANT)
    put(other, **change)
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED


def test_an_index_that_still_names_what_is_gone_hinders_nothing(deployment: Deployment) -> None:
    vaulted, other = connected(deployment, kind=Revocation.GRANT), connected(deployment, OTHER, kind=Revocation.GRANT)
    disconnect(vaulted)
    read = deployment.connections.read
    deployment.connections.read = lambda key: None if key == OTHER else read(key)  # type: ignore[method-assign]  # the index lags behind
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert other.key == OTHER


def test_an_account_with_more_connections_than_there_is_time_for_does_not_outlast_its_day(
    deployment: Deployment, log_lines: Log
) -> None:
    others = [ConnectionKey("globex", "crm", f"n{each}") for each in range(40)]
    vaulted, *_ = [connected(deployment, key, Revocation.GRANT) for key in (KEY, *others)]
    for each in others:
        deployment.removals.mark(each, now=deployment.clock.now(), removal=Removal.REVOKE)
    disconnect(vaulted)
    read, looked_at = deployment.connections.read, list[ConnectionKey]()

    def slowly(key: ConnectionKey) -> Connection | None:
        deployment.clock.remaining -= 1
        looked_at.append(key)
        return read(key)

    deployment.connections.read = slowly  # type: ignore[method-assign]  # as slow as thousands of them
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)
    assert len(looked_at) < 30
    deployment.clock.advance(GIVE_UP_SECONDS)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "given_up:no_time_left"
    assert vaulted.provider.requests == []


def test_a_grant_of_nobody_knows_whom_is_not_revoked_with_all_the_others(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.crm = replace(vaulted.crm, revocation=Revocation.GRANT)
    put(vaulted, account="")
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "account_unknown"


# Not yet


TROUBLE: list[tuple[HttpAnswer | Exception, Outcome, str]] = [
    (BUSY, Outcome.RETRY_LATER, "http_503"),
    (answer(429, {"error": "slow_down"}, retry_after="2000"), Outcome.RETRY_LATER, "slow_down"),
    (answer(302, b""), Outcome.RETRY_LATER, "http_302"),
    (answer(404, b""), Outcome.RETRY_LATER, "http_404"),
    (answer(401, {"error": "invalid_client"}), Outcome.OPERATOR, "invalid_client"),
    (answer(400, {"error": FIRST_REFRESH}), Outcome.RETRY_LATER, "unknown_error"),
    (NotDelivered("refused"), Outcome.RETRY_LATER, "not_delivered_refused"),
    (Undetermined("deadline"), Outcome.RETRY_LATER, "deadline"),
]


@pytest.mark.parametrize(("step", "outcome", "error"), TROUBLE)
def test_a_revocation_without_success_is_tried_again_later(
    vaulted: Vaulted, step: HttpAnswer | Exception, outcome: Outcome, error: str, log_lines: Log
) -> None:
    disconnect(vaulted)
    vaulted.provider.then(step, DONE)
    assert vaulted.refresh() == Refreshed(outcome, 1)
    put_off = row(vaulted)
    assert put_off["last_error"] == f"revocation:{error}"
    assert put_off["failures"] == 1
    assert "lease_owner" not in put_off
    assert put_off["due_at"] > vaulted.clock.now()
    assert log_lines.named("revocation put off")[0]["error"] == error
    assert "CNRY-" not in log_lines.text
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)
    vaulted.clock.time = put_off["due_at"]
    assert vaulted.refresh() == ERASED


def test_a_provider_says_when_to_come_back(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.provider.then(answer(429, b"", retry_after="2000"))
    vaulted.refresh()
    assert row(vaulted)["due_at"] == vaulted.clock.now() + 2000


@pytest.mark.parametrize(("step", "outcome", "error"), TROUBLE)
def test_after_a_day_the_record_goes_all_the_same_and_that_is_said(
    vaulted: Vaulted, step: HttpAnswer | Exception, outcome: Outcome, error: str, log_lines: Log
) -> None:
    disconnect(vaulted)
    vaulted.clock.advance(GIVE_UP_SECONDS)
    vaulted.provider.then(step)
    assert vaulted.refresh() == UNREVOKED
    (line,) = log_lines.named("connection erased")
    assert (line["revoked"], line["detail"]) == (False, f"given_up:{error}")
    assert row(vaulted) == {}


def test_the_last_try_may_still_succeed(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.clock.advance(GIVE_UP_SECONDS)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED


def test_a_second_before_the_day_is_over_nothing_is_given_up(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.clock.advance(GIVE_UP_SECONDS - 1)
    vaulted.provider.then(BUSY)
    assert vaulted.refresh() == LATER


@pytest.mark.parametrize("missing", ["client_secrets", "open"])
def test_a_secret_or_key_that_does_not_answer_sends_nothing(vaulted: Vaulted, missing: str) -> None:
    disconnect(vaulted)
    vaulted.deployment.ports.before = failing_as_storage(missing)
    assert vaulted.refresh() == Refreshed(Outcome.UNAVAILABLE, 1)
    assert vaulted.provider.requests == []
    assert row(vaulted)["status"] == "deleting"


def failing_as_storage(missing: str) -> Callable[[str], None]:
    def fail(operation: str) -> None:
        if operation == missing:
            raise StorageUnavailable("away", detail=f"{missing} is away")

    return fail


def test_a_missing_client_secret_is_waited_for(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.deployment.secrets.values = {}
    assert vaulted.refresh() == Refreshed(Outcome.UNAVAILABLE, 1)
    assert row(vaulted)["last_error"] == "revocation:misconfigured"


def test_an_unknown_provider_is_waited_for(vaulted: Vaulted) -> None:
    put(vaulted, provider="unknown")
    disconnect(vaulted)
    assert vaulted.refresh() == Refreshed(Outcome.UNAVAILABLE, 1)
    assert row(vaulted)["status"] == "deleting"


def test_a_record_of_another_epoch_is_left_alone(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.epoch = 2
    assert vaulted.refresh() == Refreshed(Outcome.OTHER_EPOCH, 1)
    assert vaulted.provider.requests == []
    assert row(vaulted)["due_at"] > vaulted.clock.now()


def test_with_too_little_time_nothing_is_begun(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.clock.remaining = 35.0
    assert vaulted.engine()(vaulted.key).outcome is Outcome.WAITING
    assert "lease_owner" not in row(vaulted)


def test_time_that_ran_out_before_the_request_sends_none(vaulted: Vaulted) -> None:
    disconnect(vaulted)

    def slowly(operation: str) -> None:
        if operation == "open":
            vaulted.clock.remaining = 10.0

    vaulted.deployment.ports.before = slowly
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)
    assert vaulted.provider.requests == []
    assert row(vaulted)["last_error"] == "revocation:no_time_left"


def test_what_has_no_time_to_look_again_is_left_alone(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    item = row(vaulted)
    del item["due_at"]
    vaulted.deployment.dynamo.client.put_item(
        TableName=vaulted.deployment.names["ConnectionsTable"], Item=to_item(item)
    )
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)


# Breaker and rate


def test_an_open_breaker_holds_for_revocations_too(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.deployment.health.pause("crm", until=vaulted.clock.now() + 600)
    assert vaulted.refresh() == Refreshed(Outcome.HELD_BACK, 1)
    assert vaulted.provider.requests == []
    assert row(vaulted)["last_error"] == "revocation:held_back"


class UsedUp(Guard):
    """Every window is full."""

    def takes_turn(self, integration: str) -> bool:
        return False


def test_a_rate_that_is_used_up_holds_for_revocations_too(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    deployment = vaulted.deployment
    vaulted.guard = UsedUp(clock=vaulted.clock, randomness=deployment.randomness, records=deployment.health)
    assert vaulted.refresh() == Refreshed(Outcome.HELD_BACK, 1)


def test_a_farewell_that_fails_opens_no_breaker(deployment: Deployment) -> None:
    made = [connected(deployment, ConnectionKey(f"tenant{each}", "crm")) for each in range(12)]
    for each in made:
        disconnect(each)
        each.provider.then(BUSY)
        assert each.refresh() == LATER
    assert breaker(deployment.health.read("crm"), deployment.clock.now()) is Breaker.CLOSED


def test_a_revocation_that_succeeds_is_a_probe_that_succeeds(vaulted: Vaulted) -> None:
    now = vaulted.clock.now()
    vaulted.deployment.health.open("crm", until=now + 30, opened=1, now=now)
    disconnect(vaulted)
    vaulted.clock.advance(40)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert breaker(vaulted.deployment.health.read("crm"), vaulted.clock.now()) is Breaker.RAMP


# Under way at the same time


class Disconnecting(FakeProvider):
    """A provider during whose first answer the customer disconnects."""

    def __init__(self, vaulted: Vaulted, *script: HttpAnswer | BaseException) -> None:
        super().__init__(*script)
        self._vaulted = vaulted

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        if not self.requests:
            disconnect(self._vaulted)
        return super().send(request, deadline_seconds=deadline_seconds)


def test_what_a_refresh_brings_for_a_disconnected_connection_is_revoked_too(vaulted: Vaulted) -> None:
    vaulted.fall_due()
    assert vaulted.engine(Disconnecting(vaulted, SECOND))(vaulted.key) == Refreshed(Outcome.ADOPTED, 1)
    waiting = row(vaulted)
    assert (waiting["status"], waiting["gen"]) == ("deleting", 1)
    assert "access_token" not in waiting
    assert vaulted.refresh_token == "CNRY-refresh-second"
    vaulted.clock.advance(LEASE + 1)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert vaulted.provider.forms[0]["token"] == "CNRY-refresh-second"


def test_nobody_erases_under_a_lease(vaulted: Vaulted) -> None:
    vaulted.fall_due()
    outcomes: list[Refreshed] = []

    class Looking(Disconnecting):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            received = super().send(request, deadline_seconds=deadline_seconds)
            outcomes.append(vaulted.engine()(vaulted.key))
            return received

    vaulted.clock.remaining = 45.0
    vaulted.engine(Looking(vaulted, SECOND))(vaulted.key)
    assert outcomes == [Refreshed(Outcome.BUSY, 1)]
    assert vaulted.provider.requests == []
    assert row(vaulted)["status"] == "deleting"


def test_a_hint_that_came_too_early_is_followed_by_another(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    put(vaulted, lease_owner="somebody", lease_until=vaulted.clock.now() + 30, enqueued_until=vaulted.clock.now() + 270)
    assert vaulted.refresh() == Refreshed(Outcome.BUSY, 1)
    assert "enqueued_until" not in row(vaulted)


def test_an_answer_without_a_new_refresh_token_leaves_the_stored_one_to_be_revoked(vaulted: Vaulted) -> None:
    vaulted.fall_due()
    vaulted.engine(Disconnecting(vaulted, tokens(refresh_token=None)))(vaulted.key)
    assert vaulted.refresh_token == FIRST_REFRESH
    vaulted.clock.advance(LEASE + 1)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert vaulted.provider.forms[0]["token"] == FIRST_REFRESH


def escrowed(vaulted: Vaulted) -> None:
    """Refresh, and let the table go away before the new tokens are written."""
    vaulted.fall_due()

    class Gone(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            vaulted.deployment.ports.before = failing("update_item")
            return super().send(request, deadline_seconds=deadline_seconds)

    vaulted.clock.remaining = 45.0
    assert vaulted.engine(Gone(SECOND))(vaulted.key).outcome is Outcome.ESCROWED
    vaulted.deployment.ports.before = ignore
    vaulted.clock.advance(LEASE)


def restored(vaulted: Vaulted) -> None:
    (message,) = vaulted.escrow.messages
    event = {"Records": [{"messageId": "1", "body": message}]}
    assert restore(event, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    vaulted.escrow.messages.clear()


def test_a_grant_in_escrow_is_waited_for_and_revoked(vaulted: Vaulted) -> None:
    escrowed(vaulted)
    disconnect(vaulted)
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)
    assert vaulted.provider.requests == []
    restored(vaulted)
    vaulted.clock.time = row(vaulted)["due_at"]
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert vaulted.provider.forms[0]["token"] == "CNRY-refresh-second"


def test_on_the_last_day_nobody_waits_for_the_escrow(vaulted: Vaulted, log_lines: Log) -> None:
    escrowed(vaulted)
    disconnect(vaulted)
    vaulted.clock.advance(GIVE_UP_SECONDS)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == UNREVOKED
    assert vaulted.provider.forms[0]["token"] == FIRST_REFRESH
    assert log_lines.named("connection erased")[0]["detail"] == "in_doubt"


def test_a_grant_that_comes_out_of_escrow_during_the_revocation_is_revoked_next(vaulted: Vaulted) -> None:
    vaulted.crm = replace(vaulted.crm, refresh=STATIC)  # so that nobody waits for the escrow
    escrowed(vaulted)
    disconnect(vaulted)

    class Restoring(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            restored(vaulted)
            return super().send(request, deadline_seconds=deadline_seconds)

    vaulted.clock.remaining = 45.0
    assert vaulted.engine(Restoring(DONE))(vaulted.key) == Refreshed(Outcome.WAITING, 1)
    assert vaulted.refresh_token == "CNRY-refresh-second"
    vaulted.clock.advance(LEASE + 1)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert vaulted.provider.forms[0]["token"] == "CNRY-refresh-second"


def test_a_rotation_that_was_never_answered_is_reported_although_the_old_token_was_revoked(
    vaulted: Vaulted, log_lines: Log
) -> None:
    vaulted.fall_due()
    vaulted.provider.then(Undetermined("deadline"), DONE)
    vaulted.refresh()
    vaulted.clock.advance(LEASE)
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "in_doubt"


def test_a_grant_that_was_refused_is_in_no_doubt(vaulted: Vaulted) -> None:
    vaulted.fall_due()
    vaulted.provider.then(answer(400, {"error": "invalid_grant"}), DONE)
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED
    vaulted.clock.advance(LEASE + 1)
    disconnect(vaulted)
    assert vaulted.refresh() == ERASED


def test_a_refused_grant_whose_successor_may_have_been_lost_is_reported(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.fall_due()
    vaulted.provider.then(Undetermined("deadline"), answer(400, {"error": "invalid_grant"}), DONE)
    vaulted.refresh()
    vaulted.clock.time = row(vaulted)["due_at"]
    assert vaulted.refresh().outcome is Outcome.REAUTH_REQUIRED
    assert row(vaulted)["status_cause"] == "ambiguous_rotation"
    disconnect(vaulted)
    assert vaulted.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "in_doubt"


def test_a_refused_grant_whose_successor_waits_in_escrow_is_not_erased_before_it_came(vaulted: Vaulted) -> None:
    escrowed(vaulted)
    put(vaulted, status="reauth_required", status_cause="ambiguous_rotation")
    disconnect(vaulted)
    assert vaulted.refresh() == Refreshed(Outcome.WAITING, 1)
    restored(vaulted)
    vaulted.clock.time = row(vaulted)["due_at"]
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED
    assert vaulted.provider.forms[0]["token"] == "CNRY-refresh-second"


# A connection made anew with the same name


def reconnected(vaulted: Vaulted) -> None:
    """Disconnect, let it be erased, and connect again: the same name, and generation 1 once more."""
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    vaulted.clock.advance(LEASE + 1)
    assert vaulted.refresh() == ERASED
    vaulted.connect(refresh_token="CNRY-refresh-new")


def test_tokens_from_before_an_erasure_never_land_in_what_was_made_anew(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.crm = replace(vaulted.crm, refresh=STATIC)
    escrowed(vaulted)
    reconnected(vaulted)
    before = vaulted.record
    restored(vaulted)
    assert vaulted.record == before
    assert log_lines.named("restored from escrow")[0]["outcome"] == "superseded"


def test_what_comes_out_of_escrow_after_the_erasure_is_a_matter_for_an_operator(
    vaulted: Vaulted, log_lines: Log
) -> None:
    escrowed(vaulted)
    disconnect(vaulted)
    vaulted.clock.advance(GIVE_UP_SECONDS)
    vaulted.provider.then(DONE)
    vaulted.refresh()
    restored(vaulted)
    (line,) = log_lines.named("restored from escrow")
    assert (line["outcome"], line["level"]) == ("gone", "ERROR")


def test_a_message_from_before_consents_were_written_is_still_taken(vaulted: Vaulted) -> None:
    escrowed(vaulted)
    (message,) = vaulted.escrow.messages
    vaulted.escrow.messages = [message.replace(f'"consent":"{vaulted.record.consent_id}"', '"from":"before"')]
    restored(vaulted)
    assert (vaulted.record.gen, vaulted.refresh_token) == (2, "CNRY-refresh-second")


def test_a_worker_that_read_before_the_erasure_takes_no_lease_on_what_was_made_anew(vaulted: Vaulted) -> None:
    vaulted.fall_due()
    once: list[bool] = []

    def meanwhile(operation: str) -> None:
        if operation == "seal" and not once:
            once.append(True)
            reconnected(vaulted)
            vaulted.fall_due()
            vaulted.clock.remaining = 45.0

    vaulted.deployment.ports.before = meanwhile
    assert vaulted.engine()(vaulted.key) == Refreshed(Outcome.BUSY, 1)
    assert len(vaulted.provider.requests) == 1  # the revocation
    assert vaulted.refresh_token == "CNRY-refresh-new"
    assert "lease_owner" not in row(vaulted)


def test_whoever_erases_slowly_does_not_erase_what_was_made_anew_and_disconnected_again(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    read = vaulted.record
    vaulted.provider.then(DONE)
    vaulted.refresh()
    vaulted.connect(refresh_token="CNRY-refresh-new")
    disconnect(vaulted)
    assert vaulted.engine().erase(read) is Outcome.BUSY
    assert vaulted.refresh_token == "CNRY-refresh-new"


def test_a_commit_that_finds_nothing_says_so(vaulted: Vaulted) -> None:
    commit = Commit(
        key=vaulted.key, expected_gen=1, expected_epoch=1, epoch=1, commit_id="late", status=Status.ACTIVE,
        set_attributes={"refreshed_at": 1},
    )  # fmt: skip
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    vaulted.refresh()
    assert vaulted.deployment.connections.restore(commit) == "gone"
    assert row(vaulted) == {}


# Uninstalling


@pytest.fixture
def installed(deployment: Deployment) -> Vaulted:
    made = connected(deployment, kind=Revocation.UNKNOWN)
    made.crm = replace(made.crm, uninstall_url=UNINSTALL_AT)
    disconnect(made, Removal.UNINSTALL)
    return made


def sent(vaulted: Vaulted) -> list[tuple[str, str]]:
    return [(each.method, each.url) for each in vaulted.provider.requests]


REFRESHED, UNINSTALLED, REVOKED = ("POST", "https://api.crm.test/token"), ("DELETE", UNINSTALL_AT), ("POST", REVOKE_AT)


def test_an_application_is_uninstalled_with_a_last_access_token_and_its_grant_revoked(installed: Vaulted) -> None:
    installed.provider.then(SECOND, answer(204, b""), DONE)
    assert installed.refresh() == ERASED
    assert sent(installed) == [REFRESHED, UNINSTALLED, REVOKED]
    assert installed.provider.requests[1].headers["Authorization"] == "Bearer CNRY-access-second"
    assert installed.provider.forms[2]["token"] == "CNRY-refresh-second"
    assert row(installed) == {}


def test_without_being_asked_nothing_is_uninstalled(deployment: Deployment) -> None:
    made = connected(deployment, kind=Revocation.UNKNOWN)
    made.crm = replace(made.crm, uninstall_url=UNINSTALL_AT)
    disconnect(made)
    made.provider.then(DONE)
    assert made.refresh() == ERASED
    assert sent(made) == [REVOKED]


def test_a_provider_that_only_uninstalls_is_asked_for_that(installed: Vaulted) -> None:
    installed.crm = replace(installed.crm, revocation_url="")
    installed.provider.then(SECOND, answer(204, b""))
    assert installed.refresh() == ERASED
    assert sent(installed) == [REFRESHED, UNINSTALLED]


def test_a_last_refresh_that_rotated_is_kept_although_the_uninstalling_fails(installed: Vaulted) -> None:
    installed.provider.then(SECOND, BUSY)
    assert installed.refresh() == LATER
    assert installed.refresh_token == "CNRY-refresh-second"
    installed.clock.time = row(installed)["due_at"]
    installed.provider.then(tokens(refresh_token=None), answer(204, b""), DONE)
    assert installed.refresh() == ERASED
    assert installed.provider.forms[2]["refresh_token"] == "CNRY-refresh-second"


def test_a_grant_that_has_ended_leaves_nothing_to_uninstall_with_and_that_is_said(
    installed: Vaulted, log_lines: Log
) -> None:
    installed.provider.then(answer(400, {"error": "invalid_grant"}), DONE)
    assert installed.refresh() == ERASED
    assert log_lines.named("application not uninstalled")[0]["error"] == "invalid_grant"
    assert sent(installed) == [REFRESHED, REVOKED]


@pytest.mark.parametrize(
    ("step", "outcome"),
    [(answer(401, {"error": "invalid_client"}), Outcome.OPERATOR), (BUSY, Outcome.RETRY_LATER)],
)
def test_a_last_refresh_that_fails_is_tried_again(installed: Vaulted, step: HttpAnswer, outcome: Outcome) -> None:
    installed.provider.then(step)
    assert installed.refresh() == Refreshed(outcome, 1)
    assert sent(installed) == [REFRESHED]


@pytest.mark.parametrize("lost", [Undetermined("deadline"), answer(200, b"<html>")])
def test_a_last_refresh_whose_answer_was_lost_is_reported_although_the_old_token_has_ended(
    installed: Vaulted, lost: HttpAnswer | Undetermined, log_lines: Log
) -> None:
    installed.provider.then(lost)
    assert installed.refresh() == LATER
    installed.clock.time = row(installed)["due_at"]
    installed.provider.then(answer(400, {"error": "invalid_grant"}), DONE)
    assert installed.refresh() == UNREVOKED
    assert log_lines.named("connection erased")[0]["detail"] == "in_doubt"


def test_a_last_refresh_whose_answer_was_lost_leaves_no_doubt_once_the_application_is_out(installed: Vaulted) -> None:
    installed.provider.then(Undetermined("deadline"))
    installed.refresh()
    installed.clock.time = row(installed)["due_at"]
    installed.provider.then(SECOND, answer(204, b""), DONE)
    assert installed.refresh() == ERASED


def test_an_uninstallation_that_is_refused_for_good_is_said_and_the_grant_revoked(
    installed: Vaulted, log_lines: Log
) -> None:
    installed.provider.then(SECOND, answer(403, {"error": "missing_scopes"}), DONE)
    assert installed.refresh() == ERASED
    assert log_lines.named("application not uninstalled")[0]["error"] == "missing_scopes"
    assert "CNRY-" not in log_lines.text


def test_a_grant_that_was_kept_and_cannot_be_revoked_is_erased_all_the_same(installed: Vaulted) -> None:
    installed.provider.then(SECOND, answer(204, b""), answer(400, {"error": "unsupported_token_type"}))
    assert installed.refresh() == UNREVOKED
    assert row(installed) == {}


def test_nothing_is_uninstalled_below_another_connection(deployment: Deployment, installed: Vaulted) -> None:
    connected(deployment, OTHER, kind=Revocation.UNKNOWN)
    assert installed.refresh() == UNREVOKED
    assert installed.provider.requests == []


def test_on_the_last_day_a_revocation_is_worth_more_than_an_uninstallation(installed: Vaulted) -> None:
    installed.clock.advance(GIVE_UP_SECONDS)
    installed.provider.then(DONE)
    assert installed.refresh() == ERASED
    assert sent(installed) == [REVOKED]


def test_a_claim_that_was_lost_meanwhile_uninstalls_nothing(installed: Vaulted) -> None:
    class Losing(FakeProvider):
        def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
            put(installed, lease_owner="somebody-else")
            return super().send(request, deadline_seconds=deadline_seconds)

    installed.clock.remaining = 45.0
    provider = Losing(SECOND)
    assert installed.engine(provider)(installed.key) == Refreshed(Outcome.WAITING, 1)
    assert len(provider.requests) == 1
    assert row(installed)["lease_owner"] == "somebody-else"


# Storage


def test_a_claim_that_cannot_be_written_leaves_the_record_as_it_is(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    before = row(vaulted)
    vaulted.deployment.ports.before = failing("update_item")
    with pytest.raises(StorageUnavailable):
        vaulted.refresh()
    assert row(vaulted) == before


def test_an_erasure_whose_answer_was_lost_is_done(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    lost: list[str] = []

    def lose(operation: str) -> None:
        if operation == "delete_item" and not lost:
            lost.append(operation)
            raise unavailable(operation)

    vaulted.deployment.ports.after = lose
    assert vaulted.refresh() == ERASED
    assert row(vaulted) == {}


def test_a_table_that_stays_away_keeps_the_record_for_another_try(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    vaulted.provider.then(DONE)
    vaulted.deployment.ports.before = failing("delete_item")
    assert vaulted.refresh() == Refreshed(Outcome.UNAVAILABLE, 1)
    vaulted.deployment.ports.before = ignore
    vaulted.clock.advance(LEASE + 1)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED


def test_a_claim_whose_answer_was_lost_is_waited_for(vaulted: Vaulted) -> None:
    disconnect(vaulted)
    lost: list[str] = []

    def lose(operation: str) -> None:
        if operation == "update_item" and not lost:
            lost.append(operation)
            raise unavailable(operation)

    vaulted.deployment.ports.after = lose
    assert vaulted.refresh() == Refreshed(Outcome.UNAVAILABLE, 1)
    assert vaulted.provider.requests == []
    vaulted.clock.advance(LEASE + 1)
    vaulted.provider.then(DONE)
    assert vaulted.refresh() == ERASED


def test_a_grant_is_sealed_for_its_own_row_when_it_is_kept(installed: Vaulted) -> None:
    installed.provider.then(SECOND, BUSY)
    installed.refresh()
    context = installed.key.encryption_context(Field.GRANT)
    opened = installed.deployment.envelopes.open(row(installed)["grant"], context)
    assert opened.reveal() == grant_payload({"refresh_token": Secret("CNRY-refresh-second")}).reveal()
