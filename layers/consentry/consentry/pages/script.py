"""The popup script, as it is served: a file of its own, without anything in it that a deployment decides."""

from functools import cache
from pathlib import Path


@cache
def popup_script() -> str:
    """Return `connect.js` (docs/popup.md)."""
    return Path(__file__).with_name("connect.js").read_text(encoding="utf-8")
