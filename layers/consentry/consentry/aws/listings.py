"""The table `connections` by pages: a tenant's, or those of all tenants that need their customers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from consentry import log
from consentry.aws.dynamodb import from_item, storage_errors, to_item
from consentry.aws.rows import readable
from consentry.connect.attention import ConnectionPage, Flagged, FlaggedPage
from consentry.errors import ConsentryError, InvalidRequest
from consentry.model import ConnectionKey, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Named one by one: no ciphertext is read.
LISTED_ATTRIBUTES: Final = (
    "tenant", "connection", "v", "provider", "grant_type", "status", "status_cause", "gen", "epoch", "account",
    "scopes", "metadata", "label", "description", "expires_at", "created_at", "refreshed_at", "grant_expires_at",
    "lost_scopes", "scopes_reduced_at",
)  # fmt: skip
_PLACE: Final[Mapping[str, type]] = {"tenant": str, "connection": str, "attention_since": int}
_LATEST: Final = 2**53


class DynamoListings:
    """`connect.attention.Listings` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def flagged(self, status: Status, *, after: str, limit: int) -> FlaggedPage:
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": "attention",
            "Limit": limit,
            "KeyConditionExpression": "attention = :status",
            "ExpressionAttributeValues": to_item({":status": status.value}),
        }
        if after:
            request["ExclusiveStartKey"] = to_item({**_place(after), "attention": status.value})
        with storage_errors("list flagged"):
            answer = self._client.query(**request)
        last = from_item(answer["LastEvaluatedKey"]) if "LastEvaluatedKey" in answer else None
        return FlaggedPage(tuple(_flagged(status, map(from_item, answer["Items"]))), _text(last) if last else "")

    def of_tenant(self, tenant: str, *, after: str, limit: int) -> ConnectionPage:
        request: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "Limit": limit,
            "Select": "SPECIFIC_ATTRIBUTES",
            "KeyConditionExpression": "#tenant = :tenant",
            "ProjectionExpression": ", ".join(f"#{name}" for name in LISTED_ATTRIBUTES),
            "ExpressionAttributeNames": {f"#{name}": name for name in LISTED_ATTRIBUTES},
            "ExpressionAttributeValues": to_item({":tenant": tenant}),
        }
        if after:
            request["ExclusiveStartKey"] = to_item({"tenant": tenant, "connection": after})
        with storage_errors("list connections"):
            answer = self._client.query(**request)
        last = from_item(answer["LastEvaluatedKey"])["connection"] if "LastEvaluatedKey" in answer else ""
        return ConnectionPage(tuple(readable(map(from_item, answer["Items"]))), str(last))


def _flagged(status: Status, items: Iterable[Mapping[str, Any]]) -> Iterator[Flagged]:
    for item in items:
        texts = {name: item.get(name, "") for name in ("status_cause", "provider", "label")}
        try:
            key = ConnectionKey.from_sort_key(item["tenant"], item["connection"])
        except ConsentryError:
            key = None
        if key is None or not all(isinstance(each, str) for each in texts.values()):
            fields = {"tenant": item["tenant"], "connection": item["connection"], "detail": "in the index attention"}
            log.record("row not readable, passed over", fields, level="critical")
            continue
        yield Flagged(
            key=key,
            status=status,
            cause=texts["status_cause"],
            provider=texts["provider"],
            label=texts["label"],
            since=item["attention_since"],
        )


def _text(place: Mapping[str, Any]) -> str:
    return json.dumps([place[name] for name in _PLACE])


def _place(text: str) -> dict[str, object]:
    """Return what `_text` made the text of."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    fits = isinstance(told, list) and [type(each) for each in told] == list(_PLACE.values())
    if not fits or not all(told) or not told[2] < _LATEST:
        public = "next must be what the answer before said, for the same status; without it, begin again"
        raise InvalidRequest(public, code="invalid_next")
    return dict(zip(_PLACE, told, strict=True))
