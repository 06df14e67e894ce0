"""A clock that moves only when it is told to."""


class FakeClock:
    """`ports.Clock`: sleeping takes no time, and moves both the hour and what is left of the invocation."""

    def __init__(self, now: int = 1_800_000_000, remaining: float = 29.0) -> None:
        self.time = float(now)
        self.remaining = remaining
        self.slept: list[float] = []

    def now(self) -> int:
        return int(self.time)

    def remaining_seconds(self) -> float:
        return self.remaining

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self.remaining -= seconds
