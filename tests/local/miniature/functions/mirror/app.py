"""Answers what it was asked, or does what it is told to go wrong."""

import importlib.util
import json
import os
import time
from typing import Any


def handler(event: dict[str, Any], context: Any) -> object:  # noqa: ANN401 - AWS's context object
    """`thing` decides: echo (default), cookies, slow, crash, raise, malformed, context."""
    thing = event.get("pathParameters", {}).get("thing", event.get("thing", "echo"))
    if thing == "slow":
        print(event.get("tag", "slow"), "in", os.getpid())  # noqa: T201 - a function's log is what it prints
        time.sleep(60)
    if thing == "crash":
        os._exit(7)
    if thing == "raise":
        raise RuntimeError("on purpose")
    if thing == "malformed":
        return {"statusCode": "teapot"}
    if thing == "cookies":
        return {"statusCode": 201, "cookies": ["a=1; Secure", "b=2"], "headers": {"X-One": "1"}, "body": "made"}
    if thing == "context":
        about = {
            "pid": os.getpid(),
            "remaining": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn,
            "environment": dict(os.environ),
            "importable": [name for name in ("boto3", "pytest", "flask", "moto") if importlib.util.find_spec(name)],
        }
        return {"statusCode": 200, "body": json.dumps(about)}
    return {"statusCode": 200, "body": json.dumps(event)}
