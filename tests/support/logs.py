"""What the code under test logged, line by line."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from consentry import log


@contextmanager
def recorded() -> Iterator["Log"]:
    """Send the structured log to memory; metrics still go to the standard output."""
    handler = cast("logging.StreamHandler[Any]", log._logger().registered_handler)
    stream = io.StringIO()
    handler.setStream(stream)
    try:
        yield Log(stream)
    finally:
        handler.setStream(sys.__stdout__)


class Log:
    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def named(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == message]
