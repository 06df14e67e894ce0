"""The table `connections` as an operator's work sees it: pages without access tokens, writes without any token."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.connections import shard_of
from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.aws.rows import readable
from consentry.maintain.ports import Doubt, Entry, Page, Place
from consentry.model import RECORD_VERSION, Connection, ConnectionKey, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Named one by one: the function's role may read no others. Of the grant only its presence matters; it is never opened.
READ_ATTRIBUTES: Final = (
    "tenant", "connection", "v", "provider", "grant_type", "status", "status_cause", "gen", "epoch", "grant",
    "expires_at", "due_at", "attention_since",
)  # fmt: skip
_ENDED_BY_A_RETRY: Final = (
    "status_cause", "attention", "attention_since", "next_try_at", "last_error", "refused", "enqueued_until",
)  # fmt: skip
_INTENT: Final = ("pend_gen", "pend_at")


class DynamoInventory:
    """`maintain.ports.Inventory` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def page(self, after: Place | None, *, limit: int) -> Page:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Limit": limit,
            "Select": "SPECIFIC_ATTRIBUTES",
            "ProjectionExpression": ", ".join(f"#{name}" for name in READ_ATTRIBUTES),
            "ExpressionAttributeNames": {f"#{name}": name for name in READ_ATTRIBUTES},
        }
        if after is not None:
            request["ExclusiveStartKey"] = to_item({"tenant": after.tenant, "connection": after.connection})
        with storage_errors("scan connections"):
            answer = self._client.scan(**request)
        last = from_item(answer["LastEvaluatedKey"]) if "LastEvaluatedKey" in answer else None
        return Page(tuple(_entries(map(from_item, answer["Items"]))), Place(**last) if last else None)

    def adopt(self, record: Connection, *, epoch: int, now: int, doubt: Doubt | None = None) -> bool:
        update = Update().set({"epoch": epoch})
        if record.status is Status.ACTIVE:
            # What was counted while the record waited for its epoch is no failure of the provider.
            update.set({"failures": 0}).remove(["last_error"])
        if doubt is not None:
            update.set({"pend_gen": record.gen, "pend_at": doubt.began_at})
        if doubt is not None and doubt.due_at is not None:
            update.set({"due_shard": shard_of(record.key), "due_at": doubt.due_at}).remove(["enqueued_until"])
        # A worker of the older epoch may still commit: its tokens would be refused if the epoch changed before.
        update.require(update.earlier("lease_until", now))
        return self._write(update, record, "adopt connection")

    def reactivate(self, entry: Entry, *, due_at: int, answered: bool) -> bool:
        record = entry.record
        update = Update().set({"status": Status.ACTIVE.value, "failures": 0})
        update.set({"due_shard": shard_of(record.key), "due_at": due_at})
        update.remove([*_ENDED_BY_A_RETRY, *(_INTENT if answered else ())])
        update.require(update.equal("attention_since", entry.attention_since))
        return self._write(update, record, "reactivate connection")

    def _write(self, update: Update, record: Connection, what: str) -> bool:
        """Write if the record is the one that was read, as far as anything depends on it."""
        update.require(
            update.equal("v", RECORD_VERSION),
            update.equal("gen", record.gen),
            update.equal("epoch", record.epoch),
            update.equal("status", record.status.value),
        )
        request = update.request(self._table, _key(record.key))
        del request["ReturnValuesOnConditionCheckFailure"]  # the role may not see the access token, refused or not
        try:
            apply(self._client.update_item, request, what)
        except Refused:
            return False
        return True


def _entries(items: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    for item in items:
        since = item.get("attention_since")
        yield from (Entry(record, since if isinstance(since, int) else 0) for record in readable([item]))


def _key(key: ConnectionKey) -> dict[str, str]:
    return {"tenant": key.tenant, "connection": key.sort_key}
