"""How a connection leaves the table `connections`: leased by whoever revokes its grant, and then deleted."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.connections import shard_of
from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.aws.rows import connection_from
from consentry.errors import ConsentryError
from consentry.model import RECORD_VERSION, Connection, ConnectionKey, Status
from consentry.refresh.erasures import Claim

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_DELETING: Final = Status.DELETING.value


class DynamoErasures:
    """`refresh.erasures.Erasures` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def claim(self, record: Connection, claim: Claim) -> Connection | None:
        update = Update().set({"lease_owner": claim.owner, "lease_until": claim.until})
        update.set({"due_at": claim.due_at, "due_shard": shard_of(record.key)}).remove(["enqueued_until"])
        update.require(
            update.equal("gen", record.gen),
            update.equal("v", RECORD_VERSION),
            update.equal("epoch", record.epoch),
            update.equal("status", _DELETING),
            update.same("consent_id", record.consent_id),
            update.earlier("lease_until", claim.now),
        )
        request = update.request(self._table, _key(record.key)) | {"ReturnValues": "ALL_OLD"}
        try:
            return connection_from(apply(self._client.update_item, request, "claim for removal"))
        except Refused as refused:  # a retried call whose first answer was lost finds its own lease
            return connection_from(refused.item) if refused.item.get("lease_owner") == claim.owner else None

    def keep(self, record: Connection, owner: str, *, grant: bytes, commit_id: str) -> bool:
        update = Update().set({"grant": grant, "commit_id": commit_id})
        return self._while_claimed(update, record, owner, "keep grant")

    def delay(
        self, record: Connection, owner: str, *, error: str, due_at: int, doubt_began_at: int | None = None
    ) -> None:
        update = Update().set({"last_error": error, "failures": record.failures + 1})
        update.set({"due_at": due_at, "due_shard": shard_of(record.key)})
        update.set({} if doubt_began_at is None else {"pend_gen": record.gen, "pend_at": doubt_began_at})
        update.remove(["lease_owner", "lease_until", "enqueued_until"])
        self._while_claimed(update, record, owner, "put off removal")

    def _while_claimed(self, update: Update, record: Connection, owner: str, what: str) -> bool:
        update.require(*_claimed(update, record, owner))
        try:
            apply(self._client.update_item, update.request(self._table, _key(record.key)), what)
        except Refused:
            return False
        return True

    def erase(self, record: Connection, owner: str, *, revoked: bool) -> bool:
        ending, condition = Update().set({"revoked": revoked}), Update()
        for each in (ending, condition):
            each.require(*_claimed(each, record, owner), each.same("commit_id", record.commit_id))
        try:
            apply(self._client.update_item, ending.request(self._table, _key(record.key)), "end connection")
            apply(self._client.delete_item, condition.deletion(self._table, _key(record.key)), "erase connection")
        except Refused as refused:
            return not refused.item  # gone by a call whose answer was lost
        return True

    def of_account(self, client_account: str) -> Iterator[ConnectionKey | None]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="account",
            KeyConditionExpression="client_account = :account",
            ExpressionAttributeValues=to_item({":account": client_account}),
        )
        with storage_errors("query account"):
            for page in pages:
                yield from (_named(from_item(item)) for item in page["Items"])


def _key(key: ConnectionKey) -> dict[str, str]:
    return {"tenant": key.tenant, "connection": key.sort_key}


def _claimed(update: Update, record: Connection, owner: str) -> list[str]:
    return [
        update.equal("gen", record.gen),
        update.equal("status", _DELETING),
        update.equal("lease_owner", owner),
    ]


def _named(item: dict[str, Any]) -> ConnectionKey | None:
    try:
        return ConnectionKey.from_sort_key(item["tenant"], item["connection"])
    except ConsentryError:
        return None
