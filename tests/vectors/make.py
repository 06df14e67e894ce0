"""Rows for whoever writes a reader: `python -m tests.vectors.make` writes `records.json`, the same each time.

Each case is a row as DynamoDB returns it and what a reader makes of it at `now`; docs/format.md explains the fields.
"""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.vectors.rows import ACCESS_KEY, NOW, Case, Writer, cases

RECORDS: Final = Path(__file__).with_name("records.json")
_ABOUT: Final = "Rows, and what a reader makes of them: docs/format.md. The keys are published and protect nothing."


def vectors() -> dict[str, Any]:
    """Return the file's content; binary values are base64."""
    writer = Writer()
    told = [_told(each) for each in cases(writer)]
    return {"about": _ABOUT, "now": NOW, "access_key": ACCESS_KEY, "kms": writer.kms.wrapped, "cases": told}


def _told(case: Case) -> dict[str, Any]:
    values = asdict(case) | {"key": None, "tenant": case.key.tenant, "connection": case.key.sort_key}
    if "B" not in (case.item or {}).get("access_token", {}):
        values["message"] = None
    kept = {name: value for name, value in values.items() if value is not None or name == "item"}
    return {name: kept[name] for name in ("name", "tenant", "connection", *kept)}


def _binary(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError


def text() -> str:
    return json.dumps(vectors(), indent=1, default=_binary) + "\n"


if __name__ == "__main__":
    RECORDS.write_text(text(), encoding="utf-8")
