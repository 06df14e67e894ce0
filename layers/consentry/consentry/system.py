"""The real clock and the real randomness."""

import secrets
import time
from typing import Protocol


class LambdaContext(Protocol):
    """What Lambda hands to every invocation; only the time left is used."""

    def get_remaining_time_in_millis(self) -> int: ...


class SystemClock:
    """`ports.Clock` for one process: `begin` is told of each invocation."""

    def __init__(self) -> None:
        self._context: LambdaContext | None = None

    def begin(self, context: LambdaContext) -> None:
        self._context = context

    def now(self) -> int:
        return int(time.time())

    def remaining_seconds(self) -> float:
        return self._context.get_remaining_time_in_millis() / 1000 if self._context else 0.0

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemRandomness:
    """`ports.Randomness` from the operating system, asked at each call and never at import."""

    def token(self) -> str:
        return secrets.token_urlsafe(32)

    def fraction(self) -> float:
        return secrets.randbelow(2**32) / 2**32
