"""Notes every record in the table; fails those whose body begins with `bad`."""

import json
import os
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:  # noqa: ANN401 - AWS's context object
    """Streams: notes that a note was made, once. Queue: notes each message and how often it came."""
    client = boto3.client("dynamodb")
    failures = []
    for record in event["Records"]:
        if record["eventSource"] == "aws:dynamodb":
            note = record["dynamodb"]["Keys"]["id"]["S"]
            if not note.startswith("seen "):
                _note(client, f"seen {note}", record)
            continue
        _note(client, f"message {record['body']} {record['attributes']['ApproximateReceiveCount']}", record)
        if record["body"].startswith("bad"):
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _note(client: Any, note: str, record: dict[str, Any]) -> None:  # noqa: ANN401 - boto3's client
    item = {"id": {"S": note}, "record": {"S": json.dumps(record)}}
    client.put_item(TableName=os.environ["TABLE"], Item=item)
