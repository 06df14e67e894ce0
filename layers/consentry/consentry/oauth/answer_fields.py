"""Reading an untrusted JSON answer: whatever it holds, these return a usable value or nothing, and never raise."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

MAX_SECONDS: Final = 10 * 365 * 24 * 3600  # a longer lifetime is nonsense: S-32
MAX_TOKEN_LENGTH: Final = 16 * 1024
MAX_KEPT_LENGTH: Final = 2048
MAX_SCOPES: Final = 500
MAX_SCOPE_LENGTH: Final = 512
MAX_KEPT_NUMBER: Final = 2**63

_DIGITS: Final = re.compile(r"\d{1,12}(?:\.\d{0,9})?", re.ASCII)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def json_object(body: bytes) -> dict[str, object] | None:
    """Return the JSON object in UTF-8 bytes (RFC 8259 section 8.1; a byte order mark is tolerated), else `None`."""
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, or a number of thousands of digits
        return None
    return value if isinstance(value, dict) else None


def at(fields: Mapping[str, object], name: str) -> object:
    """Return a field by its name; failing that, a dot steps into an object: `team.id`. `None` if there is none."""
    if not name:
        return None
    if name in fields:
        return fields[name]
    head, dot, rest = name.partition(".")
    inner = fields.get(head)
    return at(inner, rest) if dot and isinstance(inner, dict) else None


def access_token(fields: Mapping[str, object]) -> str:
    """Return the access token as it stands, if it is visible ASCII of at most 16 KB (RFC 6749 appendix A.12)."""
    value = fields.get("access_token")
    if not isinstance(value, str) or len(value) > MAX_TOKEN_LENGTH or not _VISIBLE.fullmatch(value):
        return ""
    return value


def refresh_token(fields: Mapping[str, object]) -> str:
    """Return the refresh token as it stands; empty if absent, null, empty, not a string, or not storable."""
    value = fields.get("refresh_token")
    return value if isinstance(value, str) and _printable(value, MAX_TOKEN_LENGTH) else ""


def seconds(value: object) -> int | None:
    """Return a lifetime in whole seconds from an int, a float or a string of digits; `None` for anything absurd."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        number: float = float(text) if _DIGITS.fullmatch(text) else 0
    elif isinstance(value, int | float):
        number = value
    else:
        return None
    return int(number) if 1 <= number <= MAX_SECONDS else None  # NaN and infinity are not in between either


def scopes(value: object, separator: str) -> tuple[str, ...] | None:
    """Return granted scopes from a separated string or a list; `None` if the answer says nothing about them.

    An empty string counts as nothing said (RFC 6749 section 3.2); an empty list says: none.
    """
    if isinstance(value, str):
        parts: Sequence[object] = value.split() if separator.isspace() else value.split(separator)
    elif isinstance(value, list):
        parts = value
    else:
        return None
    found = [part.strip() for part in parts if isinstance(part, str)]
    usable = [scope for scope in found if scope and _printable(scope, MAX_SCOPE_LENGTH)]
    return tuple(dict.fromkeys(usable))[:MAX_SCOPES] if usable or value == [] else None


def kept_fields(fields: Mapping[str, object], names: Sequence[str]) -> dict[str, str | int]:
    """Return those named fields that are strings or whole numbers of a reasonable size; others are left out."""
    kept: dict[str, str | int] = {}
    for name in names:
        value = _scalar(at(fields, name))
        if value is not None:
            kept[name] = value
    return kept


def scalar_text(fields: Mapping[str, object], name: str) -> str:
    """Return one field that is a string or a whole number, as text; empty if it is something else."""
    value = _scalar(at(fields, name))
    return "" if value is None else str(value)


def _scalar(value: object) -> str | int | None:
    if isinstance(value, str):
        return value if _printable(value, MAX_KEPT_LENGTH) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_KEPT_NUMBER:
        return value
    return None


def _printable(text: str, limit: int) -> bool:
    """Whether the text can be stored and shown: not empty, not too long, no control characters or lone surrogates."""
    return 0 < len(text) <= limit and text.isprintable()
