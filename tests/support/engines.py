"""The refresh engine from its ports, with what erases a disconnected connection: as `bootstrap` wires it."""

from collections.abc import Mapping
from typing import Any

from consentry.refresh.engine import RefreshConnection
from consentry.refresh.erasing import EraseConnection
from consentry.refresh.withdrawing import WithdrawGrant


def engine_of(ports: Mapping[str, Any]) -> RefreshConnection:
    """Return an engine; `ports` are by the names of its fields and of `EraseConnection`'s."""
    withdraw = _of(WithdrawGrant, ports)
    return _of(RefreshConnection, {**ports, "erase": _of(EraseConnection, {**ports, "withdraw": withdraw})})


def _of[T](kind: type[T], ports: Mapping[str, Any]) -> T:
    fields: Mapping[str, Any] = vars(kind)["__dataclass_fields__"]
    return kind(**{name: ports[name] for name in fields})
