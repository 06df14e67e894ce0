"""Go through the whole table, page by page, and stop in time to say where to go on."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import batched
from typing import Final

from consentry import log
from consentry.errors import TryLater
from consentry.maintain.ports import Entry, Inventory, Place
from consentry.maintain.wish import Wish
from consentry.ports import Clock

PAGE: Final = 200
AT_ONCE: Final = 10
# A call to the table may hang for seven seconds (`bootstrap`), and the answer must still get out.
STOP_SECONDS: Final = 12

type Treat = Callable[[Entry], str]


@dataclass(frozen=True, slots=True)
class Walked:
    """How many entries came to what, and after which place to go on if there may be more."""

    counts: Mapping[str, int]
    after: Place | None


@dataclass(frozen=True, slots=True)
class Walk:
    clock: Clock
    inventory: Inventory

    def __call__(self, wish: Wish, treat: Treat) -> Walked:
        """Treat every entry that the wish covers.

        Raise `TryLater` if there was no time for any, and `StorageUnavailable`; what was done until then stays done.
        """
        counts, after, last = Counter[str](), wish.after, False
        while not last:
            if self._must_stop():
                return _stopped(wish, Walked(counts, after))
            page = self.inventory.page(after, limit=PAGE)
            found, handled = self._treated(page.entries, wish, treat)
            counts += found
            _log_page(wish, found)
            if handled == len(page.entries):
                after, last = page.end, page.end is None
            elif handled:
                after = Place.of(page.entries[handled - 1].record)
        return Walked(counts, None)

    def _treated(self, entries: Sequence[Entry], wish: Wish, treat: Treat) -> tuple[Counter[str], int]:
        found, handled = Counter[str](), 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for batch in batched(entries, AT_ONCE, strict=False):
                if self._must_stop():
                    break
                found.update(pool.map(treat, (each for each in batch if wish.covers(each.record.key))))
                handled += len(batch)
        return found, handled

    def _must_stop(self) -> bool:
        return self.clock.remaining_seconds() < STOP_SECONDS


def _stopped(wish: Wish, walked: Walked) -> Walked:
    if walked.after == wish.after:
        raise TryLater("The table did not answer in time for anything to be done. Send the same event again.")
    return walked


def _log_page(wish: Wish, found: Counter[str]) -> None:
    told = ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
    fields = {"integration": wish.integration, "count": found.total(), "detail": told}
    log.record(f"{wish.operation} counted a page" if wish.dry_run else f"{wish.operation} did a page", fields)
