"""The handlers of this process with a world of their own behind them."""

from collections.abc import Iterator

import pytest

from tests.attacks.handlers import World, world
from tests.support.fixtures import log_lines

__all__ = ["log_lines"]


@pytest.fixture
def at() -> Iterator[World]:
    with world() as found:
        yield found
