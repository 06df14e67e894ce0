"""The local stack, started once: the real template, the real handlers, a strict authorization server."""

from collections.abc import Iterator

import pytest

from dev.running import started
from tests.support.person import RETURN_URL, Company

OPTIONS = {
    "HTTPS": "1", "TICK": "2", "ACCESS_TTL": "40", "ROTATION": "rotates", "GRACE": "0", "RETURN_URLS": RETURN_URL,
}  # fmt: skip


@pytest.fixture(scope="session")
def company() -> Iterator[Company]:
    with started(OPTIONS) as ready:
        yield Company(ready, ready.authorization_server_url or "")
