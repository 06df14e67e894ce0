"""Export: connections with their grants, sealed to a recipient before they leave this process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consentry import log
from consentry.errors import InvalidRequest, UnreadableRecord
from consentry.model import Connection, Field, Status
from consentry.ports import Clock, Envelopes
from consentry.tokens import grant_secrets
from consentry.transfer.ports import Grants
from consentry.transfer.row import clear_of, sealed_row
from consentry.transfer.sealing import Recipient

PAGE: Final = 25  # each is one Decrypt
_FIELDS: Final = frozenset({"operation", "recipient", "tenant", "integration", "next"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    clock: Clock
    grants: Grants
    envelopes: Envelopes
    epoch: int

    def __call__(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of sealed rows, and who was left out and why; `next` is None at the end of the table."""
        if unknown := sorted(set(event) - _FIELDS):
            raise InvalidRequest(f"export has no field {unknown[0][:60]!r}: it takes {', '.join(sorted(_FIELDS))}")
        recipient = Recipient.parse(event.get("recipient"))
        page = self.grants.page(_place(event.get("next")), limit=PAGE)
        rows, skipped = [], []
        for record in (each for each in page.records if _is_meant(each, event)):
            try:
                if why := self._unfit(record):
                    skipped.append(_named(record, why))
                else:
                    rows.append(self._sealed(record, recipient))
            except UnreadableRecord:
                skipped.append(_named(record, "unreadable"))
        log.record("connections exported", {"count": len(rows), "detail": f"to {recipient.id}"}, level="warning")
        end = list(page.end) if page.end else None
        return {"operation": "export", "rows": rows, "skipped": skipped, "next": end}

    def _unfit(self, record: Connection) -> str:
        """Say why a grant cannot be taken along: while a request is under way, nobody knows whether it still counts.

        Nor does anybody of an older epoch's, which may have been rotated since the backup.
        """
        if record.status is not Status.ACTIVE:
            return record.status.value
        if record.epoch != self.epoch:
            return "other_epoch"
        if record.in_doubt or record.lease_until > self.clock.now():
            return "refresh_under_way"
        return "" if record.grant else "no_grant"

    def _sealed(self, record: Connection, recipient: Recipient) -> dict[str, Any]:
        opened = self.envelopes.open(record.grant, record.key.encryption_context(Field.GRANT))
        return sealed_row(clear_of(record), grant_secrets(opened), recipient)


def _is_meant(record: Connection, event: Mapping[str, Any]) -> bool:
    wanted = (event.get("tenant"), event.get("integration"))
    return wanted[0] in {None, record.key.tenant} and wanted[1] in {None, record.key.integration}


def _named(record: Connection, why: str) -> dict[str, str]:
    key = record.key
    return {"tenant": key.tenant, "integration": key.integration, "name": key.name, "why": why}


def _place(told: object) -> tuple[str, str] | None:
    if told is None:
        return None
    if isinstance(told, list) and len(told) == 2 and all(isinstance(each, str) and each for each in told):  # noqa: PLR2004 - tenant and connection
        return told[0], told[1]
    raise InvalidRequest("next must be what the answer before gave, or be left out", code="invalid_next")
