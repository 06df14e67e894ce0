"""The local stack, started once: the real template, the real handlers, a strict authorization server."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dev.running import started
from tests.support.lasting import Lasting
from tests.support.person import RETURN_URL, Company

OPTIONS = {
    "HTTPS": "1", "TICK": "2", "ACCESS_TTL": "40", "ROTATION": "rotates", "GRACE": "0", "RETURN_URLS": RETURN_URL,
}  # fmt: skip


LASTING = Lasting()


@contextmanager
def _company() -> Iterator[Company]:
    with started(OPTIONS) as ready:
        yield Company(ready, ready.authorization_server_url or "")


@pytest.fixture(scope="module")
def company() -> Company:
    return LASTING.of(_company)


@pytest.hookimpl(trylast=True)  # after the fixtures of the last module
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    LASTING.left(item, nextitem)
