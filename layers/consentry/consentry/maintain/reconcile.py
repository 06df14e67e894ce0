"""Bring records of an older epoch into the current one: what a restored table holds may have been rotated since.

Where refresh tokens do not rotate, nothing was at stake. Where they do, a refresh may have happened after the backup
was made, and nobody can tell: the record is put in doubt, as if a request had been sent and never answered. The engine
then asks as late as it can, and calls a refusal what it is, `ambiguous_rotation`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from consentry import log
from consentry.errors import OperatorMustAct
from consentry.maintain.ports import Doubt, Entry, Inventory
from consentry.model import Connection, Status
from consentry.oauth.provider import RefreshBehaviour, Rotation
from consentry.ports import Catalogue, Clock
from consentry.refresh.policy import in_doubt_due_at


class Fate(StrEnum):
    """What becomes of a record: current without doubt, current in doubt, left as it is, or of no known provider."""

    ADOPTED = "adopted"
    DOUBTFUL = "doubtful"
    SKIPPED = "skipped"
    UNKNOWN_PROVIDER = "unknown_provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    clock: Clock
    inventory: Inventory
    catalogue: Catalogue
    epoch: int
    dry_run: bool

    def __call__(self, entry: Entry) -> str:
        """Treat one record; one that is current, or that moved on since it was read, is left alone."""
        record = entry.record
        if record.epoch >= self.epoch:
            return Fate.SKIPPED
        now = self.clock.now()
        try:
            doubt = doubt_about(record, self.catalogue.provider(record.provider).refresh, now)
        except OperatorMustAct as error:
            if record.status is not Status.DELETING:  # that one has its end whether or not anybody knows its provider
                _log_unknown(record, error)
                return Fate.UNKNOWN_PROVIDER
            doubt = None
        if not self.dry_run and not self.inventory.adopt(record, epoch=self.epoch, now=now, doubt=doubt):
            return Fate.SKIPPED
        return Fate.DOUBTFUL if doubt else Fate.ADOPTED


def doubt_about(record: Connection, behaviour: RefreshBehaviour, now: int) -> Doubt | None:
    """Return the intent to write into a restored record, or None where no rotation can have been missed.

    Asked about as under strict rotation: a grace for reuse has long ended for what was rotated since the backup. A
    record that the schedule does not know stays out of it, and an access token without an end is asked about when it
    was due. A record on its way out is not asked about: the doubt says that revoking its grant may not be all.
    """
    if (
        record.status not in {Status.ACTIVE, Status.DELETING}
        or behaviour.rotation is not Rotation.ROTATES
        or not record.grant
    ):
        return None
    if record.due_at is None or record.status is Status.DELETING:
        return Doubt(now, None)
    due_at = in_doubt_due_at(record, replace(behaviour, reuse_grace_seconds=0), now)
    return Doubt(now, due_at if record.expires_at is not None else max(due_at, record.due_at))


def _log_unknown(record: Connection, error: OperatorMustAct) -> None:
    fields = {"tenant": record.key.tenant, "connection": record.key.sort_key, "provider": record.provider}
    log.record(
        "not reconciled: no such provider", {**fields, "code": error.code, "detail": error.public}, level="error"
    )
