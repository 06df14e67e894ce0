"""What a function is measured against: the same AWS calls, made with boto3 as it comes and nothing else."""

import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

session: Any = boto3.Session()
clients = {name: session.client(name) for name in os.environ["PLAIN_SERVICES"].split(",")}


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    made = 0
    for service, operation, parameters in event["calls"]:
        try:
            getattr(clients[service], operation)(**parameters)
        except ClientError as refused:
            if refused.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
        made += 1
    return {"made": made}
