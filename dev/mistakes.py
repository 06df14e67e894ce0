"""What a person running the local stack can put right, said in one line."""

from collections.abc import Sequence


class Mistake(Exception):
    """Something to correct before the stack can run; each of `lines` says what and how."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines: Sequence[str] = lines
