"""What a table's stream says of one change, as far as others may be told of it: nothing here was ever encrypted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consentry.model import Connection
from consentry.refresh.health import Health

EVENT_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A connection on one side of a change. `record` has no ciphertext; `revoked` is written before it is erased."""

    record: Connection
    lost_scopes: tuple[str, ...] = ()
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Which change it was. `id` and `sequence` are the stream's own, `at` is in epoch seconds."""

    id: str
    sequence: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionChange:
    """`seen` is the newest that is known: of one that is `gone`, what stood last. `before` is None if it is new."""

    moment: Moment
    before: Seen | None
    seen: Seen
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """How an integration was doing before, and how since."""

    moment: Moment
    before: Health
    after: Health


type Change = ConnectionChange | HealthChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What the bus is told. `kind` is EventBridge's `detail-type`; `detail` is JSON by docs/events.md."""

    kind: str
    at: int
    detail: Mapping[str, object] = field(default_factory=dict)
