"""A table's stream in the emulator, mended where it differs from DynamoDB's.

moto makes an item that an UpdateItem finds missing in two steps, and its stream tells of both.
"""

from typing import Any

from moto.dynamodb.models.table import StreamShard


def whole_inserts() -> None:
    """Make shards tell of a new item once: with all that it has, not with its key alone before that."""
    shards: Any = StreamShard
    original = shards.add

    def add(shard: Any, old: Any, new: Any) -> None:  # noqa: ANN401 - moto's own arguments
        last = shard.items[-1].to_json() if len(shard.items) else None
        original(shard, old, new)
        if last and _is_begun(last) and _is_same_insert(last, shard.items[-1].to_json()):
            whole = shard.items.pop()
            begun = shard.items.pop()
            whole.record["dynamodb"]["SequenceNumber"] = begun.record["dynamodb"]["SequenceNumber"]
            shard.items.append(whole)

    shards.add = add


def _is_begun(record: dict[str, Any]) -> bool:
    told = record["dynamodb"]
    return bool(record["eventName"] == "INSERT" and told.get("NewImage", {}).keys() == told["Keys"].keys())


def _is_same_insert(begun: dict[str, Any], record: dict[str, Any]) -> bool:
    return bool(record["eventName"] == "INSERT" and record["dynamodb"]["Keys"] == begun["dynamodb"]["Keys"])
