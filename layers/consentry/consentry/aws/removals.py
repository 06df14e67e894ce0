"""What a disconnect does to the table `connections`: marks of a single write each, and a tenant's names by pages."""

from typing import TYPE_CHECKING, Any, Final

from consentry.aws.connections import shard_of
from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.connect.disconnect import Marked, NamedConnections
from consentry.model import RECORD_VERSION, ConnectionKey, Removal, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_DELETING: Final = Status.DELETING.value
# The grant stays, for its revocation, and so does the lease of whoever refreshes it just now.
_ENDED: Final = (
    "access_token", "attention", "attention_since", "next_try_at", "enqueued_until", "last_error", "refused",
)  # fmt: skip


class DynamoRemovals:
    """`connect.disconnect.Removals` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def mark(self, key: ConnectionKey, *, now: int, removal: Removal, consent: str | None = None) -> Marked:
        update = Update().set({"status": _DELETING, "deleting_since": now, "removal": removal.value, "failures": 0})
        update.set({"due_at": now, "due_shard": shard_of(key)}).remove(_ENDED)
        update.require(
            update.equal("v", RECORD_VERSION),
            f"{update.name('status')} <> {update.value(_DELETING)}",
        )
        if consent is not None:
            update.require(update.same("consent_id", consent))
        try:
            apply(
                self._client.update_item,
                update.request(self._table, {"tenant": key.tenant, "connection": key.sort_key}),
                "mark for removal",
            )
        except Refused as refused:
            if not refused.item:
                return Marked.ABSENT
            if refused.item.get("v") != RECORD_VERSION:
                return Marked.UNREADABLE
            if refused.item.get("status") != _DELETING:
                return Marked.REPLACED
            less = removal is Removal.UNINSTALL and refused.item.get("removal") != removal
            return self._ask_for_more(key, removal) if less else Marked.DELETING
        return Marked.DELETING

    def _ask_for_more(self, key: ConnectionKey, removal: Removal) -> Marked:
        """Let what is on its way out be uninstalled, too, if nobody has erased it meanwhile."""
        update = Update().set({"removal": removal.value})
        update.require(update.equal("v", RECORD_VERSION), update.equal("status", _DELETING))
        request = update.request(self._table, {"tenant": key.tenant, "connection": key.sort_key})
        try:
            apply(self._client.update_item, request, "ask for uninstalling")
        except Refused:
            return Marked.ABSENT
        return Marked.DELETING

    def names_of(self, tenant: str, *, after: str, limit: int) -> NamedConnections:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Limit": limit,
            "KeyConditionExpression": "tenant = :tenant",
            "ExpressionAttributeValues": to_item({":tenant": tenant}),
            "ProjectionExpression": "#connection",
            "ExpressionAttributeNames": {"#connection": "connection"},
        }
        if after:
            request["ExclusiveStartKey"] = to_item({"tenant": tenant, "connection": after})
        with storage_errors("list connections"):
            answer = self._client.query(**request)
        names = tuple(str(from_item(item)["connection"]) for item in answer["Items"])
        last = from_item(answer["LastEvaluatedKey"])["connection"] if "LastEvaluatedKey" in answer else ""
        return NamedConnections(names, str(last))
