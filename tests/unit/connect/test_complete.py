"""Completing a consent from the company's backend: handle, session and user must be the same person's (S-01)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from consentry.model import FlowStatus
from consentry.ports import NotDelivered, StorageUnavailable, Undetermined
from consentry.web.response import Response
from tests.support.client_secrets import CLIENT_SECRET
from tests.support.deployment import (
    CODE,
    COMPLETE,
    Browser,
    Deployment,
    body_of,
    everyone_reads_before_anyone_writes,
    query_of,
)
from tests.support.events import json_event
from tests.support.provider import Step, answer, tokens
from tests.support.tables import ignore, unavailable


@pytest.fixture
def created(deployment: Deployment) -> dict[str, Any]:
    return deployment.created()


@pytest.fixture
def returned(created: dict[str, Any], browser: Browser) -> dict[str, str]:
    """What the browser brought back to the company's application."""
    return query_of(browser.consents(created))


def complete(deployment: Deployment, session: str, body: object, tenant: str = "acme") -> Response:
    return deployment.manage(json_event(COMPLETE, {"tenant": tenant, "session": session}, body))


def test_a_confirmed_consent_is_exchanged_and_stored(
    deployment: Deployment, created: dict[str, Any], returned: dict[str, str]
) -> None:
    deployment.provider.then(tokens(scope="contacts"))
    response = deployment.completed(returned)
    assert response["statusCode"] == 200
    shown = body_of(response)["connection"]
    assert (shown["status"], shown["account"], shown["generation"]) == ("active", "4711", 1)
    assert "CNRY-" not in response["body"]
    sent = deployment.provider.forms[0]
    assert (sent["code"], sent["client_id"], sent["client_secret"]) == (CODE, "crm-client", CLIENT_SECRET)
    assert sent["redirect_uri"] == "https://vault.test/callback/crm"
    assert len(sent["code_verifier"]) == 43
    assert deployment.flow(created).status is FlowStatus.DONE
    assert deployment.flow(created).code == b""
    assert deployment.flow(created).verifier == b""


def test_another_user_is_a_conflict_and_the_code_is_destroyed(
    deployment: Deployment, created: dict[str, Any], returned: dict[str, str]
) -> None:
    """S-01 c."""
    response = deployment.completed(returned, user_ref="u-2")
    assert (response["statusCode"], body_of(response)["code"]) == (409, "other_user")
    flow = deployment.flow(created)
    assert (flow.status, flow.code, flow.verifier) == (FlowStatus.FAILED, b"", b"")
    again = body_of(deployment.completed(returned))
    assert (again["status"], again["code"]) == (409, "consent_failed")
    assert "nothing of it is stored" in again["detail"]
    assert deployment.provider.requests == []


def test_a_wrong_handle_is_not_found_and_destroys_nothing(deployment: Deployment, returned: dict[str, str]) -> None:
    """S-01 b."""
    wrong = {**returned, "handle": "crm." + "x" * 43}
    response = deployment.completed(wrong)
    assert (response["statusCode"], body_of(response)["code"]) == (404, "unknown_handle")
    assert deployment.provider.requests == []
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


def test_a_session_without_a_parked_code_has_no_handle(deployment: Deployment, created: dict[str, Any]) -> None:
    """S-01 b."""
    guessed = {"session": created["session"], "handle": "crm." + "x" * 43}
    assert deployment.completed(guessed)["statusCode"] == 404
    Browser(deployment).departs(created)
    assert deployment.completed(guessed)["statusCode"] == 404


def test_a_minute_later_it_is_too_late_and_the_code_is_gone(
    deployment: Deployment, created: dict[str, Any], returned: dict[str, str]
) -> None:
    """S-01 d."""
    deployment.clock.advance(60)
    response = deployment.completed(returned)
    assert response["statusCode"] == 410
    assert deployment.flow(created).code == b""
    assert deployment.flow(created).outcome == "completed_late"
    assert deployment.provider.requests == []


def test_a_second_before_that_it_is_not(deployment: Deployment, returned: dict[str, str]) -> None:
    deployment.clock.advance(59)
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


def test_completing_twice_exchanges_once(deployment: Deployment, returned: dict[str, str]) -> None:
    """S-01 e."""
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200
    again = deployment.completed(returned)
    assert (again["statusCode"], body_of(again)["code"]) == (409, "already_received")
    assert "received already" in body_of(again)["detail"]
    assert len(deployment.provider.requests) == 1


def test_of_32_completions_at_once_one_exchanges(deployment: Deployment, returned: dict[str, str]) -> None:
    """S-01 e."""
    deployment.provider.then(tokens(), tokens())
    deployment.ports.after = everyone_reads_before_anyone_writes(32)
    with ThreadPoolExecutor(32) as pool:
        statuses = [each["statusCode"] for each in pool.map(lambda _: deployment.completed(returned), range(32))]
    assert sorted(statuses) == [200] + [409] * 31
    assert len(deployment.provider.requests) == 1


def test_another_tenant_s_session_does_not_exist(deployment: Deployment, returned: dict[str, str]) -> None:
    """S-19: a foreign handle is answered like an unknown one."""
    foreign = deployment.completed(returned, tenant="other")
    unknown = complete(deployment, "x" * 22, {"handle": returned["handle"], "user_ref": "u-1"})
    assert (foreign["statusCode"], unknown["statusCode"]) == (404, 404)
    hidden = {"correlation_id": ""}
    assert body_of(foreign) | hidden == body_of(unknown) | hidden
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


@pytest.mark.parametrize("session", ["", "x", "x" * 3000, "a#b", "é", "\ud800", "crm"])
def test_an_odd_session_is_not_found_without_a_call(deployment: Deployment, session: str) -> None:
    deployment.dynamo.calls.clear()
    assert complete(deployment, session, {"handle": "crm.x", "user_ref": "u-1"})["statusCode"] == 404
    assert deployment.dynamo.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"handle": "crm.x"}, {"user_ref": "u-1"}, {"handle": 7, "user_ref": "u-1"}, {"handle": "x", "user_ref": "u"},
        {"handle": "crm.x", "user_ref": None}, {"handle": "..", "user_ref": "u"}, {"handle": "é.x", "user_ref": "u"},
        {"handle": ["crm.x"], "user_ref": "u"},
    ],
)  # fmt: skip
def test_a_malformed_body_is_refused(deployment: Deployment, created: dict[str, Any], body: object) -> None:
    response = complete(deployment, created["session"], body)
    assert response["statusCode"] == 400
    assert "handle" in body_of(response)["detail"]


@pytest.mark.parametrize("odd", ["crm.\ud800", "crm.\x00", "crm." + "x" * 60_000])
def test_an_odd_handle_is_not_found_and_an_odd_user_is_another_one(
    deployment: Deployment, returned: dict[str, str], odd: str
) -> None:
    assert deployment.completed({**returned, "handle": odd})["statusCode"] == 404
    assert deployment.completed(returned, user_ref=odd)["statusCode"] == 409


FAILURES: list[tuple[Step, int, str]] = [
    (answer(500, b"<html>CNRY-trouble</html>"), 502, "provider_trouble"),
    (answer(503, {"error": "temporarily_unavailable"}, retry_after="7"), 502, "provider_trouble"),
    (answer(429, {}, retry_after="7"), 502, "provider_trouble"),
    (answer(200, b"<html>CNRY-welcome</html>"), 502, "provider_trouble"),
    (answer(200, {"token_type": "bearer"}), 502, "provider_trouble"),
    (answer(200, b""), 502, "provider_trouble"),
    (answer(400, {"error": "invalid_grant", "error_description": "CNRY-words"}), 400, "code_refused"),
    (answer(401, {"error": "invalid_client"}), 503, "client_refused"),
    (answer(400, {"error": "CNRY-Token-7Hk2"}), 503, "client_refused"),
    (answer(302, b"", location="https://evil.test/"), 503, "client_refused"),
    (NotDelivered("NewConnectionError"), 502, "provider_silent"),
    (Undetermined("deadline"), 502, "provider_silent"),
    (Undetermined("ProtocolError", peer_closed=True), 502, "provider_silent"),
]


@pytest.mark.parametrize(("step", "status", "code"), FAILURES)
def test_a_failed_exchange_is_a_problem_stores_nothing_and_fails_the_flow(
    deployment: Deployment, created: dict[str, Any], returned: dict[str, str], step: Step, status: int, code: str
) -> None:
    deployment.provider.then(step)
    response = deployment.completed(returned)
    assert response["headers"]["Content-Type"] == "application/problem+json"
    assert (response["statusCode"], body_of(response)["code"]) == (status, code)
    assert "CNRY-" not in response["body"]
    assert deployment.connection() is None
    flow = deployment.flow(created)
    assert (flow.status, flow.outcome, flow.verifier) == (FlowStatus.FAILED, code, b"")
    assert len(deployment.provider.requests) == 1


def test_the_wait_that_a_provider_asks_for_is_passed_on(deployment: Deployment, returned: dict[str, str]) -> None:
    deployment.provider.then(answer(429, {}, retry_after="7"))
    assert deployment.completed(returned)["headers"]["Retry-After"] == "7"


def test_after_a_failure_the_same_link_begins_again(
    deployment: Deployment, browser: Browser, created: dict[str, Any], returned: dict[str, str]
) -> None:
    deployment.provider.then(Undetermined("deadline"))
    assert deployment.completed(returned)["statusCode"] == 502
    deployment.provider.then(tokens())
    assert deployment.completed(query_of(browser.consents(created)))["statusCode"] == 200


def test_a_missing_client_secret_fails_before_the_code_is_spent(
    deployment: Deployment, returned: dict[str, str]
) -> None:
    deployment.secrets.values = {}
    response = deployment.completed(returned)
    assert (response["statusCode"], body_of(response)["code"]) == (503, "misconfigured")
    assert deployment.provider.requests == []
    deployment.secrets.values = None
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


# What happens before the claim, by the port that is called and how often it was before.
BEFORE_THE_CLAIM = [
    ("get_item", 0), ("open", 0), ("open", 1), ("client_secrets", 0), ("get_item", 1), ("seal", 0), ("seal", 1),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "earlier"), BEFORE_THE_CLAIM)
@pytest.mark.parametrize("error", [unavailable("x"), StorageUnavailable("x"), RuntimeError("x")])
def test_what_fails_before_the_claim_leaves_the_code_for_another_try(
    deployment: Deployment,
    created: dict[str, Any],
    returned: dict[str, str],
    operation: str,
    earlier: int,
    error: Exception,
) -> None:
    seen: list[str] = []

    def fail(name: str) -> None:
        seen.append(name)
        if name == operation and seen.count(name) == earlier + 1:
            raise error

    deployment.ports.before = fail
    assert deployment.completed(returned)["statusCode"] == 503
    deployment.ports.before = ignore
    assert "update_item" not in seen
    assert deployment.flow(created).status is FlowStatus.CODE_RECEIVED
    deployment.clock.advance(30)
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200
    assert len(deployment.provider.requests) == 1


def test_too_little_time_for_the_whole_exchange_spends_nothing(
    deployment: Deployment, returned: dict[str, str]
) -> None:
    deployment.invocation_seconds = 28.0
    deployment.ports.before = lambda operation: deployment.clock.advance(3.0 if operation == "seal" else 0)
    response = deployment.completed(returned)
    assert (response["statusCode"], body_of(response)["code"]) == (503, "no_time_left")
    assert "Nothing was used up" in body_of(response)["detail"]
    assert response["headers"]["Retry-After"] == "5"
    assert deployment.provider.requests == []
    deployment.invocation_seconds = 29.0
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


def test_a_code_of_somebody_else_s_session_does_not_open(
    deployment: Deployment, browser: Browser, created: dict[str, Any], returned: dict[str, str]
) -> None:
    other = deployment.created(user_ref="u-2")
    browser.consents(other, code="CNRY-code-of-another")
    copy_attribute(deployment, "code", other, created)
    response = deployment.completed(returned)
    assert (response["statusCode"], body_of(response)["code"]) == (503, "unreadable_record")
    assert "CNRY-" not in response["body"]
    assert deployment.provider.requests == []


def copy_attribute(deployment: Deployment, name: str, source: dict[str, Any], target: dict[str, Any]) -> None:
    """Do what somebody could who may write the table and has no key."""
    table, client = deployment.names["PendingTable"], deployment.dynamo.client
    found = client.get_item(TableName=table, Key={"id": {"S": f"flow#{source['session']}#crm"}})["Item"]
    client.update_item(
        TableName=table,
        Key={"id": {"S": f"flow#{target['session']}#crm"}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": found[name]},
    )


@pytest.mark.parametrize(("late", "wrong"), [(0, {"user_ref": "u-2"}), (60, {})])
def test_a_wrong_or_late_completion_fails_no_flow_that_another_one_took(
    deployment: Deployment, created: dict[str, Any], returned: dict[str, str], late: int, wrong: dict[str, str]
) -> None:
    deployment.provider.then(tokens())
    first: list[Response] = []

    def somebody_is_faster(operation: str) -> None:
        deployment.ports.after = ignore
        first.append(deployment.completed(returned))
        deployment.clock.advance(late)

    deployment.ports.after = somebody_is_faster
    second = deployment.completed(returned, **wrong)
    assert [each["statusCode"] for each in first] == [200]
    assert (second["statusCode"], body_of(second)["code"]) == (409, "already_received")
    flow = deployment.flow(created)
    assert (flow.status, flow.outcome) == (FlowStatus.DONE, "active")


def test_a_provider_that_left_the_catalogue_is_the_operator_s_to_mend(
    deployment: Deployment, returned: dict[str, str]
) -> None:
    deployment.catalogue._providers.clear()
    assert deployment.completed(returned)["statusCode"] == 503
    assert deployment.provider.requests == []


def test_everything_fallible_happens_before_the_request(deployment: Deployment, returned: dict[str, str]) -> None:
    deployment.envelopes.sealing.clear()
    deployment.envelopes.opened.clear()
    deployment.provider.then(Undetermined("deadline"))
    deployment.completed(returned)
    assert sorted(deployment.envelopes.sealing) == ["access_token", "grant"]
    assert deployment.envelopes.opened == ["flow", "flow"]


def test_the_exchange_has_twelve_seconds(deployment: Deployment, returned: dict[str, str]) -> None:
    deployment.provider.then(tokens())
    deployment.completed(returned)
    assert deployment.provider.deadlines == [12.0]
