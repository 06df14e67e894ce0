"""The table `connections` in DynamoDB: the conditions of the refresh protocol stand here, and only here.

Lease and intent are one conditional update; a commit is fenced by lineage (`gen`), not by the lease, so that a worker
that overslept its lease can still save a token nobody else replaced. See `docs/refresh.md`.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.aws.rows import connection_from, due_from, readable
from consentry.model import RECORD_VERSION, Connection, ConnectionKey, Status
from consentry.ports import TABLE_UNAVAILABLE, Commit, CommitOutcome, Due, Failure, Lease

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SHARDS: Final = 8
_PAGE: Final = 250
_LEASE: Final = ("lease_owner", "lease_until")
_INTENT: Final = ("pend_gen", "pend_at")
_DUE: Final = ("due_shard", "due_at", "enqueued_until")
# Named one by one: whoever shows connections to people may read no others.
SUMMARY_ATTRIBUTES: Final = (
    "tenant", "connection", "v", "provider", "grant_type", "status", "status_cause", "gen", "epoch", "account",
    "lost_scopes", "scopes_reduced_at", "label", "description", "created_at", "refreshed_at", "grant_expires_at",
)  # fmt: skip
_TROUBLE: Final = ("last_error", "refused", "next_try_at", "status_cause", "attention", "attention_since")


def shard_of(key: ConnectionKey) -> int:
    """Spread connections over the due index, the same connection always in the same shard."""
    return zlib.crc32(f"{key.tenant}/{key.sort_key}".encode()) % SHARDS


def _key(key: ConnectionKey) -> dict[str, str]:
    return {"tenant": key.tenant, "connection": key.sort_key}


class DynamoConnections:
    """`ports.Connections`, `connect.ports.Summaries` and `ports.DueIndex` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, key: ConnectionKey) -> Connection | None:
        with storage_errors("read connection", TABLE_UNAVAILABLE):
            answer = self._client.get_item(TableName=self._table, Key=to_item(_key(key)), ConsistentRead=True)
        return connection_from(from_item(answer["Item"])) if "Item" in answer else None

    def of_tenant(self, tenant: str) -> Sequence[Connection]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues=to_item({":tenant": tenant}),
        )
        with storage_errors("list connections"):
            return list(readable(from_item(item) for page in pages for item in page["Items"]))

    def summaries(self, tenant: str) -> Sequence[Connection]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            Select="SPECIFIC_ATTRIBUTES",
            KeyConditionExpression="#tenant = :tenant",
            ProjectionExpression=", ".join(f"#{name}" for name in SUMMARY_ATTRIBUTES),
            ExpressionAttributeNames={f"#{name}": name for name in SUMMARY_ATTRIBUTES},
            ExpressionAttributeValues=to_item({":tenant": tenant}),
        )
        with storage_errors("list connections"):
            return list(readable(from_item(item) for page in pages for item in page["Items"]))

    def take_lease(self, key: ConnectionKey, lease: Lease) -> Connection | None:
        update = Update()
        update.set(
            {"lease_owner": lease.owner, "lease_until": lease.until, "pend_gen": lease.gen, "pend_at": lease.now}
        )
        # Whoever takes the lease has the message in hand: the next one may follow as soon as it is due.
        update.set({"due_shard": shard_of(key), "due_at": lease.due_at}).remove(["enqueued_until"])
        gen, pend_gen = update.name("gen"), update.name("pend_gen")
        update.require(
            update.equal("gen", lease.gen),
            update.equal("v", RECORD_VERSION),
            update.equal("epoch", lease.epoch),
            update.equal("status", Status.ACTIVE.value),
            update.same("consent_id", lease.consent),
            f"attribute_not_exists({pend_gen}) OR {pend_gen} <> {gen}"
            f" OR {update.name('pend_at')} < {update.value(lease.settled_before)}",
            update.earlier("lease_until", lease.now),
            # Somebody may have asked, and been told to wait, since this worker read the record.
            f"attribute_not_exists({update.name('next_try_at')})"
            f" OR {update.name('next_try_at')} <= {update.value(lease.retry_before)}",
        )
        request = update.request(self._table, _key(key)) | {"ReturnValues": "ALL_OLD"}
        try:
            return connection_from(apply(self._client.update_item, request, "take lease"))
        except Refused as refused:
            # A retried call whose first answer was lost finds its own lease. What stood before is then unknown, so
            # the record counts as in doubt: pessimistic, and never wrong.
            if refused.item.get("lease_owner") == lease.owner:
                return connection_from(refused.item)
            return None

    def commit(self, commit: Commit) -> CommitOutcome:
        return self._write_tokens(commit, (*_LEASE, *_INTENT))

    def restore(self, commit: Commit) -> CommitOutcome:
        return self._write_tokens(commit, ())

    def _write_tokens(self, commit: Commit, ended: tuple[str, ...]) -> CommitOutcome:
        update = Update()
        update.set(
            {**commit.set_attributes, "gen": commit.expected_gen + 1, "epoch": commit.epoch, "v": RECORD_VERSION}
        )
        update.set({"commit_id": commit.commit_id, "status": commit.status.value, "failures": 0})
        due_at = commit.set_attributes.get("due_at")
        update.set({} if due_at is None else {"due_shard": shard_of(commit.key)})
        ended += _TROUBLE + (_DUE if due_at is None else ("enqueued_until",)) + commit.remove
        update.remove([name for name in ended if name not in commit.set_attributes])
        if commit.expected_gen == 0:
            update.require(update.missing("tenant"))
        else:
            deleting = f"{update.name('status')} <> {update.value(Status.DELETING.value)}"
            update.require(*_lineage(update, commit), deleting)
        return self._apply_commit(update, commit)

    def _apply_commit(self, update: Update, commit: Commit) -> CommitOutcome:
        try:
            apply(self._client.update_item, update.request(self._table, _key(commit.key)), "commit tokens")
        except Refused as refused:
            outcome = _what_stands(commit, refused.item)
            if outcome is not CommitOutcome.SUPERSEDED or not _is_deleting(refused.item):
                return outcome
            # A consent's grant takes no other one's place: that one still waits for its revocation.
            return CommitOutcome.DELETING if "consent_id" in commit.set_attributes else self._hand_over(commit)
        return CommitOutcome.COMMITTED

    def _hand_over(self, commit: Commit) -> CommitOutcome:
        """Put a refreshed grant where it waits for its revocation, instead of the one that it replaced.

        Whoever erases the record sees by the commit id that it is not the grant that was revoked. No lease is ended
        here: an eraser may have it.
        """
        update = Update().set({"commit_id": commit.commit_id}).remove(_INTENT)
        update.set({name: value for name, value in commit.set_attributes.items() if name == "grant"})
        update.require(*_lineage(update, commit), update.equal("status", Status.DELETING.value))
        try:
            apply(self._client.update_item, update.request(self._table, _key(commit.key)), "hand over")
        except Refused as refused:
            return _what_stands(commit, refused.item)
        return CommitOutcome.DELETING

    def record_failure(self, key: ConnectionKey, failure: Failure) -> bool:
        update = Update()
        update.set({"last_error": failure.error, "failures": failure.failures, "refused": failure.refused})
        if failure.status is Status.ACTIVE:
            due = {"next_try_at": failure.next_try_at, "due_at": failure.due_at, "due_shard": shard_of(key)}
            update.set(due).remove([*_LEASE, "enqueued_until", *(_INTENT if failure.answered else ())])
        else:
            update.set({"status": failure.status.value, "status_cause": failure.cause})
            update.set({"attention": failure.status.value, "attention_since": failure.now})
            update.remove([*_LEASE, *_DUE, "next_try_at"])
        update.require(
            update.equal("gen", failure.gen),
            update.equal("epoch", failure.epoch),
            update.equal("lease_owner", failure.owner),
            update.equal("status", Status.ACTIVE.value),
        )
        try:
            apply(self._client.update_item, update.request(self._table, _key(key)), "record failure")
        except Refused as refused:
            return _is_recorded(failure, refused.item)
        return True

    def postpone(self, record: Connection, *, error: str, until: int) -> None:
        update = Update().set({"last_error": error, "failures": record.failures + 1, "due_at": until})
        update.set({"due_shard": shard_of(record.key)}).remove(["enqueued_until"])
        due_at, lease = update.name("due_at"), update.name("lease_until")
        update.require(
            update.equal("gen", record.gen),
            update.equal("status", record.status.value),
            f"{due_at} = {update.value(record.due_at)}",
            f"attribute_not_exists({lease}) OR {lease} = {update.value(record.lease_until)}",
        )
        self._unless_moved_on(update.request(self._table, _key(record.key)), "postpone")

    def unmark(self, record: Connection) -> None:
        update = Update().remove(["enqueued_until"])
        update.require(update.equal("gen", record.gen), update.equal("due_at", record.due_at))
        self._unless_moved_on(update.request(self._table, _key(record.key)), "unmark")

    def due(self, shard: int, *, now: int) -> Iterator[Due]:
        condition = "due_shard = :shard AND due_at <= :now"
        return due_from(self._in_index(condition, {":shard": shard, ":now": now}))

    def integrations(self, shard: int) -> Iterator[str]:
        items = self._in_index("due_shard = :shard", {":shard": shard})
        return (str(item["connection"]).partition("#")[0] for item in items)

    def _in_index(self, condition: str, values: Mapping[str, object]) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="due",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_item(values),
            PaginationConfig={"PageSize": _PAGE},
        )
        with storage_errors("query due"):
            for page in pages:
                yield from map(from_item, page["Items"])

    def mark_enqueued(self, due: Due, *, until: int) -> None:
        update = Update().set({"enqueued_until": until})
        update.require(update.equal("gen", due.hint.gen), update.equal("due_at", due.due_at))
        request = update.request(self._table, _key(due.hint.key))
        del request["ReturnValuesOnConditionCheckFailure"]  # the dispatcher may not see the record, refused or not
        self._unless_moved_on(request, "mark enqueued")

    def _unless_moved_on(self, request: dict[str, Any], what: str) -> None:
        """Write, or leave it: whoever changed the record meanwhile knows better."""
        with suppress(Refused):
            apply(self._client.update_item, request, what)


def _lineage(update: Update, commit: Commit) -> list[str]:
    """Return the conditions under which the record is the one that a commit derives from."""
    conditions = [
        update.equal("gen", commit.expected_gen),
        update.equal("v", RECORD_VERSION),
        update.equal("epoch", commit.expected_epoch),
    ]
    if commit.expected_consent is not None:
        conditions.append(update.same("consent_id", commit.expected_consent))
    return conditions


def _is_deleting(item: Mapping[str, Any]) -> bool:
    return item.get("status") == Status.DELETING


def _what_stands(commit: Commit, item: Mapping[str, Any]) -> CommitOutcome:
    """Return what a refused commit has met, without looking whether a record on its way out is of its lineage."""
    if not item:
        return CommitOutcome.GONE
    if item.get("commit_id") == commit.commit_id:
        return CommitOutcome.DELETING if _is_deleting(item) else CommitOutcome.COMMITTED
    return CommitOutcome.SUPERSEDED


def _is_recorded(failure: Failure, item: Mapping[str, Any]) -> bool:
    """Whether a refused failure mark stands already: written by a call whose answer was lost."""
    wanted = {"gen": failure.gen, "epoch": failure.epoch, "last_error": failure.error, "failures": failure.failures}
    last = {"next_try_at": failure.next_try_at} if failure.status is Status.ACTIVE else {"status": failure.status.value}
    return all(item.get(name) == value for name, value in (wanted | last).items())
