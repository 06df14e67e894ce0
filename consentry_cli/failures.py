"""What ends a command without its result: one sentence that says what to do, and an exit code for scripts."""

from enum import IntEnum

from consentry.errors import ConsentryError, InvalidRequest, NotFound


class Exit(IntEnum):
    """The exit codes of `docs/cli.md`."""

    OK = 0
    PROBLEMS = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 5


class Failure(Exception):
    """`code` is stable and for programs; the sentence holds no secret."""

    def __init__(self, sentence: str, exit_code: Exit, code: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.exit_code = exit_code
        self.code = code


def failure_of(error: ConsentryError) -> Failure:
    """Return what one of the package's own errors means here."""
    if isinstance(error, NotFound):
        return Failure(error.public, Exit.NOT_FOUND, error.code)
    if isinstance(error, InvalidRequest):
        return Failure(error.public, Exit.USAGE, error.code)
    return Failure(error.public, Exit.PROBLEMS, error.code)
