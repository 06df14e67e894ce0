"""What has led others astray, as data."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpora"


@cache
def return_urls() -> Mapping[str, Sequence[str]]:
    """Return addresses by trick; `https://app.test/connected` is the one that is meant."""
    found: Mapping[str, Sequence[str]] = json.loads((_FOLDER / "return_urls.json").read_text(encoding="utf-8"))
    return found
