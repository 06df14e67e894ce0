"""The stores of connections, what is due, and flows: one set of facts for memory and two emulators of DynamoDB."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from consentry.aws import connections
from consentry.aws.connections import SHARDS, DynamoConnections, shard_of
from consentry.aws.dynamodb import to_item
from consentry.aws.pending import DynamoSessions
from consentry.model import Connection, ConnectionKey, Flow, FlowStatus, Session, Status
from consentry.ports import Commit, CommitOutcome, Due, Failure, Lease, RefreshHint
from tests.support.dynamo import MemoryDynamo
from tests.support.tables import REGION, create_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_800_000_000
KEY = ConnectionKey("acme", "crm")
LEASE = Lease(owner="me", gen=1, epoch=1, now=NOW, until=NOW + 60, settled_before=NOW - 95, due_at=NOW + 96,
    retry_before=NOW + 5,
)  # fmt: skip
FAILURE = Failure(
    owner="me",
    gen=1,
    epoch=1,
    error="later:http_503",
    failures=1,
    next_try_at=NOW + 20,
    due_at=NOW + 25,
    answered=True,
    now=NOW,
)
NEXT = Commit(
    key=KEY, expected_gen=1, expected_epoch=1, epoch=1, commit_id="c2", status=Status.ACTIVE,
    set_attributes={"access_token": b"second", "grant": b"grant-2", "expires_at": NOW + 3600, "due_at": NOW + 1800},
)  # fmt: skip
FIRST = replace(
    NEXT,
    expected_gen=0,
    commit_id="c1",
    set_attributes={
        "provider": "crm", "grant_type": "authorization_code", "access_token": b"first", "grant": b"grant-1",
        "scopes": ["contacts"], "metadata": {"hub_id": 4711}, "expires_at": NOW + 1800, "due_at": NOW,
    },
)  # fmt: skip
_stacks = itertools.count(1)


class Store:
    """The adapters over one client, with tables of their own."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client
        names = create_tables(client, f"contract{next(_stacks)}")
        self.table = names["ConnectionsTable"]
        self.connections = DynamoConnections(client, self.table)
        self.sessions = DynamoSessions(client, names["PendingTable"])

    @property
    def record(self) -> Connection:
        record = self.connections.read(KEY)
        assert record is not None
        return record

    def items(self) -> list[Any]:
        found: list[Any] = self.client.scan(TableName=self.table)["Items"]
        return sorted(found, key=lambda item: str(item["connection"]))

    def put(self, **changes: object) -> None:
        """Change attributes behind the adapters' back."""
        standing = self.client.get_item(
            TableName=self.table, Key=to_item({"tenant": "acme", "connection": "crm#default"})
        )
        self.client.put_item(TableName=self.table, Item={**standing["Item"], **to_item(changes)})


@pytest.fixture(scope="module", params=["memory", "moto", "ministack"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "memory":
        return lambda: Store(MemoryDynamo().as_client)
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=request.getfixturevalue(request.param))
    return lambda: Store(client)


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    """One connection at generation 1, due now."""
    made = new_store()
    assert made.connections.commit(FIRST) is CommitOutcome.COMMITTED
    return made


# Reading


def test_what_was_never_stored_is_not_there(new_store: Callable[[], Store]) -> None:
    assert new_store().connections.read(KEY) is None


def test_a_first_commit_makes_generation_one(store: Store) -> None:
    record = store.record
    assert (record.gen, record.epoch, record.commit_id, record.status) == (1, 1, "c1", Status.ACTIVE)
    assert (record.access_token, record.grant, record.scopes) == (b"first", b"grant-1", ("contacts",))
    assert (record.metadata, record.expires_at, record.due_at) == ({"hub_id": 4711}, NOW + 1800, NOW)


def test_a_tenant_sees_its_own_connections_alone(store: Store) -> None:
    other = replace(FIRST, key=ConnectionKey("globex", "crm"))
    named = replace(FIRST, key=ConnectionKey("acme", "crm", "second"))
    for commit in (other, named):
        store.connections.commit(commit)
    assert [each.key.name for each in store.connections.of_tenant("acme")] == ["default", "second"]
    assert [each.key.name for each in store.connections.summaries("acme")] == ["default", "second"]


def test_a_summary_is_the_connection_without_its_ciphertexts(store: Store) -> None:
    whole = store.record
    (found,) = store.connections.summaries("acme")
    assert (found.access_token, found.grant, found.scopes, found.due_at) == (b"", b"", (), None)
    told = ("key", "provider", "grant_type", "status", "gen", "epoch", "account", "label", "created_at", "refreshed_at")
    assert [getattr(found, name) for name in told] == [getattr(whole, name) for name in told]
    assert store.connections.summaries("nobody") == []


# Lease and intent


def test_a_lease_is_written_with_its_intent_and_shows_what_stood_before(store: Store) -> None:
    before = store.connections.take_lease(KEY, LEASE)
    assert before is not None
    assert (before.lease_owner, before.pend_gen, before.due_at) == ("", None, NOW)
    record = store.record
    assert (record.lease_owner, record.lease_until) == ("me", NOW + 60)
    assert (record.pend_gen, record.pend_at, record.due_at) == (1, NOW, NOW + 96)


@pytest.mark.parametrize("changed", [{"gen": 2}, {"epoch": 2}], ids=str)
def test_no_lease_over_another_generation_or_epoch(store: Store, changed: dict[str, Any]) -> None:
    assert store.connections.take_lease(KEY, replace(LEASE, **changed)) is None
    assert store.record.lease_owner == ""


@pytest.mark.parametrize("status", [Status.REAUTH_REQUIRED, Status.SCOPE_INSUFFICIENT, Status.DELETING])
def test_no_lease_over_what_is_not_active(store: Store, status: Status) -> None:
    store.put(status=status.value)
    assert store.connections.take_lease(KEY, LEASE) is None


def test_no_lease_where_there_is_no_record(new_store: Callable[[], Store]) -> None:
    made = new_store()
    assert made.connections.take_lease(KEY, LEASE) is None
    assert made.items() == []


def test_a_second_worker_gets_no_lease_while_the_first_holds_it(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    late = replace(LEASE, owner="you", now=NOW + 60, settled_before=NOW + 1)
    assert store.connections.take_lease(KEY, late) is None
    assert store.record.lease_owner == "me"


def test_a_lease_that_ran_out_is_taken_over_once_the_intent_has_settled(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    unsettled = replace(LEASE, owner="you", now=NOW + 61, settled_before=NOW)
    assert store.connections.take_lease(KEY, unsettled) is None
    before = store.connections.take_lease(KEY, replace(unsettled, settled_before=NOW + 1))
    assert before is not None
    assert (before.lease_owner, before.in_doubt) == ("me", True)


def test_an_intent_of_an_older_generation_blocks_nobody(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    store.put(gen=2, lease_until=NOW - 1)
    assert store.connections.take_lease(KEY, replace(LEASE, owner="you", gen=2)) is not None


def test_a_worker_whose_answer_was_lost_finds_its_own_lease_in_doubt(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    again = store.connections.take_lease(KEY, LEASE)
    assert again is not None
    assert again.in_doubt


def test_taking_the_lease_lets_the_next_message_through(store: Store) -> None:
    (due,) = store.connections.due(shard_of(KEY), now=NOW)
    store.connections.mark_enqueued(due, until=NOW + 270)
    store.connections.take_lease(KEY, LEASE)
    assert len(list(store.connections.due(shard_of(KEY), now=NOW + 96))) == 1


def test_no_lease_before_the_time_to_try_again(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    store.connections.record_failure(KEY, FAILURE)
    early = replace(LEASE, owner="you", now=NOW + 14, retry_before=NOW + 19)
    assert store.connections.take_lease(KEY, early) is None
    assert store.connections.take_lease(KEY, replace(early, retry_before=NOW + 20)) is not None


# Commit


def test_a_commit_ends_lease_intent_and_trouble(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    store.connections.record_failure(KEY, FAILURE)
    assert store.connections.commit(NEXT) is CommitOutcome.COMMITTED
    record = store.record
    assert (record.gen, record.access_token, record.commit_id) == (2, b"second", "c2")
    assert (record.lease_owner, record.pend_gen, record.failures, record.last_error) == ("", None, 0, "")
    assert (record.next_try_at, record.due_at) == (0, NOW + 1800)


def test_a_commit_does_not_need_the_lease(store: Store) -> None:
    store.connections.take_lease(KEY, replace(LEASE, owner="somebody-else"))
    assert store.connections.commit(NEXT) is CommitOutcome.COMMITTED


def test_what_is_restored_late_leaves_the_lease_of_a_request_under_way(store: Store) -> None:
    store.connections.take_lease(KEY, replace(LEASE, owner="somebody-else"))
    assert store.connections.restore(NEXT) is CommitOutcome.COMMITTED
    record = store.record
    assert (record.gen, record.access_token, record.lease_owner) == (2, b"second", "somebody-else")
    assert store.connections.take_lease(KEY, replace(LEASE, gen=2, now=LEASE.until - 1)) is None
    assert not record.in_doubt  # the request was for the generation before
    assert store.connections.take_lease(KEY, replace(LEASE, gen=2, now=LEASE.until + 1)) is not None


def test_restored_or_committed_it_is_the_same_commit(store: Store) -> None:
    both = [store.connections.commit(NEXT), store.connections.restore(NEXT), store.connections.restore(FIRST)]
    assert both == [CommitOutcome.COMMITTED, CommitOutcome.COMMITTED, CommitOutcome.SUPERSEDED]


def test_a_commit_repeated_is_the_same_commit(store: Store) -> None:
    assert [store.connections.commit(NEXT) for _ in range(3)] == [CommitOutcome.COMMITTED] * 3
    assert store.record.gen == 2


def test_a_first_commit_repeated_is_the_same_commit(store: Store) -> None:
    assert store.connections.commit(FIRST) is CommitOutcome.COMMITTED
    assert store.record.gen == 1


def test_a_commit_never_replaces_what_it_does_not_derive_from(store: Store) -> None:
    store.connections.commit(NEXT)
    assert store.connections.commit(replace(NEXT, commit_id="rival")) is CommitOutcome.SUPERSEDED
    assert store.connections.commit(replace(FIRST, commit_id="rival")) is CommitOutcome.SUPERSEDED
    assert store.record.commit_id == "c2"


def test_a_commit_of_another_epoch_is_superseded(store: Store) -> None:
    assert store.connections.commit(replace(NEXT, expected_epoch=2)) is CommitOutcome.SUPERSEDED


def test_a_commit_to_what_is_being_removed_says_so(store: Store, new_store: Callable[[], Store]) -> None:
    store.put(status="deleting")
    assert store.connections.commit(NEXT) is CommitOutcome.DELETING
    assert new_store().connections.commit(NEXT) is CommitOutcome.GONE


def test_a_commit_removes_what_it_names(store: Store) -> None:
    attributes = {name: value for name, value in NEXT.set_attributes.items() if name not in {"expires_at", "due_at"}}
    store.connections.commit(replace(NEXT, set_attributes=attributes, remove=("expires_at",)))
    assert (store.record.expires_at, store.record.due_at) == (None, None)
    assert list(store.connections.due(shard_of(KEY), now=NOW + 9999)) == []


# Failures


def test_a_definite_failure_ends_lease_and_intent(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    assert store.connections.record_failure(KEY, FAILURE)
    record = store.record
    assert (record.lease_owner, record.pend_gen, record.failures) == ("", None, 1)
    assert (record.next_try_at, record.due_at, record.last_error) == (NOW + 20, NOW + 25, "later:http_503")


def test_an_unanswered_failure_keeps_the_intent(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    assert store.connections.record_failure(KEY, replace(FAILURE, answered=False))
    assert (store.record.lease_owner, store.record.pend_gen, store.record.pend_at) == ("", 1, NOW)


@pytest.mark.parametrize("changed", [{"owner": "you"}, {"gen": 2}, {"epoch": 2}], ids=str)
def test_only_the_lease_holder_of_this_generation_records_a_failure(store: Store, changed: dict[str, Any]) -> None:
    store.connections.take_lease(KEY, LEASE)
    assert not store.connections.record_failure(KEY, replace(FAILURE, **changed))
    assert store.record.failures == 0


def test_a_flag_takes_the_record_out_of_what_is_due_and_into_what_needs_attention(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    flag = replace(FAILURE, status=Status.REAUTH_REQUIRED, cause="grant_revoked")
    assert store.connections.record_failure(KEY, flag)
    assert (store.record.status, store.record.status_cause) == (Status.REAUTH_REQUIRED, "grant_revoked")
    assert list(store.connections.due(shard_of(KEY), now=NOW + 9999)) == []
    (shown,) = attention(store)
    assert shown.keys() == {"tenant", "connection", "attention", "attention_since", "status_cause", "provider"}
    assert store.connections.take_lease(KEY, replace(LEASE, now=NOW + 999, settled_before=NOW + 900)) is None


def attention(store: Store) -> list[dict[str, Any]]:
    answer = store.client.query(
        TableName=store.table,
        IndexName="attention",
        KeyConditionExpression="attention = :status",
        ExpressionAttributeValues={":status": {"S": "reauth_required"}},
    )
    return [dict(item) for item in answer["Items"]]


def test_a_failure_mark_repeated_is_the_same_mark(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    assert [store.connections.record_failure(KEY, FAILURE) for _ in range(2)] == [True, True]
    assert store.record.failures == 1


# At once: ministack answers every client over HTTP and keeps the writes to an item apart; moto and memory do not.

AT_ONCE = 16


@pytest.mark.parametrize("new_store", ["ministack"], indirect=True)
def test_of_many_at_once_one_takes_the_lease(store: Store) -> None:
    leases = [replace(LEASE, owner=f"worker {number}") for number in range(AT_ONCE)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(partial(store.connections.take_lease, KEY), leases))
    (owner,) = [lease.owner for lease, before in zip(leases, taken, strict=True) if before]
    assert store.record.lease_owner == owner


@pytest.mark.parametrize("new_store", ["ministack"], indirect=True)
@pytest.mark.parametrize("base", [FIRST, NEXT], ids=["first", "next"])
def test_of_many_rival_commits_one_stands(store: Store, base: Commit) -> None:
    key = replace(KEY, name="contended")
    if base is NEXT:
        store.connections.commit(replace(FIRST, key=key))
    rivals = [replace(base, key=key, commit_id=f"rival {number}") for number in range(AT_ONCE)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(store.connections.commit, rivals))
    assert outcomes.count(CommitOutcome.COMMITTED) == 1
    assert outcomes.count(CommitOutcome.SUPERSEDED) == AT_ONCE - 1
    record = store.connections.read(key)
    assert record is not None
    winner = rivals[outcomes.index(CommitOutcome.COMMITTED)]
    assert (record.commit_id, record.gen) == (winner.commit_id, base.expected_gen + 1)


# Postponing


def test_what_could_not_be_prepared_is_looked_at_later(store: Store) -> None:
    store.connections.postpone(store.record, error="not_attempted:kms", until=NOW + 60)
    record = store.record
    assert (record.due_at, record.failures, record.last_error) == (NOW + 60, 1, "not_attempted:kms")
    assert due_keys(store) == []


def test_nothing_is_postponed_that_moved_on_or_was_leased(store: Store) -> None:
    read = store.record
    store.connections.take_lease(KEY, LEASE)
    store.connections.postpone(read, error="late", until=NOW + 60)
    assert (store.record.due_at, store.record.last_error) == (NOW + 96, "")
    store.connections.commit(NEXT)
    store.connections.postpone(read, error="late", until=NOW + 60)
    assert store.record.due_at == NOW + 1800


# What is due


def due_keys(store: Store, now: int = NOW) -> list[tuple[str, int]]:
    found = [due for shard in range(SHARDS) for due in store.connections.due(shard, now=now)]
    return [(each.hint.key.name, each.due_at) for each in found if each.enqueued_until < now]


def test_the_most_urgent_comes_first(store: Store) -> None:
    same_shard = [name for name in map("n{}".format, range(60)) if shard_of(replace(KEY, name=name)) == shard_of(KEY)]
    for number, name in enumerate(same_shard[:4]):
        due_at = NOW - (7 * number) % 4
        commit = replace(FIRST, key=replace(KEY, name=name), set_attributes={**FIRST.set_attributes, "due_at": due_at})
        store.connections.commit(commit)
    times = [due_at for _, due_at in due_keys(store)]
    assert times == sorted(times)
    assert len(times) == 5


def test_what_is_not_due_is_not_found(store: Store) -> None:
    assert due_keys(store, now=NOW - 1) == []


def test_an_index_longer_than_a_page_is_walked_to_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PAGE", 2)
    names = [f"n{number}" for number in range(9)]
    for name in names:
        store.connections.commit(replace(FIRST, key=replace(KEY, name=name)))
    assert sorted(name for name, _ in due_keys(store)) == sorted(["default", *names])
    everything = [each for shard in range(SHARDS) for each in store.connections.integrations(shard)]
    assert everything == [KEY.integration] * 10


def test_what_is_enqueued_says_so_until_the_mark_has_ended(store: Store) -> None:
    (due,) = store.connections.due(shard_of(KEY), now=NOW)
    store.connections.mark_enqueued(due, until=NOW + 270)
    assert due_keys(store, now=NOW + 270) == []
    assert due_keys(store, now=NOW + 271) == [("default", NOW)]


def test_a_mark_on_what_moved_on_is_dropped(store: Store) -> None:
    for stale in (Due(RefreshHint(KEY, 2), NOW), Due(RefreshHint(KEY, 1), NOW - 1)):
        store.connections.mark_enqueued(stale, until=NOW + 270)
    gone = Due(RefreshHint(replace(KEY, name="gone"), 1), NOW)
    store.connections.mark_enqueued(gone, until=NOW + 270)
    assert due_keys(store) == [("default", NOW)]
    assert len(store.items()) == 1


# What DynamoDB itself refuses


def test_a_placeholder_that_nobody_uses_is_a_mistake(store: Store) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        store.client.update_item(
            TableName=store.table,
            Key=to_item({"tenant": "acme", "connection": "crm#default"}),
            UpdateExpression="SET #a = :a",
            ExpressionAttributeNames={"#a": "label", "#b": "status"},
            ExpressionAttributeValues=to_item({":a": "x"}),
        )


# Flows

SESSION = Session(id="s1", tenant="acme", user_ref="u-1", integrations=("crm",), expires_at=NOW + 1800)
FLOW = Flow(
    session=SESSION, integration="crm", status=FlowStatus.STARTED, provider="crm", client_id="client",
    redirect_uri="https://vault.test/callback/crm", scopes=("contacts",), state_hash="state", browser_hash="browser",
    expires_at=NOW + 600, verifier=b"verifier",
)  # fmt: skip


def parked(store: Store, flow: Flow = FLOW, *, handle: str = "handle") -> bool:
    return store.sessions.park(flow, code=b"code", handle_hash=handle, until=NOW + 60, replaces="")


def test_a_session_is_created_once(store: Store) -> None:
    store.sessions.create(SESSION)
    assert store.sessions.session("s1") == SESSION


def test_a_code_is_parked_once_for_its_state(store: Store) -> None:
    assert store.sessions.start(FLOW)
    assert not parked(store, replace(FLOW, state_hash="older"))
    assert [parked(store, handle=handle) for handle in ("mine", "yours", "mine")] == [True, False, True]


def test_a_newer_state_replaces_an_unfinished_one(store: Store) -> None:
    assert store.sessions.start(FLOW)
    assert parked(store)
    assert store.sessions.start(replace(FLOW, state_hash="newer"))
    assert not store.sessions.claim(FLOW, expected=FlowStatus.STARTED, claim_id="mine")


def test_a_code_is_claimed_once_and_then_nothing_starts_again(store: Store) -> None:
    store.sessions.start(FLOW)
    parked(store)
    claims = ("mine", "yours", "mine")
    claimed = [store.sessions.claim(FLOW, expected=FlowStatus.CODE_RECEIVED, claim_id=claim) for claim in claims]
    assert claimed == [True, False, True]
    assert not store.sessions.start(replace(FLOW, state_hash="newer"))
    flow = store.sessions.flow("s1", "crm")
    assert flow is not None
    assert (flow.status, flow.code, flow.verifier, flow.handle_hashes) == (FlowStatus.EXCHANGING, b"", b"", ())


def test_a_handle_is_issued_again_once(store: Store) -> None:
    store.sessions.start(FLOW)
    parked(store)
    flow = store.sessions.flow("s1", "crm")
    assert flow is not None
    handles = ("second", "third", "second")
    reissued = [store.sessions.reissue_handle(flow, handle_hash=handle) for handle in handles]
    assert reissued == [True, False, True]


def test_a_flow_is_finished_once(store: Store) -> None:
    store.sessions.start(FLOW)
    ends = (FlowStatus.FAILED, FlowStatus.DONE, FlowStatus.FAILED)
    finished = [store.sessions.finish(FLOW, end, "why", expected=FlowStatus.STARTED) for end in ends]
    assert finished == [True, False, True]


# Both alike

OWNERS = st.sampled_from(["me", "you"])
SMALL = st.integers(1, 3)
MOMENTS = st.sampled_from([NOW, NOW + 30, NOW + 61, NOW + 100, NOW + 400])
KEYS = st.sampled_from([KEY, replace(KEY, name="second")])


@st.composite
def leases(draw: st.DrawFn) -> Lease:
    now = draw(MOMENTS)
    settled = now - draw(st.sampled_from([60, 95]))
    return Lease(
        owner=draw(OWNERS), gen=draw(SMALL), epoch=draw(st.sampled_from([1, 1, 1, 2])), now=now, until=now + 60,
        settled_before=settled, due_at=now + 96, retry_before=now + 5,
    )  # fmt: skip


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    base = FIRST if draw(st.booleans()) else NEXT
    gen = 0 if base is FIRST else draw(SMALL)
    removed = draw(st.sampled_from([(), ("expires_at",)]))
    kept = {name: value for name, value in base.set_attributes.items() if name not in removed}
    commit_id = draw(st.sampled_from(["a", "b", "c"]))
    return replace(base, key=draw(KEYS), expected_gen=gen, commit_id=commit_id, set_attributes=kept, remove=removed)


@st.composite
def failures(draw: st.DrawFn) -> Failure:
    gone = draw(st.booleans())
    return replace(
        FAILURE, owner=draw(OWNERS), gen=draw(SMALL), answered=draw(st.booleans()),
        next_try_at=draw(MOMENTS), due_at=draw(MOMENTS), status=Status.REAUTH_REQUIRED if gone else Status.ACTIVE,
        cause="grant_revoked" if gone else "",
    )  # fmt: skip


type Step = Callable[[Store], object]


def step_from(key: ConnectionKey, what: Lease | Commit | Failure | int) -> Step:
    match what:
        case Lease():
            return lambda store: store.connections.take_lease(key, what)
        case Commit():
            return lambda store: store.connections.commit(what)
        case Failure():
            return lambda store: store.connections.record_failure(key, what)
        case int():
            return lambda store: swept(store, what)


def swept(store: Store, now: int) -> list[Due]:
    found = [due for shard in range(SHARDS) for due in store.connections.due(shard, now=now)]
    for due in found[:1]:
        store.connections.mark_enqueued(due, until=now + 270)
    return found


STEPS = st.builds(step_from, KEYS, st.one_of(leases(), commits(), commits(), failures(), MOMENTS))


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_any_sequence_of_operations_ends_alike_in_memory_and_in_an_emulator(
    dynamodb: "DynamoDBClient", steps: list[Step]
) -> None:
    stores = [Store(MemoryDynamo().as_client), Store(dynamodb)]
    for step in [step_from(KEY, FIRST), *steps]:
        memory, emulator = (step(store) for store in stores)
        assert memory == emulator
    assert stores[0].items() == stores[1].items()
