"""The table `connections` as an export sees it: pages with sealed grants, without access tokens."""

from typing import TYPE_CHECKING, Any, Final

from consentry.aws.dynamodb import from_item, storage_errors, to_item
from consentry.aws.rows import readable
from consentry.transfer.ports import GrantPage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Named one by one: the function's role may go through no others.
EXPORTED_ATTRIBUTES: Final = (
    "tenant", "connection", "v", "provider", "grant_type", "client_id", "status", "gen", "epoch", "grant", "account",
    "scopes", "metadata", "variables", "label", "description", "created_at", "grant_expires_at", "pend_gen",
    "lease_until",
)  # fmt: skip


class DynamoGrants:
    """`transfer.ports.Grants` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def page(self, after: tuple[str, str] | None, *, limit: int) -> GrantPage:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Limit": limit,
            "ConsistentRead": True,
            "Select": "SPECIFIC_ATTRIBUTES",
            "ProjectionExpression": ", ".join(f"#{name}" for name in EXPORTED_ATTRIBUTES),
            "ExpressionAttributeNames": {f"#{name}": name for name in EXPORTED_ATTRIBUTES},
        }
        if after is not None:
            request["ExclusiveStartKey"] = to_item({"tenant": after[0], "connection": after[1]})
        with storage_errors("scan connections"):
            answer = self._client.scan(**request)
        last = from_item(answer["LastEvaluatedKey"]) if "LastEvaluatedKey" in answer else None
        end = (str(last["tenant"]), str(last["connection"])) if last else None
        return GrantPage(tuple(readable(map(from_item, answer["Items"]))), end)
