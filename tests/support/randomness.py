"""Randomness that can be foretold, and that is found again wherever it was written down."""

import itertools

CANARY = "CNRY-"


class ScriptedRandomness:
    """`ports.Randomness`: the n-th token is `CNRY-random-<n>`, 43 characters like the real ones; safe in threads."""

    def __init__(self, fraction: float = 0.5) -> None:
        self._numbers = itertools.count(1)
        self._fraction = fraction

    def token(self) -> str:
        return f"{CANARY}random-{next(self._numbers):031d}"

    def fraction(self) -> float:
        return self._fraction
