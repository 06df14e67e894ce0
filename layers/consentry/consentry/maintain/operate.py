"""The operator's function: one event in, one operation, what came of it out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from consentry import log
from consentry.errors import Conflict, ConsentryError, OperatorMustAct
from consentry.maintain import reconcile, retry
from consentry.maintain.ports import Inventory
from consentry.maintain.reconcile import Reconcile
from consentry.maintain.retry import Retry
from consentry.maintain.walk import Treat, Walk
from consentry.maintain.wish import Operation, Wish, wish_of
from consentry.ports import Catalogue, Clock, Escrow
from consentry.refresh.health import IntegrationHealth, is_held

_HOUR: Final = 3600
_TOLD: Final = {
    Operation.RECONCILE: (
        reconcile.Fate.ADOPTED,
        reconcile.Fate.DOUBTFUL,
        reconcile.Fate.SKIPPED,
        reconcile.Fate.UNKNOWN_PROVIDER,
    ),
    Operation.RETRY: (retry.Fate.RETRIED, retry.Fate.SKIPPED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintain:
    clock: Clock
    inventory: Inventory
    catalogue: Catalogue
    escrow: Escrow
    health: IntegrationHealth
    epoch: int

    def __call__(self, event: object) -> dict[str, Any]:
        """Do what the event asks for, as far as the time allows; `next` in the answer says that there is more.

        Raise `InvalidRequest` for a mistake in the event, `Conflict` while new tokens wait in escrow: then nothing was
        written. Raise `StorageUnavailable` if the table fails in between: the same event may then be sent again.
        """
        wish = wish_of(event, self.clock.now())
        if wish.operation is Operation.RELEASE:
            return self._release(wish)
        walked = Walk(self.clock, self.inventory)(wish, self._treatment(wish))
        told = {fate.value: walked.counts.get(fate, 0) for fate in _TOLD[wish.operation]}
        seen = sum(walked.counts.values())
        return {"operation": wish.operation.value, "seen": seen, **told, "next": wish.next_token(walked.after)}

    def _release(self, wish: Wish) -> dict[str, Any]:
        """Let refusals be believed for some hours, whether or not a hold has begun."""
        now = self.clock.now()
        known = self.health.read(wish.integration)
        until = max(known.released_until, now + wish.hours * _HOUR)
        self.health.release(wish.integration, until=until)
        log.record(
            "hold released by the operator", {"integration": wish.integration, "count": known.gone}, level="warning"
        )
        held = is_held(known, now)
        return {
            "operation": wish.operation.value,
            "integration": wish.integration,
            "held": held,
            "released_until": until,
        }

    def _treatment(self, wish: Wish) -> Treat:
        if wish.operation is Operation.RETRY:
            return Retry(clock=self.clock, inventory=self.inventory, epoch=self.epoch, wish=wish)
        if not wish.dry_run and not self.escrow.is_empty():
            raise Conflict(
                "New tokens wait in escrow, and could not be written once their record is of another epoch. Wait until "
                "the escrow queue is empty, then send the same event again.",
                code="escrow_not_empty",
            )
        return Reconcile(
            clock=self.clock,
            inventory=self.inventory,
            catalogue=self.catalogue,
            epoch=self.epoch,
            dry_run=wish.dry_run,
        )


def answered(event: object, maintain: Callable[[], Maintain]) -> dict[str, Any]:
    """Answer the operator: with counts, or with what was wrong as `{"error": code, "message": sentence}`."""
    try:
        return maintain()(event)
    except ConsentryError as error:
        level: log.Level = "error" if isinstance(error, OperatorMustAct) else "warning"
        log.record("maintenance refused", {"code": error.code, "detail": error.detail}, level=level)
        return {"error": error.code, "message": error.public}
