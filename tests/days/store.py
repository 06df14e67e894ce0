"""`MemoryDynamo` with the due index kept in order: thousands of connections, and a sweep each minute."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.support.dynamo import MemoryDynamo
from tests.support.expressions import Item

type Entry = tuple[int, str, str]
type Written = Callable[[str, Item | None, Item | None], None]
_KEYS: Final = ("tenant", "connection")
_SHOWN: Final = ("due_shard", "due_at", *_KEYS, "gen", "enqueued_until")
_WHOLE: Final = "due_shard = :shard"
_KNOWN: Final = {_WHOLE, f"{_WHOLE} AND due_at <= :now"}
_LAST: Final = "\U0010ffff"


def entry_of(item: Item | None) -> tuple[str, Entry] | None:
    """Return shard and place in it, if the item is in the index."""
    if item is None or "due_shard" not in item or "due_at" not in item:
        return None
    return item["due_shard"]["N"], (int(item["due_at"]["N"]), item["tenant"]["S"], item["connection"]["S"])


class OrderedDynamo(MemoryDynamo):
    """`connections` is the table with the index; everything else is `MemoryDynamo`'s own. `told` hears of writes."""

    def __init__(self, connections: str) -> None:
        super().__init__(self._noted)
        self.told: Written = lambda _table, _before, _after: None
        self.connections = connections
        self.shards: defaultdict[str, list[Entry]] = defaultdict(list)
        self.rows: dict[tuple[str, str], Item] = {}

    def _noted(self, table: str, before: Item | None, after: Item | None) -> None:
        if table == self.connections:
            was, becomes = entry_of(before), entry_of(after)
            if was != becomes:
                if was:
                    shard = self.shards[was[0]]
                    del shard[bisect_right(shard, was[1]) - 1]
                if becomes:
                    insort(self.shards[becomes[0]], becomes[1])
            if after:
                self.rows[after["tenant"]["S"], after["connection"]["S"]] = after
        self.told(table, before, after)

    def query(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        """Answer the dispatcher's queries from the index; a page begins after its start key, present or gone."""
        condition = request["KeyConditionExpression"]
        if request.get("IndexName") != "due" or condition not in _KNOWN:
            return super().query(**request)
        values: Item = request["ExpressionAttributeValues"]
        entries = self.shards[values[":shard"]["N"]]
        until = len(entries)
        if condition != _WHOLE:
            until = bisect_right(entries, (int(values[":now"]["N"]), _LAST, _LAST))
        start = bisect_right(entries, _entry(request["ExclusiveStartKey"])) if "ExclusiveStartKey" in request else 0
        page = entries[start : min(until, start + request["Limit"])]
        items = [self._shown(entry) for entry in page]
        more = start + len(page) < until
        last = {"LastEvaluatedKey": {name: items[-1][name] for name in _SHOWN[:4]}} if more else {}
        return {"Items": items, "Count": len(items), **last}

    def _shown(self, entry: Entry) -> Item:
        row = self.rows[entry[1], entry[2]]
        return {name: row[name] for name in _SHOWN if name in row}


def _entry(key: Mapping[str, Mapping[str, str]]) -> Entry:
    return int(key["due_at"]["N"]), key["tenant"]["S"], key["connection"]["S"]
