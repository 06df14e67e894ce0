"""Records of a table's stream as Lambda hands them over, and what EventBridge's JSON Schema says of events."""

import base64
import itertools
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from consentry.aws.dynamodb import to_item
from consentry.events.change import Event

NOW: Final = 1_795_320_000
SCHEMA: Final = Path(__file__).parents[2] / "docs" / "events.schema.json"
_numbers = itertools.count(1)

type Json = dict[str, Any]


def image(values: Mapping[str, object]) -> Json:
    """Return an item as it stands in a stream's record: binary as base64."""
    told: Json = json.loads(json.dumps(to_item(values), default=lambda raw: base64.b64encode(raw).decode()))
    return told


def stream_record(before: Mapping[str, object] | None, after: Mapping[str, object] | None, *, at: int = NOW) -> Json:
    """Return the record of a change; None for what was not there, before or after."""
    number = next(_numbers)
    whole = after or before or {}
    names = ("tenant", "connection") if "connection" in whole else ("integration",)
    told: Json = {
        "ApproximateCreationDateTime": at,
        "Keys": image({name: whole[name] for name in names}),
        "SequenceNumber": str(1_405_400_000_000_002_063_282_000 + number),
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    told |= {"OldImage": image(before)} if before else {}
    told |= {"NewImage": image(after)} if after else {}
    table = "ConnectionsTable" if "connection" in whole else "IntegrationsTable"
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT" if not before else "MODIFY" if after else "REMOVE",
        "eventSource": "aws:dynamodb",
        "eventSourceARN": f"arn:aws:dynamodb:eu-central-1:123456789012:table/{table}/stream/2026-01-01T00:00:00.000",
        "dynamodb": told,
    }


def row(**more: object) -> dict[str, object]:
    """Return a connection's item, its ciphertexts included; None takes an attribute away."""
    values: dict[str, object] = {
        "tenant": "acme", "connection": "crm#default", "v": 1, "provider": "crm", "grant_type": "authorization_code",
        "status": "active", "gen": 3, "epoch": 1, "consent_id": "consent-1", "access_token": b"CNRY-access",
        "grant": b"CNRY-grant", "account": "CNRY-account", "metadata": {"hub_id": 1},
    }  # fmt: skip
    return {name: value for name, value in (values | more).items() if value is not None}


def health(**numbers: int) -> dict[str, object]:
    return {"integration": "crm#health", **numbers}


@cache
def schema() -> Json:
    read: Json = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return read


def misfits(event: Mapping[str, Any]) -> list[str]:
    """Return what the schema has against an event as a rule's target sees it."""
    return [each.message for each in Draft202012Validator(schema()).iter_errors(event)]


def enveloped(event: Event) -> Json:
    return {"source": "consentry.test", "detail-type": event.kind, "detail": json.loads(json.dumps(event.detail))}
