"""Lists by pages: how many, from where on, and what a page of flagged connections looks like."""

import base64
from typing import Final

from consentry.connect.attention import ATTENTION, Flagged
from consentry.errors import InvalidRequest
from consentry.model import Status
from consentry.web.request import Request

_MOST: Final = 100
_LONGEST_PLACE: Final = 1024  # of a sort key, in bytes


def status_of(request: Request) -> Status:
    for status in ATTENTION:
        if request.query("status") == status.value:
            return status
    raise InvalidRequest(f"status must be one of {', '.join(ATTENTION)}", code="invalid_parameter")


def limit_of(request: Request) -> int:
    text = request.query("limit") or str(_MOST)
    if text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST)) and 1 <= int(text) <= _MOST:
        return int(text)
    raise InvalidRequest(f"limit must be a whole number from 1 to {_MOST}", code="invalid_parameter")


def token_of(owner: str, place: str) -> str | None:
    """Return where to go on in what is the owner's, as a text that a URL takes as it is; None at the end."""
    return base64.urlsafe_b64encode(f"{owner}/{place}".encode()).decode().rstrip("=") if place else None


def place_in(asked: str, token: str) -> str:
    """Return what `token_of` made this owner's token of; empty without one."""
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:  # binascii.Error, and what is no UTF-8 or not even ASCII
        whole = ""
    owner, _, place = whole.partition("/")
    if token and (owner != asked or not place or len(place.encode()) > _LONGEST_PLACE):
        public = "next must be what the answer before said, to the same request; without it, begin again"
        raise InvalidRequest(public, code="invalid_next")
    return place


def shown_flagged(flagged: Flagged) -> dict[str, object]:
    return {
        "tenant": flagged.key.tenant,
        "integration": flagged.key.integration,
        "name": flagged.key.name,
        "provider": flagged.provider,
        "status": flagged.status.value,
        "cause": flagged.cause,
        "label": flagged.label,
        "attention_since": flagged.since,
    }
