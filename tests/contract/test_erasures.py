"""Marking, claiming and erasing connections, and the fence of a consent: one set of facts for three stores."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from consentry.aws.connections import DynamoConnections, shard_of
from consentry.aws.dynamodb import to_item
from consentry.aws.erasures import DynamoErasures
from consentry.aws.removals import DynamoRemovals
from consentry.connect.disconnect import Marked
from consentry.model import Connection, ConnectionKey, Removal, Status
from consentry.ports import Commit, CommitOutcome, Due, Lease, RefreshHint
from consentry.refresh.erasures import Claim
from tests.support.dynamo import MemoryDynamo
from tests.support.tables import REGION, create_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_800_000_000
KEY = ConnectionKey("acme", "crm")
FIRST = Commit(
    key=KEY, expected_gen=0, expected_epoch=1, epoch=1, commit_id="c1", status=Status.ACTIVE,
    set_attributes={
        "provider": "crm", "grant_type": "authorization_code", "access_token": b"first", "grant": b"grant-1",
        "expires_at": NOW + 1800, "due_at": NOW + 900, "consent_id": "c1", "client_account": "host|client|4711",
    },
)  # fmt: skip
NEXT = Commit(
    key=KEY, expected_gen=1, expected_epoch=1, epoch=1, commit_id="c2", status=Status.ACTIVE, expected_consent="c1",
    set_attributes={"access_token": b"second", "grant": b"grant-2", "due_at": NOW + 1800},
)  # fmt: skip
LEASE = Lease(owner="me", gen=1, epoch=1, now=NOW, until=NOW + 60, settled_before=NOW - 95, due_at=NOW + 96,
    retry_before=NOW + 5, consent="c1",
)  # fmt: skip
CLAIM = Claim(owner="eraser", now=NOW, until=NOW + 60, due_at=NOW + 61)
_stacks = itertools.count(1)


class Store:
    """The adapters over one client, with a table of their own."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client
        self.table = create_tables(client, f"erasing{next(_stacks)}")["ConnectionsTable"]
        self.connections = DynamoConnections(client, self.table)
        self.removals = DynamoRemovals(client, self.table)
        self.erasures = DynamoErasures(client, self.table)

    @property
    def record(self) -> Connection:
        record = self.connections.read(KEY)
        assert record is not None
        return record

    def item(self) -> dict[str, Any]:
        key = to_item({"tenant": KEY.tenant, "connection": KEY.sort_key})
        found: dict[str, Any] = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item", {})
        return found

    def put(self, **changes: object) -> None:
        """Change attributes behind the adapters' back."""
        self.client.put_item(TableName=self.table, Item={**self.item(), **to_item(changes)})

    def mark(self) -> Marked:
        return self.removals.mark(KEY, now=NOW, removal=Removal.REVOKE)

    def claimed(self) -> Connection:
        claimed = self.erasures.claim(self.record, CLAIM)
        assert claimed is not None
        return claimed


@pytest.fixture(scope="module", params=["memory", "moto", "ministack"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "memory":
        return lambda: Store(MemoryDynamo().as_client)
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=request.getfixturevalue(request.param))
    return lambda: Store(client)


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    """One connection at generation 1."""
    made = new_store()
    assert made.connections.commit(FIRST) is CommitOutcome.COMMITTED
    return made


# Marking


def test_a_mark_takes_the_token_and_makes_it_due_at_once(store: Store) -> None:
    store.put(attention="reauth_required", attention_since=NOW, next_try_at=NOW, last_error="x", refused=1)
    assert store.mark() is Marked.DELETING
    record = store.record
    assert (record.status, record.removal, record.deleting_since) == (Status.DELETING, "revoke", NOW)
    assert (record.access_token, record.grant) == (b"", b"grant-1")
    assert (record.due_at, record.next_try_at, record.last_error, record.refused) == (NOW, 0, "", 0)
    assert "attention" not in store.item()
    assert list(store.connections.due(shard_of(KEY), now=NOW)) == [Due(RefreshHint(KEY, 1), NOW)]


def test_a_second_mark_changes_nothing(store: Store) -> None:
    store.mark()
    before = store.item()
    assert store.removals.mark(KEY, now=NOW + 9, removal=Removal.REVOKE) is Marked.DELETING
    assert store.item() == before


def test_a_second_mark_may_ask_for_uninstalling_and_never_takes_that_back(store: Store) -> None:
    store.mark()
    before = store.item()
    assert store.removals.mark(KEY, now=NOW + 9, removal=Removal.UNINSTALL) is Marked.DELETING
    assert store.item() == before | to_item({"removal": "uninstall"})
    assert store.mark() is Marked.DELETING
    assert store.record.removal == "uninstall"


def test_a_mark_makes_no_record(store: Store) -> None:
    assert store.removals.mark(replace(KEY, tenant="globex"), now=NOW, removal=Removal.REVOKE) is Marked.ABSENT
    assert store.connections.of_tenant("globex") == []


def test_a_row_of_another_version_is_not_marked(store: Store) -> None:
    store.put(v=2)
    before = store.item()
    assert store.mark() is Marked.UNREADABLE
    assert store.item() == before


@pytest.mark.parametrize("consent", ["consent-1", ""])
def test_a_mark_for_one_consent_leaves_what_another_made_as_it_is(store: Store, consent: str) -> None:
    store.put(consent_id="consent-2")
    before = store.item()
    assert store.removals.mark(KEY, now=NOW, removal=Removal.REVOKE, consent=consent) is Marked.REPLACED
    assert store.item() == before
    assert store.removals.mark(KEY, now=NOW, removal=Removal.REVOKE, consent="consent-2") is Marked.DELETING
    assert store.removals.mark(KEY, now=NOW, removal=Removal.REVOKE, consent=consent) is Marked.DELETING


def test_a_record_without_a_consent_is_marked_for_none_alone(store: Store) -> None:
    item = store.item()
    del item["consent_id"]
    store.client.put_item(TableName=store.table, Item=item)
    assert store.removals.mark(KEY, now=NOW, removal=Removal.REVOKE, consent="consent-1") is Marked.REPLACED
    assert store.removals.mark(KEY, now=NOW, removal=Removal.REVOKE, consent="") is Marked.DELETING


def test_a_mark_leaves_the_lease_of_whoever_refreshes(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    store.mark()
    assert (store.record.lease_owner, store.record.pend_gen) == ("me", 1)


def test_a_tenants_names_come_in_pages_and_without_other_tenants(store: Store) -> None:
    for name in ("a", "b"):
        store.connections.commit(replace(FIRST, key=ConnectionKey("acme", "crm", name)))
    store.connections.commit(replace(FIRST, key=ConnectionKey("globex", "crm")))
    first = store.removals.names_of("acme", after="", limit=2)
    assert (list(first.names), first.end) == (["crm#a", "crm#b"], "crm#b")
    second = store.removals.names_of("acme", after=first.end, limit=2)
    assert (list(second.names), second.end) == (["crm#default"], "")


# Claiming


def test_a_claim_shows_what_stood_before_and_says_when_to_look_again(store: Store) -> None:
    store.mark()
    before = store.record
    assert store.erasures.claim(before, CLAIM) == before
    record = store.record
    assert (record.lease_owner, record.lease_until, record.due_at) == ("eraser", NOW + 60, NOW + 61)


def test_a_claim_whose_answer_was_lost_is_recognised(store: Store) -> None:
    store.mark()
    read = store.record
    store.erasures.claim(read, CLAIM)
    again = store.erasures.claim(read, CLAIM)
    assert again is not None
    assert again.grant == b"grant-1"
    assert store.erasures.claim(read, replace(CLAIM, owner="another")) is None


def test_nobody_claims_what_is_leased_until_the_lease_has_ended(store: Store) -> None:
    store.connections.take_lease(KEY, LEASE)
    store.mark()
    read = store.record
    assert store.erasures.claim(read, replace(CLAIM, now=NOW + 60)) is None
    assert store.erasures.claim(read, replace(CLAIM, now=NOW + 61)) is not None


@pytest.mark.parametrize(
    "moved", [{"gen": 2}, {"v": 2}, {"epoch": 2}, {"status": "active"}, {"consent_id": "anew"}], ids=str
)
def test_nobody_claims_another_record_than_was_read(store: Store, moved: dict[str, Any]) -> None:
    store.mark()
    read = store.record
    store.put(**moved)
    assert store.erasures.claim(read, CLAIM) is None


def test_a_record_that_names_no_consent_is_claimed_only_while_it_names_none(store: Store) -> None:
    store.mark()
    item = store.item()
    del item["consent_id"]
    store.client.put_item(TableName=store.table, Item=item)
    read = store.record
    assert read.consent_id == ""
    store.put(consent_id="anew")
    assert store.erasures.claim(read, CLAIM) is None
    store.client.put_item(TableName=store.table, Item=item)
    assert store.erasures.claim(read, CLAIM) is not None


def test_a_delay_may_begin_a_doubt(store: Store) -> None:
    store.mark()
    store.erasures.delay(store.claimed(), "eraser", error="revocation:x", due_at=NOW + 30, doubt_began_at=NOW + 1)
    assert (store.record.pend_gen, store.record.pend_at, store.record.in_doubt) == (1, NOW + 1, True)


def test_what_is_put_off_is_free_again_and_due_later(store: Store) -> None:
    store.mark()
    store.erasures.delay(store.claimed(), "eraser", error="revocation:http_503", due_at=NOW + 30)
    record = store.record
    assert (record.lease_owner, record.failures, record.last_error) == ("", 1, "revocation:http_503")
    assert record.due_at == NOW + 30


def test_whoever_lost_its_claim_puts_nothing_off_and_keeps_nothing(store: Store) -> None:
    store.mark()
    claimed = store.claimed()
    store.put(lease_owner="another")
    before = store.item()
    store.erasures.delay(claimed, "eraser", error="x", due_at=NOW + 30)
    assert not store.erasures.keep(claimed, "eraser", grant=b"newer", commit_id="k")
    assert not store.erasures.erase(claimed, "eraser", revoked=True)
    assert store.item() == before


def test_a_successor_is_kept_under_a_commit_id_of_its_own(store: Store) -> None:
    store.mark()
    claimed = store.claimed()
    assert store.erasures.keep(claimed, "eraser", grant=b"newer", commit_id="k")
    assert (store.record.grant, store.record.commit_id) == (b"newer", "k")
    assert not store.erasures.erase(claimed, "eraser", revoked=True)
    assert store.erasures.erase(replace(claimed, commit_id="k"), "eraser", revoked=True)


# Erasing


def test_what_is_erased_is_gone_from_the_table_and_from_every_index(store: Store) -> None:
    store.mark()
    claimed = store.claimed()
    assert store.erasures.erase(claimed, "eraser", revoked=True)
    assert store.item() == {}
    assert list(store.connections.due(shard_of(KEY), now=NOW + 9999)) == []
    assert list(store.erasures.of_account("host|client|4711")) == []
    assert store.erasures.erase(claimed, "eraser", revoked=True)  # as after an answer that was lost


@pytest.mark.parametrize("moved", [{"gen": 2}, {"status": "active"}, {"commit_id": "c2"}], ids=str)
def test_nothing_is_erased_that_moved_on(store: Store, moved: dict[str, Any]) -> None:
    store.mark()
    claimed = store.claimed()
    store.put(**moved)
    assert not store.erasures.erase(claimed, "eraser", revoked=True)
    assert store.item() != {}


def test_connections_of_one_account_are_found_across_tenants(store: Store) -> None:
    store.connections.commit(replace(FIRST, key=ConnectionKey("globex", "crm", "second")))
    other = {**FIRST.set_attributes, "client_account": "host|client|4712"}
    store.connections.commit(replace(FIRST, key=ConnectionKey("initech", "crm"), set_attributes=other))
    unreadable = {"tenant": "acme", "connection": "no name", "client_account": "host|client|4711"}
    store.client.put_item(TableName=store.table, Item=to_item(unreadable))
    found = list(store.erasures.of_account("host|client|4711"))
    assert sorted(map(str, found)) == sorted(map(str, [KEY, ConnectionKey("globex", "crm", "second"), None]))


# Tokens that come late


@pytest.mark.parametrize("write", ["commit", "restore"])
def test_a_refreshed_grant_takes_the_place_of_the_one_that_waits_for_its_revocation(store: Store, write: str) -> None:
    store.connections.take_lease(KEY, LEASE)
    store.mark()
    for _ in range(2):  # once more, as after an answer that was lost
        assert getattr(store.connections, write)(NEXT) is CommitOutcome.DELETING
    record = store.record
    assert (record.status, record.gen, record.grant, record.access_token) == (Status.DELETING, 1, b"grant-2", b"")
    assert (record.commit_id, record.pend_gen, record.due_at) == ("c2", None, NOW)
    assert record.lease_owner == "me"


def test_a_grant_of_an_older_generation_takes_nobodys_place(store: Store) -> None:
    store.put(gen=2)
    store.mark()
    assert store.connections.restore(NEXT) is CommitOutcome.SUPERSEDED
    assert store.record.grant == b"grant-1"


def test_a_consents_grant_takes_nobodys_place(store: Store) -> None:
    store.mark()
    consent = replace(NEXT, set_attributes={**NEXT.set_attributes, "consent_id": "c2"})
    assert store.connections.commit(consent) is CommitOutcome.DELETING
    assert store.record.grant == b"grant-1"


def test_tokens_for_what_is_gone_say_so(store: Store) -> None:
    store.mark()
    store.erasures.erase(store.claimed(), "eraser", revoked=True)
    assert store.connections.commit(NEXT) is CommitOutcome.GONE
    assert store.item() == {}


@pytest.mark.parametrize("status", ["active", "deleting"])
@pytest.mark.parametrize("write", ["commit", "restore"])
def test_tokens_of_another_consent_land_nowhere(store: Store, write: str, status: str) -> None:
    store.put(consent_id="anew", status=status)
    before = store.item()
    assert getattr(store.connections, write)(NEXT) is CommitOutcome.SUPERSEDED
    assert store.item() == before


def test_tokens_of_a_record_that_named_no_consent_land_in_none_that_does(store: Store) -> None:
    assert store.connections.commit(replace(NEXT, expected_consent="")) is CommitOutcome.SUPERSEDED
    item = store.item()
    del item["consent_id"]
    store.client.put_item(TableName=store.table, Item=item)
    assert store.connections.commit(replace(NEXT, expected_consent="")) is CommitOutcome.COMMITTED


def test_tokens_that_say_nothing_about_a_consent_are_taken_as_before(store: Store) -> None:
    assert store.connections.restore(replace(NEXT, expected_consent=None)) is CommitOutcome.COMMITTED


def test_a_lease_is_for_the_consent_whose_grant_is_in_hand(store: Store) -> None:
    assert store.connections.take_lease(KEY, replace(LEASE, consent="anew")) is None
    assert store.connections.take_lease(KEY, replace(LEASE, consent="")) is None
    assert store.connections.take_lease(KEY, LEASE) is not None
