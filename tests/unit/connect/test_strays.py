"""Grants that a consent brought and that found no place: revoked by who received them, if that ends them alone.

S-42 (another account), S-45 (a lost race), and connections that were disconnected during the exchange.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest

from consentry.model import ConnectionKey, FlowStatus, Removal
from consentry.oauth.provider import Provider, Revocation
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.ports import NotDelivered, Undetermined
from consentry.web.response import Response
from tests.support.catalogue import DESK, METRICS, FakeCatalogue
from tests.support.client_secrets import CLIENT_SECRET
from tests.support.deployment import INTEGRATIONS, Browser, Deployment, body_of, provider_answer, query_of
from tests.support.dynamo import MemoryDynamo
from tests.support.families import ALONE, REVOKE_AT, Families
from tests.support.logs import Log
from tests.support.provider import FakeProvider, Step, answer, tokens
from tests.support.tables import create_tables, ignore, unavailable

KEY = ConnectionKey("acme", "crm")
BOB = {"hub_id": 9, "refresh_token": "CNRY-refresh-of-bob"}
DIRECT = {"completion": "direct", "return_url": ""}


@pytest.fixture
def deployment(log_lines: Log) -> Deployment:
    """In memory, of a provider whose tokens can be revoked one by one."""
    client = MemoryDynamo().as_client
    names = create_tables(client)
    made = Deployment(client, names, FakeCatalogue(ALONE, DESK, METRICS))
    for row in INTEGRATIONS[:1]:
        client.put_item(TableName=names["IntegrationsTable"], Item={name: {"S": text} for name, text in row.items()})
    return made


def returned(deployment: Deployment, code: str = "", **session: Any) -> dict[str, str]:  # noqa: ANN401 - handed on
    """Consent, and return what the browser brings back."""
    given = {"code": code} if code else {}
    return query_of(Browser(deployment).consents(deployment.created(**session), **given))


def connect(deployment: Deployment, *script: Step, **session: Any) -> Response:  # noqa: ANN401 - handed on
    deployment.provider.then(*script)
    return deployment.completed(returned(deployment, **session))


def revocations(deployment: Deployment) -> list[str]:
    """The tokens that were given to the revocation endpoint."""
    sent = zip(deployment.provider.requests, deployment.provider.forms, strict=True)
    return [form["token"] for request, form in sent if request.url == REVOKE_AT]


def code_of(response: Response) -> tuple[int, str]:
    return response["statusCode"], body_of(response).get("code", "")


def strays(log_lines: Log) -> list[tuple[str, str, str]]:
    return [(line["outcome"], line.get("detail", ""), line["code"]) for line in log_lines.named("stray grant")]


def of_kind(deployment: Deployment, provider: Provider) -> None:
    deployment.catalogue._providers["crm"] = provider


def disconnect(deployment: Deployment) -> None:
    deployment.removals.mark(KEY, now=deployment.clock.now(), removal=Removal.REVOKE)


class Interrupted(FakeProvider):
    """Something happens while the provider answers a token request."""

    def __init__(self, meanwhile: Callable[[], object], *script: Step) -> None:
        super().__init__(*script)
        self._meanwhile = [meanwhile]

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        if self._meanwhile:
            self._meanwhile.pop()()
        return super().send(request, deadline_seconds=deadline_seconds)


def test_another_account_s_grant_is_revoked_and_the_old_connection_works(
    deployment: Deployment, log_lines: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    """S-42: consent as bob on alice's connection."""
    connect(deployment, tokens())
    before = deployment.connection()
    assert code_of(connect(deployment, tokens(**BOB), answer(200, b""))) == (409, "account_mismatch")
    assert deployment.connection() == before
    assert revocations(deployment) == ["CNRY-refresh-of-bob"]
    form = deployment.provider.forms[-1]
    assert (form["client_id"], form["client_secret"]) == ("crm-client", CLIENT_SECRET)
    assert deployment.provider.deadlines == [12.0, 12.0, 5.0]
    assert strays(log_lines) == [("revoked", "", "account_mismatch")]
    assert '"outcome":"revoked","StrayGrants":[1.0]' in capfd.readouterr().out
    assert "CNRY-" not in log_lines.text


def test_an_account_that_is_not_told_is_revoked_as_well(deployment: Deployment, log_lines: Log) -> None:
    """S-42."""
    connect(deployment, tokens())
    again = connect(deployment, tokens(hub_id=None, refresh_token="CNRY-of-whom"), answer(200, b""))
    assert code_of(again) == (502, "account_unknown")
    assert revocations(deployment) == ["CNRY-of-whom"]
    assert strays(log_lines) == [("revoked", "", "account_unknown")]


def test_an_account_that_may_change_is_stored_and_nothing_is_revoked(deployment: Deployment, log_lines: Log) -> None:
    """S-42."""
    connect(deployment, tokens())
    assert connect(deployment, tokens(**BOB), allow_account_change=True)["statusCode"] == 200
    assert revocations(deployment) == []
    assert strays(log_lines) == []


def test_a_direct_consent_that_is_refused_is_revoked_too(deployment: Deployment) -> None:
    """S-42."""
    connect(deployment, tokens())
    deployment.provider.then(tokens(**BOB), answer(200, b""))
    page = Browser(deployment).consents(deployment.created(**DIRECT))
    assert page["statusCode"] == 409
    assert revocations(deployment) == ["CNRY-refresh-of-bob"]


def test_what_is_disconnected_during_the_exchange_is_revoked(deployment: Deployment, log_lines: Log) -> None:
    connect(deployment, tokens())
    back = returned(deployment)
    new = tokens(refresh_token="CNRY-refresh-new")
    deployment.provider = Interrupted(lambda: disconnect(deployment), new, answer(200, b""))
    assert code_of(deployment.completed(back)) == (409, "deleting")
    assert revocations(deployment) == ["CNRY-refresh-new"]
    assert strays(log_lines) == [("revoked", "", "deleting")]


def test_of_two_exchanges_at_once_the_second_to_arrive_is_revoked(deployment: Deployment, log_lines: Log) -> None:
    """S-45."""
    first, second = returned(deployment), returned(deployment)
    winner = tokens(refresh_token="CNRY-refresh-winner")
    done: list[Response] = []
    deployment.provider = Interrupted(
        lambda: done.append(deployment.completed(second)), winner, tokens(), answer(200, b"")
    )
    assert code_of(deployment.completed(first)) == (409, "overtaken")
    assert [each["statusCode"] for each in done] == [200]
    assert revocations(deployment) == ["CNRY-refresh-0a4c8e2d7b5f4913"]
    assert strays(log_lines) == [("revoked", "", "overtaken")]


def test_a_consent_that_came_back_before_another_was_completed_asks_nobody(deployment: Deployment) -> None:
    """S-45: the second one is refused before its code is redeemed, and its code is destroyed."""
    created = deployment.created()
    back = query_of(Browser(deployment).consents(created))
    assert connect(deployment, tokens())["statusCode"] == 200
    assert code_of(deployment.completed(back)) == (409, "overtaken")
    flow = deployment.flow(created)
    assert (flow.status, flow.outcome, flow.code) == (FlowStatus.FAILED, "overtaken", b"")
    assert code_of(deployment.completed(back)) == (409, "consent_failed")
    assert len(deployment.provider.requests) == 1


def test_a_consent_that_came_back_before_the_connection_was_erased_makes_no_new_one(deployment: Deployment) -> None:
    connect(deployment, tokens())
    back = returned(deployment)
    key = {"tenant": {"S": "acme"}, "connection": {"S": "crm#default"}}
    deployment.dynamo.client.delete_item(TableName=deployment.names["ConnectionsTable"], Key=key)
    assert code_of(deployment.completed(back)) == (409, "overtaken")
    assert deployment.connection() is None


def test_a_consent_that_began_after_another_was_completed_replaces_it(deployment: Deployment) -> None:
    assert connect(deployment, tokens())["statusCode"] == 200
    assert body_of(connect(deployment, tokens()))["connection"]["generation"] == 2


def test_a_code_that_was_parked_by_an_older_version_is_redeemed(deployment: Deployment) -> None:
    """It says nothing about what it may replace."""
    created = deployment.created()
    back = query_of(Browser(deployment).consents(created))
    flow = replace(deployment.flow(created), replaces=None)
    connect(deployment, tokens())
    table, key = deployment.names["PendingTable"], {"id": {"S": f"flow#{created['session']}#crm"}}
    deployment.dynamo.client.update_item(
        TableName=table, Key=key, UpdateExpression="REMOVE #r", ExpressionAttributeNames={"#r": "replaces"}
    )
    assert deployment.flow(created) == flow
    deployment.provider.then(tokens())
    assert deployment.completed(back)["statusCode"] == 200


UNREVOCABLE: list[tuple[Provider, dict[str, Any], str]] = [
    (replace(ALONE, revocation=Revocation.GRANT), {}, "may_be_shared"),
    (replace(ALONE, revocation=Revocation.UNKNOWN), {}, "may_be_shared"),
    (replace(ALONE, revocation_url=""), {}, "no_revocation"),
    (ALONE, {"refresh_token": None}, "no_refresh_token"),
]


@pytest.mark.parametrize(("provider", "changes", "why"), UNREVOCABLE)
def test_a_grant_whose_revocation_might_end_another_is_left_and_said_so(
    deployment: Deployment,
    log_lines: Log,
    capfd: pytest.CaptureFixture[str],
    provider: Provider,
    changes: dict[str, Any],
    why: str,
) -> None:
    of_kind(deployment, provider)
    connect(deployment, tokens())
    assert code_of(connect(deployment, tokens(**BOB | changes))) == (409, "account_mismatch")
    assert len(deployment.provider.requests) == 2
    assert strays(log_lines) == [("left", why, "account_mismatch")]
    assert log_lines.named("stray grant")[0]["level"] == "WARNING"
    assert '"outcome":"left","StrayGrants":[1.0]' in capfd.readouterr().out


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (NotDelivered("refused"), "not_delivered_refused"),
        (Undetermined("deadline"), "deadline"),
        (answer(503, {"error": "CNRY-refresh-of-bob"}), "http_503"),
        (answer(400, {"error": "unsupported_token_type"}), "http_400"),
    ],
)
def test_a_revocation_that_fails_changes_nothing_of_what_the_person_is_told(
    deployment: Deployment, log_lines: Log, step: Step, why: str
) -> None:
    connect(deployment, tokens())
    assert code_of(connect(deployment, tokens(**BOB), step)) == (409, "account_mismatch")
    assert strays(log_lines) == [("unconfirmed", why, "account_mismatch")]
    assert log_lines.named("stray grant")[0]["level"] == "ERROR"
    assert "CNRY-" not in log_lines.text


def test_a_token_that_the_provider_calls_invalid_has_ended(deployment: Deployment, log_lines: Log) -> None:
    connect(deployment, tokens())
    connect(deployment, tokens(**BOB), answer(400, {"error": "invalid_token"}))
    assert strays(log_lines) == [("revoked", "", "account_mismatch")]


@pytest.mark.parametrize(("seconds", "asked"), [(9.0, 3), (8.9, 2)])
def test_the_answer_is_not_kept_waiting_for_a_revocation(
    deployment: Deployment, log_lines: Log, seconds: float, asked: int
) -> None:
    """The call, connecting and the answer must fit into what the gateway allows."""
    connect(deployment, tokens())
    back = returned(deployment)

    def late() -> None:
        deployment.clock.remaining = seconds

    script = [tokens(**BOB), answer(200, b"")]
    provider = Interrupted(late, *script)
    provider.requests = deployment.provider.requests
    deployment.provider = provider
    assert code_of(deployment.completed(back)) == (409, "account_mismatch")
    assert len(provider.requests) == asked
    assert strays(log_lines)[0][:2] == (("revoked", "") if asked == 3 else ("left", "no_time_left"))


def test_a_grant_that_may_be_stored_after_all_is_never_revoked(deployment: Deployment, log_lines: Log) -> None:
    """The write was applied, and nobody answered then or later: the record may use it."""
    back = returned(deployment)
    claimed = deployment.dynamo.calls.count("update_item") + 1

    def away(operation: str) -> None:
        if operation == "update_item" and deployment.dynamo.calls.count(operation) > claimed + 1:
            raise unavailable(operation)

    def unanswered(operation: str) -> None:
        if operation == "update_item" and deployment.dynamo.calls.count(operation) > claimed:
            raise unavailable(operation)

    deployment.ports.before, deployment.ports.after = away, unanswered
    deployment.provider.then(tokens())
    assert code_of(deployment.completed(back)) == (503, "storage_unavailable")
    deployment.ports.before = deployment.ports.after = ignore
    assert deployment.connection() is not None
    assert len(deployment.provider.requests) == 1
    assert strays(log_lines) == [("left", "may_be_stored", "storage_unavailable")]


@pytest.mark.parametrize("step", [answer(400, {"error": "invalid_grant"}), Undetermined("deadline")])
def test_where_no_token_came_there_is_nothing_to_revoke(deployment: Deployment, log_lines: Log, step: Step) -> None:
    assert connect(deployment, step)["statusCode"] >= 400
    assert log_lines.named("stray grant") == []


def families(deployment: Deployment) -> Families:
    made = Families()
    deployment.provider = cast("Any", made)  # a token endpoint client like the scripted one
    return made


def test_of_64_completions_for_one_connection_at_once_one_grant_lives(deployment: Deployment) -> None:
    """S-45: 64 sessions of one connection."""
    provider = families(deployment)
    back = [returned(deployment, code=f"CNRY-code-{number}") for number in range(64)]
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(deployment.completed, back))
    assert sorted(each["statusCode"] for each in answers) == [200] + [409] * 63
    assert {body_of(each)["code"] for each in answers if each["statusCode"] != 200} == {"overtaken"}
    assert provider.live == {provider.kept(deployment, KEY)}
    assert len(provider.revoked) == len(provider.codes) - 1


def test_of_16_direct_consents_at_once_each_loser_is_revoked(deployment: Deployment) -> None:
    """S-45: what was exchanged and overtaken is revoked; what began after a commit has replaced what was there."""
    provider = families(deployment)
    visits = []
    for number in range(16):
        browser = Browser(deployment)
        url = browser.departs(deployment.created(**DIRECT))
        visits.append((browser, url, f"CNRY-code-{number}"))

    def come_back(visit: tuple[Browser, str, str]) -> int:
        browser, url, code = visit
        return int(browser.open(provider_answer(url, code=code))["statusCode"])

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(come_back, visits))
    record = deployment.connection()
    assert record is not None
    assert provider.kept(deployment, KEY) in provider.live
    assert len(provider.live) == statuses.count(200) == record.gen
    assert statuses.count(409) == len(provider.revoked)
