"""The function that replaces keys: one event in, as many pages as time allows, counts and where to go on out."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, Final

from consentry import log
from consentry.errors import ConsentryError, InvalidRequest, OperatorMustAct, TryLater, UnreadableRecord
from consentry.model import Field
from consentry.ports import Clock, Escrow
from consentry.rekey.ports import Envelopes, Flows, Place, Row, Rows
from consentry.rekey.replace import Fate, Look, Replace, Told

PAGE: Final = 100
AT_ONCE: Final = 10
MOST_NAMED: Final = 500  # so that the answer stays below what Lambda lets out
# A call to a key or the table may hang for seven seconds (`adapters`), and the answer must still get out.
STOP_SECONDS: Final = 15
_FIELDS: Final = frozenset({"operation", "dry_run", "next"})
_LONGEST_KEY: Final = 256

type Treat = Callable[[Row], Told]


@dataclass(slots=True)
class _Walked:
    """What came of the rows so far, and after which place to go on; `whole` at the end of the table."""

    after: Place | None
    counts: Counter[Fate] = field(default_factory=Counter)
    unreadable: list[Told] = field(default_factory=list)
    whole: bool = False

    def take(self, told: Told) -> None:
        self.counts[told.fate] += 1
        self.after = told.place
        if told.fate is Fate.UNREADABLE:
            self.unreadable.append(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekey:
    clock: Clock
    rows: Rows
    flows: Flows
    escrow: Escrow
    envelopes: Envelopes
    replace: Replace

    def __call__(self, event: object) -> dict[str, Any]:
        """Replace what other keys sealed, or count it (`dry_run`); `next` in the answer says that there is more.

        Raise `InvalidRequest` for a mistake in the event, `StorageUnavailable` if a key or the table fails in between,
        `TryLater` if there was no time for anything: the same event may be sent again, and does nothing twice.
        """
        dry_run, after = _wish(event)
        walked = self._walked(after, Look(envelopes=self.envelopes) if dry_run else self.replace)
        if not walked.whole and walked.after == after:
            raise TryLater("The table did not answer in time for anything to be done. Send the same event again.")
        _log(walked, dry_run=dry_run)
        return {
            "operation": "replace",
            "dry_run": dry_run,
            "seen": walked.counts.total(),
            **{fate.value: walked.counts[fate] for fate in Fate if fate is not Fate.UNREADABLE},
            "unreadable": [_named(told) for told in walked.unreadable],
            "waiting": self._waiting() if walked.whole else None,
            "next": None if walked.whole else list(walked.after or ()),
        }

    def _walked(self, after: Place | None, treat: Treat) -> _Walked:
        walked = _Walked(after)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not (walked.whole or self._must_stop(walked)):
                page = self.rows.page(walked.after, limit=PAGE)
                for batch in batched(page.rows, AT_ONCE, strict=False):
                    if self._must_stop(walked):
                        return walked
                    for told in pool.map(treat, batch):
                        walked.take(told)
                walked.after, walked.whole = page.end, page.end is None
        return walked

    def _must_stop(self, walked: _Walked) -> bool:
        return self.clock.remaining_seconds() < STOP_SECONDS or len(walked.unreadable) >= MOST_NAMED

    def _waiting(self) -> dict[str, Any]:
        """Say what else may be under another key, in nobody's record: it ends by itself."""
        ends = [flow.ends_at for flow in self.flows.open(self.clock.now()) if any(map(self._is_other, flow.sealed))]
        return {"escrow": not self.escrow.is_empty(), "flows": len(ends), "until": max(ends, default=None)}

    def _is_other(self, ciphertext: bytes) -> bool:
        try:
            return not self.envelopes.is_current(ciphertext, Field.FLOW)
        except UnreadableRecord:
            return False  # whatever key it names, it opens nothing


def answered(event: object, rekey: Callable[[], Rekey]) -> dict[str, Any]:
    """Answer the operator; what was wrong as `{"error": code, "message": sentence}`."""
    try:
        return rekey()(event)
    except ConsentryError as error:
        level: log.Level = "error" if isinstance(error, OperatorMustAct) else "warning"
        log.record("keys not replaced", {"code": error.code, "detail": error.detail}, level=level)
        return {"error": error.code, "message": error.public}


def _wish(event: object) -> tuple[bool, Place | None]:
    if not isinstance(event, Mapping) or event.get("operation") != "replace":
        raise InvalidRequest('operation must be "replace"')
    if unknown := sorted(str(name) for name in set(event) - _FIELDS):
        raise InvalidRequest(f"replace has no field {unknown[0][:60]!r}: it takes {', '.join(sorted(_FIELDS))}")
    dry_run = event.get("dry_run")
    if not isinstance(dry_run, bool):
        raise InvalidRequest("dry_run must be true (only count) or false (write)")
    return dry_run, _place(event.get("next"))


def _place(told: object) -> Place | None:
    if told is None:
        return None
    if isinstance(told, list) and len(told) == 2 and all(map(_is_key, told)):  # noqa: PLR2004 - tenant and connection
        return told[0], told[1]
    raise InvalidRequest("next must be what the answer before gave, or be left out", code="invalid_next")


def _is_key(value: object) -> bool:
    """Whether DynamoDB would take it as part of a key."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY and value.isprintable()


def _named(told: Told) -> dict[str, str]:
    tenant, connection = told.place
    return {"tenant": tenant, "connection": connection, "why": told.why}


def _log(walked: _Walked, *, dry_run: bool) -> None:
    for told in walked.unreadable:
        tenant, connection = told.place
        fields = {"tenant": tenant, "connection": connection, "detail": told.why}
        log.record("record not readable, its key stays", fields, level="error")
    summed = ", ".join(f"{count} {fate}" for fate, count in sorted(walked.counts.items()))
    fields_of_all = {"count": walked.counts.total(), "detail": summed}
    log.record("keys looked at" if dry_run else "keys replaced", fields_of_all)
