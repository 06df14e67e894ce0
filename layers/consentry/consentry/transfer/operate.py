"""The function that moves connections: one event in, sealed rows or fates of rows out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from consentry import log
from consentry.errors import ConsentryError, InvalidRequest, OperatorMustAct
from consentry.transfer.arrive import Import
from consentry.transfer.leave import Export


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    leave: Export
    arrive: Import

    def __call__(self, event: object) -> dict[str, Any]:
        """Raise `InvalidRequest` for a mistake in the event, `StorageUnavailable` if it may be sent again."""
        if isinstance(event, Mapping) and event.get("operation") == "export":
            return self.leave(event)
        if isinstance(event, Mapping) and event.get("operation") == "import":
            return self.arrive(event)
        raise InvalidRequest('operation must be "export" or "import"')


def answered(event: object, transfer: Callable[[], Transfer]) -> dict[str, Any]:
    """Answer the operator; what was wrong as `{"error": code, "message": sentence}`."""
    try:
        return transfer()(event)
    except ConsentryError as error:
        level: log.Level = "error" if isinstance(error, OperatorMustAct) else "warning"
        log.record("transfer refused", {"code": error.code, "detail": error.detail}, level=level)
        return {"error": error.code, "message": error.public}
