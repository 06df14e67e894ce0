"""One row: whatever another key sealed is opened, and sealed anew with the present one, unless somebody is faster."""

from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Final

from consentry.errors import Misconfigured, UnreadableRecord
from consentry.model import Field, Secret
from consentry.ports import StorageUnavailable
from consentry.rekey.ports import Envelopes, Place, Row, Rows

TRIES: Final = 4


class Fate(StrEnum):
    """What became of a row.

    `ALREADY`: nothing of it is under another key. `RACED`: it was, and somebody else's write ended that. `LEFT`:
    something is under another key still. `UNREADABLE`: it does not open.
    """

    REPLACED = "replaced"
    ALREADY = "already"
    RACED = "raced"
    LEFT = "left"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Told:
    """`why` says what is wrong with a row that is unreadable, without any content."""

    place: Place
    fate: Fate
    why: str = ""


class KeyDoesNotOpen(Misconfigured):
    """What the present key sealed could not be opened with it."""

    default_code = "key_does_not_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Only look: a row of which something is under another key is `LEFT`."""

    envelopes: Envelopes

    def __call__(self, row: Row) -> Told:
        others, problem = under_others(row, self.envelopes)
        if problem:
            return Told(row.place, Fate.UNREADABLE, problem)
        return Told(row.place, Fate.LEFT if others else Fate.ALREADY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """A process keeps one: of each field, the first ciphertext is opened again before anything is written."""

    rows: Rows
    envelopes: Envelopes
    _opened_again: set[Field] = field(default_factory=set)
    _turn: Lock = field(default_factory=Lock)

    def __call__(self, row: Row) -> Told:
        """Raise `StorageUnavailable` if a key or the table fails: then the row is as it was, or under the present key.

        A write that was refused, or whose answer was lost, is followed by another look. What stands then decides.
        """
        attempt = _Attempt(self, row.place)
        stands: Row | None = row
        for _ in range(TRIES):
            if stands is None:
                return Told(row.place, Fate.RACED)
            if told := attempt.on(stands):
                return told
            stands = self.rows.again(row.place)
        return Told(row.place, Fate.LEFT)

    def successor(self, row: Row, what: Field) -> bytes:
        """Return a field's content under the present key: one Decrypt, one GenerateDataKey."""
        context = row.context(what)
        content = self.envelopes.open(row.sealed[what], context)
        sealed = self.envelopes.sealing_key(context).seal(content)
        with self._turn:
            if what not in self._opened_again:
                self._open_again(sealed, context, content)
                self._opened_again.add(what)
        return sealed

    def _open_again(self, sealed: bytes, context: dict[str, str], content: Secret) -> None:
        try:
            same = self.envelopes.open(sealed, context).reveal() == content.reveal()
        except (StorageUnavailable, UnreadableRecord) as error:
            raise _does_not_open(context["field"], error.detail) from None
        if not same:
            raise _does_not_open(context["field"], "other content")


@dataclass(slots=True)
class _Attempt:
    """What was sealed anew for one row so far, by what it takes the place of."""

    replace: Replace
    place: Place
    made: dict[bytes, bytes] = field(default_factory=dict)

    def on(self, row: Row) -> Told | None:
        """Try once; return None if the row has to be looked at again."""
        others, problem = under_others(row, self.replace.envelopes)
        successors, cannot = self._successors(row, others)
        problem = problem or cannot
        if successors and not self._written(row, successors):
            return None
        if problem:
            return Told(self.place, Fate.UNREADABLE, problem)
        if successors or self._stands(row):
            return Told(self.place, Fate.REPLACED)
        return Told(self.place, Fate.RACED if self.made else Fate.ALREADY)

    def _successors(self, row: Row, others: tuple[Field, ...]) -> tuple[dict[Field, bytes], str]:
        successors, problem = {}, ""
        for what in others:
            before = row.sealed[what]
            try:
                self.made[before] = self.made.get(before) or self.replace.successor(row, what)
            except UnreadableRecord as error:
                problem = f"{what}: {error.detail}"
            else:
                successors[what] = self.made[before]
        return successors, problem

    def _written(self, row: Row, successors: dict[Field, bytes]) -> bool:
        try:
            return self.replace.rows.replace(row, successors)
        except StorageUnavailable:
            return False  # the next look tells

    def _stands(self, row: Row) -> bool:
        """Whether a ciphertext of ours is there: its write was applied, although nobody said so."""
        return not set(self.made.values()).isdisjoint(row.sealed.values())


def under_others(row: Row, envelopes: Envelopes) -> tuple[tuple[Field, ...], str]:
    """Return which fields are under another key than the present one, and what is wrong with the rest."""
    others, problem = [], row.problem
    for what, ciphertext in row.sealed.items():
        try:
            if not envelopes.is_current(ciphertext, what):
                others.append(what)
        except UnreadableRecord as error:
            problem = f"{what}: {error.detail}"
    return tuple(others), problem


def _does_not_open(what: str, detail: str) -> KeyDoesNotOpen:
    sentence = (
        f"What the present key for {what} seals could not be opened again, so nothing was written. Say it again; "
        "if it stays so, let the key's policy allow kms:Decrypt as well as kms:GenerateDataKey."
    )
    return KeyDoesNotOpen(sentence, detail=detail)
