"""What a check found, and how checks are run."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation

RUNBOOK: Final = "docs/runbook"


class Level(StrEnum):
    """`UNKNOWN`: it could not be looked at."""

    PROBLEM = "problem"
    WARNING = "warning"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and what to do. `code` is stable, for programs."""

    code: str
    what: str
    remedy: str
    level: Level = Level.PROBLEM


@dataclass(frozen=True, slots=True)
class Check:
    """`title` says what is well if nothing is found."""

    title: str
    look: Callable[[Installation], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Looked:
    title: str
    findings: tuple[Finding, ...]


def looked(check: Check, installation: Installation) -> Looked:
    """Run a check; one that cannot look stops no other."""
    return Looked(check.title, tuple(_found(check, installation)))


def _found(check: Check, installation: Installation) -> Iterator[Finding]:
    try:
        yield from check.look(installation)
    except Failure as failure:
        yield Finding(failure.code, failure.sentence, "Then run doctor again: this was not looked at.", Level.UNKNOWN)


def or_absent[T](ask: Callable[[], T]) -> T | None:
    """Return what was asked for; None if AWS says that there is no such thing."""
    try:
        return ask()
    except Failure as failure:
        if failure.exit_code is not Exit.NOT_FOUND:
            raise
        return None
