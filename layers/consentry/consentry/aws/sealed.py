"""The tables as ciphertexts: all that replacing keys sees of them, and all that it can change."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.model import RECORD_VERSION, Field
from consentry.rekey.ports import Ciphertexts, OpenFlow, Place, Row, RowPage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SEALED: Final = (Field.ACCESS_TOKEN, Field.GRANT)
# Named one by one: the function's role may read and write no others.
SEALED_ATTRIBUTES: Final = ("tenant", "connection", "v", *(what.value for what in _SEALED))
FLOW_ATTRIBUTES: Final = ("id", "expires_at", "parked_until", "verifier", "code")


class DynamoRows:
    """`rekey.ports.Rows` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def page(self, after: Place | None, *, limit: int) -> RowPage:
        request = _projected(self._table, SEALED_ATTRIBUTES)
        request |= {"Limit": limit, "ConsistentRead": True, "Select": "SPECIFIC_ATTRIBUTES"}
        if after is not None:
            request["ExclusiveStartKey"] = to_item(_key(after))
        with storage_errors("scan connections"):
            answer = self._client.scan(**request)
        last = from_item(answer["LastEvaluatedKey"]) if "LastEvaluatedKey" in answer else None
        return RowPage(tuple(_row(from_item(item)) for item in answer["Items"]), _place(last) if last else None)

    def again(self, place: Place) -> Row | None:
        request = _projected(self._table, SEALED_ATTRIBUTES) | {"Key": to_item(_key(place)), "ConsistentRead": True}
        with storage_errors("read connection"):
            answer = self._client.get_item(**request)
        return _row(from_item(answer["Item"])) if "Item" in answer else None

    def replace(self, row: Row, successors: Ciphertexts) -> bool:
        update = Update().set({what.value: ciphertext for what, ciphertext in successors.items()})
        # Each ciphertext is one of a kind: while it stands, no refresh, consent or disconnect has touched it.
        update.require(
            update.equal("v", RECORD_VERSION), *(update.equal(what.value, row.sealed[what]) for what in successors)
        )
        request = update.request(self._table, _key(row.place))
        del request["ReturnValuesOnConditionCheckFailure"]  # the role may not see the whole record, refused or not
        try:
            apply(self._client.update_item, request, "replace keys")
        except Refused:
            return False
        return True


class DynamoFlows:
    """`rekey.ports.Flows` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def open(self, now: int) -> Iterator[OpenFlow]:
        request = _projected(self._table, FLOW_ATTRIBUTES) | {"Select": "SPECIFIC_ATTRIBUTES"}
        pages = self._client.get_paginator("scan").paginate(**request)
        with storage_errors("scan pending"):
            for page in pages:
                flows = (_flow(from_item(item)) for item in page["Items"])
                yield from (flow for flow in flows if flow.sealed and flow.ends_at > now)


def _projected(table: str, attributes: Sequence[str]) -> dict[str, Any]:
    return {
        "TableName": table,
        "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
    }


def _row(item: Mapping[str, Any]) -> Row:
    sealed = {what: item[what.value] for what in _SEALED if isinstance(item.get(what.value), bytes)}
    if item.get("v") != RECORD_VERSION:
        return Row(_place(item), {}, f"record of version {item.get('v')!r:.20}, this code knows {RECORD_VERSION}")
    strange = [what.value for what in _SEALED if what.value in item and what not in sealed]
    return Row(_place(item), sealed, f"{strange[0]} is not binary" if strange else "")


def _flow(item: Mapping[str, Any]) -> OpenFlow:
    sealed = tuple(item[name] for name in ("verifier", "code") if isinstance(item.get(name), bytes))
    ends = [item[name] for name in ("expires_at", "parked_until") if isinstance(item.get(name), int)]
    return OpenFlow(sealed, max(ends, default=0))


def _place(item: Mapping[str, Any]) -> Place:
    return str(item["tenant"]), str(item["connection"])


def _key(place: Place) -> dict[str, str]:
    return {"tenant": place[0], "connection": place[1]}
