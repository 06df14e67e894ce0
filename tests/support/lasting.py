"""What a folder's tests share, for as long as they run: a stack that nobody needs any more still polls and ticks."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, cast

import pytest


class Lasting:
    """Things that are begun for the first test that wants them, and ended when the next test is another folder's."""

    def __init__(self) -> None:
        self._begun: dict[object, Any] = {}
        self._ends = ExitStack()

    def of[T](self, begin: Callable[[], AbstractContextManager[T]]) -> T:
        """Return what `begin` began; the same callable begins once."""
        if begin not in self._begun:
            self._begun[begin] = self._ends.enter_context(begin())
        return cast("T", self._begun[begin])

    def left(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """To be called after each test, with the one that follows it in this process."""
        if following is None or following.path.parent != item.path.parent:
            self._begun.clear()
            self._ends.close()
