"""Counts its calls in the table."""

import json
import os
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: Any) -> None:  # noqa: ANN401 - AWS's context object
    boto3.client("dynamodb").update_item(
        TableName=os.environ["TABLE"],
        Key={"id": {"S": "seen ticks"}},
        UpdateExpression="SET event = :event ADD calls :one",
        ExpressionAttributeValues={":event": {"S": json.dumps(event)}, ":one": {"N": "1"}},
    )
