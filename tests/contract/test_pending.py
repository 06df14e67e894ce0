"""The table `pending`: every edge of a flow is one conditional write, and no other edge exists (S-44)."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import boto3
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from consentry.aws.pending import DynamoSessions
from consentry.connect.ports import MOST_TRIES, Try
from consentry.model import Completion, Flow, FlowStatus, Session
from consentry.ports import Sessions, StorageUnavailable
from tests.support.fixtures import tables, tables_of_module
from tests.support.tables import REGION, TableClient, create_tables, ignore, items, unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["tables", "tables_of_module"]

NOW = 1_800_000_000
SESSION = Session(
    id="s" * 22,
    tenant="acme",
    user_ref="u-1",
    integrations=("crm", "desk"),
    expires_at=NOW + 1800,
    name="second",
    scopes=("contacts",),
    return_url="https://app.test/connected",
    completion=Completion.DIRECT,
    allow_account_change=True,
    language="de",
)
FLOW = Flow(
    session=SESSION,
    integration="crm",
    status=FlowStatus.STARTED,
    provider="crm",
    client_id="crm-client",
    redirect_uri="https://vault.test/callback/crm",
    scopes=("contacts", "deals"),
    state_hash="state-1",
    browser_hash="browser-1",
    expires_at=NOW + 600,
    verifier=b"sealed verifier",
)


@pytest.fixture
def client(dynamodb: "DynamoDBClient") -> TableClient:
    return TableClient(dynamodb)


@pytest.fixture
def sessions(client: TableClient, tables: dict[str, str]) -> Sessions:
    return DynamoSessions(client.as_client, tables["PendingTable"])


def flow(sessions: Sessions) -> Flow:
    found = sessions.flow(SESSION.id, "crm")
    assert found is not None
    return found


_others = itertools.count(1)


def another(what: str) -> str:
    """Return what nobody else has: every caller makes its own handle, claim or outcome."""
    return f"{what} {next(_others)}"


def park(sessions: Sessions, changes: Flow = FLOW, handle_hash: str = "handle-1") -> bool:
    return sessions.park(changes, code=b"sealed code", handle_hash=handle_hash, until=NOW + 60, replaces="consent-1")


def park_other(sessions: Sessions) -> bool:
    return park(sessions, handle_hash=another("handle"))


def claim(sessions: Sessions, expected: FlowStatus = FlowStatus.STARTED) -> bool:
    return sessions.claim(FLOW, expected=expected, claim_id=another("claim"))


def fail(sessions: Sessions, expected: FlowStatus = FlowStatus.STARTED) -> bool:
    return sessions.finish(FLOW, FlowStatus.FAILED, another("failure"), expected=expected)


def done(sessions: Sessions) -> bool:
    return sessions.finish(FLOW, FlowStatus.DONE, another("success"), expected=FlowStatus.EXCHANGING)


def test_a_session_comes_back_as_it_was_created(sessions: Sessions) -> None:
    sessions.create(SESSION)
    assert sessions.session(SESSION.id) == SESSION
    assert sessions.session("another") is None


def test_a_session_is_created_once(sessions: Sessions) -> None:
    sessions.create(SESSION)
    with pytest.raises(StorageUnavailable):
        sessions.create(replace(SESSION, tenant="other"))
    assert sessions.session(SESSION.id) == SESSION


def test_a_flow_comes_back_as_it_was_started(sessions: Sessions) -> None:
    assert sessions.start(FLOW)
    assert flow(sessions) == FLOW
    assert sessions.flow(SESSION.id, "desk") is None


def test_a_parked_flow_has_code_handle_and_end(sessions: Sessions) -> None:
    sessions.start(FLOW)
    assert park(sessions)
    parked = flow(sessions)
    assert (parked.status, parked.code, parked.handle_hashes, parked.parked_until) == (
        FlowStatus.CODE_RECEIVED,
        b"sealed code",
        ("handle-1",),
        NOW + 60,
    )


def test_a_code_is_parked_once(sessions: Sessions) -> None:
    sessions.start(FLOW)
    assert park(sessions)
    assert not sessions.park(FLOW, code=b"another", handle_hash="handle-2", until=NOW + 90, replaces="consent-2")
    assert flow(sessions).code == b"sealed code"


def test_a_code_is_taken_once(sessions: Sessions) -> None:
    sessions.start(FLOW)
    park(sessions)
    assert claim(sessions, FlowStatus.CODE_RECEIVED)
    assert not claim(sessions, FlowStatus.CODE_RECEIVED)
    taken = flow(sessions)
    assert (taken.status, taken.code, taken.verifier, taken.handle_hashes) == (FlowStatus.EXCHANGING, b"", b"", ())


def test_a_claim_expects_the_status_that_it_names(sessions: Sessions) -> None:
    sessions.start(FLOW)
    assert not claim(sessions, FlowStatus.CODE_RECEIVED)
    assert claim(sessions, FlowStatus.STARTED)


def test_a_handle_is_issued_again_once(sessions: Sessions) -> None:
    sessions.start(FLOW)
    assert not sessions.reissue_handle(FLOW, handle_hash="early")
    park(sessions)
    assert sessions.reissue_handle(flow(sessions), handle_hash="handle-2")
    assert not sessions.reissue_handle(flow(sessions), handle_hash="handle-3")
    assert flow(sessions).handle_hashes == ("handle-1", "handle-2")


@pytest.mark.parametrize("status", [FlowStatus.DONE, FlowStatus.FAILED])
def test_a_finished_flow_holds_no_secrets_and_stays_finished(sessions: Sessions, status: FlowStatus) -> None:
    sessions.start(FLOW)
    park(sessions)
    assert sessions.finish(FLOW, status, "outcome", expected=FlowStatus.CODE_RECEIVED)
    ended = flow(sessions)
    assert (ended.status, ended.outcome, ended.code, ended.verifier, ended.handle_hashes) == (
        status,
        "outcome",
        b"",
        b"",
        (),
    )
    assert not any(fail(sessions, each) for each in FlowStatus if each is not status)
    assert not done(sessions)
    assert not park(sessions)
    assert not claim(sessions)


def test_a_newer_state_replaces_everything_of_the_older_one(sessions: Sessions) -> None:
    sessions.start(FLOW)
    park(sessions)
    sessions.reissue_handle(flow(sessions), handle_hash="handle-2")
    newer = replace(FLOW, state_hash="state-2", browser_hash="browser-2", verifier=b"other")
    assert sessions.start(newer)
    assert flow(sessions) == newer
    assert not park(sessions)
    assert park(sessions, newer)
    assert sessions.reissue_handle(flow(sessions), handle_hash="handle-2")


@pytest.mark.parametrize(
    "edge",
    [
        park,
        claim,
        lambda sessions: claim(sessions, FlowStatus.CODE_RECEIVED),
        lambda sessions: sessions.reissue_handle(FLOW, handle_hash="h"),
        *(partial(fail, expected=each) for each in FlowStatus),
        done,
    ],
)
def test_an_older_state_moves_nothing_and_makes_nothing(
    sessions: Sessions, edge: Callable[[Sessions], bool], client: TableClient, tables: dict[str, str]
) -> None:
    assert not edge(sessions)
    assert items(client.client, tables["PendingTable"]) == []
    newer = replace(FLOW, state_hash="state-2")
    sessions.start(newer)
    assert not edge(sessions)
    assert flow(sessions) == newer


def test_a_flow_begins_again_unless_it_is_being_exchanged_or_done(sessions: Sessions) -> None:
    sessions.start(FLOW)
    assert sessions.start(FLOW)
    park(sessions)
    assert sessions.start(FLOW)
    assert fail(sessions, FlowStatus.CODE_RECEIVED) is False
    assert fail(sessions)
    assert sessions.start(FLOW)
    assert flow(sessions) == FLOW
    claim(sessions)
    assert not sessions.start(replace(FLOW, state_hash="state-2"))
    assert done(sessions)
    assert not sessions.start(replace(FLOW, state_hash="state-2"))
    assert flow(sessions).state_hash == "state-1"


def test_flows_of_two_integrations_do_not_meet(sessions: Sessions) -> None:
    other = replace(FLOW, integration="desk", state_hash="state-desk")
    sessions.start(FLOW)
    sessions.start(other)
    claim(sessions)
    assert sessions.flow(SESSION.id, "desk") == other


def test_a_row_outlives_its_session_and_its_flow(
    sessions: Sessions, client: TableClient, tables: dict[str, str]
) -> None:
    late = replace(FLOW, expires_at=SESSION.expires_at + 600)
    sessions.start(late)
    (stored,) = items(client.client, tables["PendingTable"])
    assert int(stored["ttl"]["N"]) > late.expires_at


@pytest.mark.parametrize("edge", [park_other, claim, fail])
def test_of_32_at_once_one_moves_a_flow(sessions: Sessions, edge: Callable[[Sessions], bool]) -> None:
    sessions.start(FLOW)
    with ThreadPoolExecutor(16) as pool:
        moved = list(pool.map(lambda _: edge(sessions), range(32)))
    assert moved.count(True) == 1


def out_of_order(operation: str) -> None:
    raise unavailable(operation)


def without_an_answer(client: TableClient, call: Callable[[], object]) -> None:
    """Make a call that is applied, and whose answer is lost."""
    client.after = out_of_order
    with pytest.raises(StorageUnavailable):
        call()
    client.after = ignore


def test_a_claim_whose_answer_was_lost_is_known_again_by_its_id(sessions: Sessions, client: TableClient) -> None:
    sessions.start(FLOW)
    park(sessions)
    mine = partial(sessions.claim, FLOW, expected=FlowStatus.CODE_RECEIVED, claim_id="mine")
    without_an_answer(client, mine)
    assert mine()
    assert not sessions.claim(FLOW, expected=FlowStatus.CODE_RECEIVED, claim_id="yours")
    assert not sessions.claim(replace(FLOW, state_hash="state-2"), expected=FlowStatus.CODE_RECEIVED, claim_id="mine")


def test_a_claim_that_never_arrived_is_not_taken_for_one(sessions: Sessions, client: TableClient) -> None:
    sessions.start(FLOW)
    client.before = out_of_order
    with pytest.raises(StorageUnavailable):
        sessions.claim(FLOW, expected=FlowStatus.STARTED, claim_id="mine")
    client.before = ignore
    assert sessions.claim(FLOW, expected=FlowStatus.STARTED, claim_id="yours")
    assert not sessions.claim(FLOW, expected=FlowStatus.STARTED, claim_id="mine")


def test_a_new_start_forgets_who_claimed_the_flow(
    sessions: Sessions, client: TableClient, tables: dict[str, str]
) -> None:
    sessions.start(FLOW)
    sessions.claim(FLOW, expected=FlowStatus.STARTED, claim_id="mine")
    (claimed,) = items(client.client, tables["PendingTable"])
    assert claimed["claimed_by"] == {"S": "mine"}
    assert fail(sessions, FlowStatus.EXCHANGING)
    sessions.start(FLOW)
    park(sessions)
    assert not sessions.claim(FLOW, expected=FlowStatus.STARTED, claim_id="mine")


def test_a_parking_whose_answer_was_lost_is_known_again_by_its_handle(sessions: Sessions, client: TableClient) -> None:
    sessions.start(FLOW)
    without_an_answer(client, lambda: park(sessions))
    assert park(sessions)
    assert not park_other(sessions)
    claim(sessions, FlowStatus.CODE_RECEIVED)
    assert not park(sessions)


def test_a_second_handle_whose_answer_was_lost_is_known_again(sessions: Sessions, client: TableClient) -> None:
    sessions.start(FLOW)
    park(sessions)
    again = partial(sessions.reissue_handle, flow(sessions), handle_hash="handle-2")
    without_an_answer(client, again)
    assert again()
    assert not sessions.reissue_handle(flow(sessions), handle_hash="handle-3")
    assert flow(sessions).handle_hashes == ("handle-1", "handle-2")


def test_an_end_whose_answer_was_lost_is_known_again(sessions: Sessions, client: TableClient) -> None:
    sessions.start(FLOW)
    claim(sessions)
    end = partial(sessions.finish, FLOW, expected=FlowStatus.EXCHANGING)
    without_an_answer(client, lambda: end(FlowStatus.DONE, "active"))
    assert end(FlowStatus.DONE, "active")
    assert not end(FlowStatus.DONE, "scope_insufficient")
    assert not end(FlowStatus.FAILED, "active")
    assert (flow(sessions).status, flow(sessions).outcome) == (FlowStatus.DONE, "active")


def test_an_end_expects_the_status_that_was_read(sessions: Sessions) -> None:
    sessions.start(FLOW)
    park(sessions)
    assert claim(sessions, FlowStatus.CODE_RECEIVED)
    assert not fail(sessions, FlowStatus.CODE_RECEIVED)
    assert not fail(sessions, FlowStatus.STARTED)
    assert flow(sessions).status is FlowStatus.EXCHANGING
    assert done(sessions)


@pytest.mark.parametrize(
    "call",
    [
        lambda sessions: sessions.create(SESSION),
        lambda sessions: sessions.session("x"),
        lambda sessions: sessions.flow("x", "crm"),
        lambda sessions: sessions.start(FLOW),
        park,
        claim,
        fail,
    ],
)
def test_dynamodb_s_trouble_is_named_by_its_code_alone(
    sessions: Sessions, client: TableClient, call: Callable[[Sessions], object]
) -> None:
    client.before = out_of_order
    with pytest.raises(StorageUnavailable) as raised:
        call(sessions)
    assert raised.value.detail.endswith(": InternalServerError")
    assert "CNRY-" not in f"{raised.value} {raised.value.detail}"
    assert raised.value.__suppress_context__


EDGES: dict[str, Callable[[Sessions], bool]] = {
    "start": lambda sessions: sessions.start(FLOW),
    "park": park_other,
    "reissue": lambda sessions: sessions.reissue_handle(FLOW, handle_hash=another("handle")),
    "claim started": claim,
    "claim parked": partial(claim, expected=FlowStatus.CODE_RECEIVED),
    "done": done,
    "fail started": fail,
    "fail parked": partial(fail, expected=FlowStatus.CODE_RECEIVED),
    "fail exchanging": partial(fail, expected=FlowStatus.EXCHANGING),
}
LEGAL: dict[str, tuple[set[FlowStatus | None], FlowStatus]] = {
    "start": ({None, FlowStatus.STARTED, FlowStatus.CODE_RECEIVED, FlowStatus.FAILED}, FlowStatus.STARTED),
    "park": ({FlowStatus.STARTED}, FlowStatus.CODE_RECEIVED),
    "claim started": ({FlowStatus.STARTED}, FlowStatus.EXCHANGING),
    "claim parked": ({FlowStatus.CODE_RECEIVED}, FlowStatus.EXCHANGING),
    "done": ({FlowStatus.EXCHANGING}, FlowStatus.DONE),
    "fail started": ({FlowStatus.STARTED}, FlowStatus.FAILED),
    "fail parked": ({FlowStatus.CODE_RECEIVED}, FlowStatus.FAILED),
    "fail exchanging": ({FlowStatus.EXCHANGING}, FlowStatus.FAILED),
}


@given(word=st.lists(st.sampled_from(sorted(EDGES)), max_size=10))
@settings(
    max_examples=30,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_order_of_steps_takes_an_edge_that_does_not_exist(
    sessions: Sessions, client: TableClient, tables: dict[str, str], word: list[str]
) -> None:
    client.client.delete_item(TableName=tables["PendingTable"], Key={"id": {"S": f"flow#{SESSION.id}#crm"}})
    status: FlowStatus | None = None
    reissued = False
    for step in word:
        if step == "reissue":
            legal, after = status is FlowStatus.CODE_RECEIVED and not reissued, status
            reissued = reissued or legal
        else:
            allowed, after = LEGAL[step]
            legal = status in allowed
        assert EDGES[step](sessions) is legal
        status = after if legal else status
        reissued = reissued and step != "start"
    found = sessions.flow(SESSION.id, "crm")
    assert (found.status if found else None) is status


# Tries


@pytest.fixture(params=["here", "ministack"])
def trying(
    request: pytest.FixtureRequest, client: TableClient, tables: dict[str, str]
) -> tuple[TableClient, DynamoSessions]:
    """A client and the adapter over it, on moto and on a second emulator, with one session in the table."""
    table = tables["PendingTable"]
    if request.param == "ministack":
        endpoint = request.getfixturevalue("ministack")
        second = boto3.client("dynamodb", region_name=REGION, endpoint_url=endpoint)
        client, table = TableClient(second), create_tables(second, another("tries").replace(" ", ""))["PendingTable"]
    sessions = DynamoSessions(client.as_client, table)
    sessions.create(SESSION)
    return client, sessions


def spend(sessions: DynamoSessions, form: str = "", claim_id: str = "") -> Try:
    return sessions.spend_try(SESSION.id, form=form or another("form"), claim_id=claim_id or another("claim"))


def test_five_forms_may_be_tried_and_the_sixth_ends_the_session(trying: tuple[TableClient, DynamoSessions]) -> None:
    _, sessions = trying
    assert [spend(sessions) for _ in range(MOST_TRIES)] == [Try.SPENT] * MOST_TRIES
    assert sessions.session(SESSION.id) == SESSION
    assert spend(sessions) is Try.EXHAUSTED
    assert sessions.session(SESSION.id) is None
    assert spend(sessions) is Try.EXHAUSTED


def test_a_form_is_tried_once_and_again_costs_nothing(trying: tuple[TableClient, DynamoSessions]) -> None:
    _, sessions = trying
    assert spend(sessions, "first") is Try.SPENT
    assert spend(sessions, "second") is Try.SPENT
    assert [spend(sessions, each) for each in ("first", "second") * MOST_TRIES] == [Try.REPEATED] * 2 * MOST_TRIES
    assert sessions.session(SESSION.id) == SESSION


def test_a_try_whose_answer_was_lost_is_recognised_when_it_is_repeated(
    trying: tuple[TableClient, DynamoSessions],
) -> None:
    _, sessions = trying
    assert spend(sessions, "first", "mine") is Try.SPENT
    assert spend(sessions, "first", "mine") is Try.SPENT
    for _ in range(MOST_TRIES - 1):
        spend(sessions)
    assert spend(sessions, "last", "mine") is Try.EXHAUSTED
    assert spend(sessions, "last", "mine") is Try.EXHAUSTED


def test_a_session_that_is_not_there_has_no_tries(trying: tuple[TableClient, DynamoSessions]) -> None:
    client, sessions = trying
    assert sessions.spend_try("another", form="f", claim_id="c") is Try.EXHAUSTED
    assert sessions.session("another") is None
    client.before = partial(_away, ["update_item"])
    with pytest.raises(StorageUnavailable):
        spend(sessions)


def _away(operations: list[str], operation: str) -> None:
    if operation in operations:
        raise unavailable(operation)


def test_of_many_tries_at_once_five_count(trying: tuple[TableClient, DynamoSessions]) -> None:
    _, sessions = trying
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda number: spend(sessions, f"form {number}"), range(16)))
    assert outcomes.count(Try.SPENT) == MOST_TRIES
    assert outcomes.count(Try.EXHAUSTED) == 16 - MOST_TRIES
