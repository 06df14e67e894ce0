"""What a connection may do less than before: noticed when tokens arrive, kept with the record until it is regained."""

from collections.abc import Collection, Mapping
from typing import Final

from consentry import log
from consentry.model import Connection

_ATTRIBUTES: Final = ("lost_scopes", "scopes_reduced_at")


def scope_attributes(
    before: Connection | None, granted: Collection[str], *, now: int, wanted: Collection[str] = ()
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return what the record says from now on about lost scopes, and the names of what it says no longer.

    Lost is what was granted once, and is not now. With `wanted`, only what was asked for counts: what a company no
    longer asks for is not lost. `scopes_reduced_at` is since when exactly these have been missing.
    """
    known = {*before.scopes, *before.lost_scopes} if before else set()
    lost = sorted((known & set(wanted) if wanted else known) - set(granted))
    if not before or not lost:
        # Named only where there is something to end: a function of an older version, while a deployment is under way,
        # takes no commit out of escrow that names what it does not know.
        return {}, _ATTRIBUTES if before and before.lost_scopes else ()
    since = before.scopes_reduced_at if tuple(lost) == before.lost_scopes else now
    return {"lost_scopes": lost, "scopes_reduced_at": since}, ()


def tell_scopes_lost(before: Connection | None, attributes: Mapping[str, object], fields: Mapping[str, object]) -> None:
    """Log and count that scopes were lost, once for each loss."""
    lost = attributes.get("lost_scopes")
    if before and isinstance(lost, list) and tuple(lost) != before.lost_scopes:
        log.record("scopes lost", {**fields, "outcome": "scope_reduced", "scopes": " ".join(lost)}, level="warning")
        log.count("Scopes", outcome="scope_reduced")
