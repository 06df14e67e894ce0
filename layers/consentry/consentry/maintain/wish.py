"""What an operator asks for: an event of the function `maintain`, checked field by field."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from consentry.errors import InvalidRequest
from consentry.maintain.ports import Place
from consentry.model import Cause, ConnectionKey, identifier


class Operation(StrEnum):
    RECONCILE = "reconcile"
    RETRY = "retry"
    RELEASE = "release"


_FIELDS: Final = {
    Operation.RECONCILE: ("operation", "dry_run", "integration", "next"),
    Operation.RETRY: ("operation", "dry_run", "integration", "cause", "since", "next"),
    Operation.RELEASE: ("operation", "integration", "hours"),
}
_MOST_HOURS: Final = 168
_LONGEST_KEY: Final = 256
# Only these follow from what a provider answered to a grant that is still on record.
RETRYABLE: Final = (Cause.GRANT_REVOKED, Cause.AMBIGUOUS_ROTATION, Cause.CREDENTIAL_REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One operation, from the connection `after` on. An empty integration means all; `hours` is for a release alone."""

    operation: Operation
    dry_run: bool
    integration: str = ""
    cause: str = ""
    since: int = 0
    hours: int = 0
    after: Place | None = None

    def covers(self, key: ConnectionKey) -> bool:
        return self.integration in {"", key.integration}

    def next_token(self, after: Place | None) -> str | None:
        """Return what goes on from here when it comes back as `next`; it is bound to this very request."""
        if after is None:
            return None
        told = json.dumps([*self._fixed(), after.tenant, after.connection])
        return base64.urlsafe_b64encode(told.encode()).decode()

    def continued(self, token: object) -> "Wish":
        """Return this request from where `token` says; raise `InvalidRequest` unless it was made for it."""
        told = _told(token)
        if len(told) != len(self._fixed()) + 2:
            raise _bad_next()
        if told[:-2] != self._fixed():
            message = "next was given for another request: repeat that one with nothing changed, or leave next out"
            raise InvalidRequest(message, code="invalid_next")
        tenant, connection = told[-2:]
        if not (_is_key(tenant) and _is_key(connection)):
            raise _bad_next()
        return replace(self, after=Place(str(tenant), str(connection)))

    def _fixed(self) -> list[object]:
        return [self.operation.value, self.dry_run, self.integration, self.cause, self.since]


def wish_of(event: object, now: int) -> Wish:
    """Return what the event asks for. Raise `InvalidRequest`, with one sentence, for any mistake in it."""
    if not isinstance(event, Mapping):
        raise InvalidRequest("the event must be a JSON object with the fields operation and dry_run")
    operation = _operation(event)
    unknown = sorted(str(name) for name in event if name not in _FIELDS[operation])
    if unknown:
        known = ", ".join(_FIELDS[operation])
        raise InvalidRequest(f"{operation} has no field {unknown[0][:60]!r}: it takes {known}")
    integration = _integration(event, operation)
    if operation is Operation.RELEASE:
        return Wish(operation=operation, dry_run=False, integration=integration, hours=_hours(event))
    wish = Wish(operation=operation, dry_run=_dry_run(event), integration=integration)
    if operation is Operation.RETRY:
        wish = replace(wish, cause=_cause(event), since=_since(event, now))
    token = event.get("next")
    return wish if token is None else wish.continued(token)


def _operation(event: Mapping[str, object]) -> Operation:
    wanted = event.get("operation")
    for operation in Operation:
        if wanted == operation.value:
            return operation
    raise InvalidRequest('operation must be "reconcile", "retry" or "release"')


def _dry_run(event: Mapping[str, object]) -> bool:
    wanted = event.get("dry_run")
    if isinstance(wanted, bool):
        return wanted
    raise InvalidRequest("dry_run must be true (only count) or false (write)")


def _integration(event: Mapping[str, object], operation: Operation) -> str:
    wanted = event.get("integration")
    if wanted is None and operation is Operation.RECONCILE:
        return ""
    return identifier(wanted, "integration")


def _cause(event: Mapping[str, object]) -> str:
    wanted = event.get("cause")
    for cause in RETRYABLE:
        if wanted == cause.value:
            return cause.value
    raise InvalidRequest(f"cause must be one of {', '.join(RETRYABLE)}")


def _since(event: Mapping[str, object], now: int) -> int:
    wanted = event.get("since")
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 < wanted <= now:
        return wanted
    raise InvalidRequest(f"since must be a time in the past as whole seconds since 1970, such as {now - 3600}")


def _hours(event: Mapping[str, object]) -> int:
    wanted = event.get("hours")
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 1 <= wanted <= _MOST_HOURS:
        return wanted
    raise InvalidRequest(f"hours must be a whole number from 1 to {_MOST_HOURS}")


def _told(token: object) -> list[object]:
    try:
        told = json.loads(base64.b64decode(token, altchars=b"-_", validate=True)) if isinstance(token, str) else None
    except (binascii.Error, ValueError, RecursionError):
        told = None
    return told if isinstance(told, list) else []


def _is_key(value: object) -> bool:
    """Whether DynamoDB would take it as part of a key."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY and value.isprintable()


def _bad_next() -> InvalidRequest:
    return InvalidRequest("next must be what the answer before gave, unchanged, or be left out", code="invalid_next")
