"""What thirty virtual days are made of: who is connected, what goes wrong and when."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from consentry.oauth.provider import Provider, RefreshBehaviour, Rotation
from tests.support.catalogue import CRM, METRICS

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR
CAP: Final = 60
_FEWEST_DAYS: Final = 1


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds since the beginning."""

    start: float
    end: float

    def holds(self, at: float) -> bool:
        return self.start <= at < self.end

    def meets(self, since: float, until: float) -> bool:
        return since < self.end and until >= self.start

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One integration: its provider, its share of all connections, and how long its access tokens live (None: ever)."""

    provider: Provider
    weight: int
    lifetimes: tuple[int | None, ...]

    @property
    def id(self) -> str:
        return self.provider.id


def _rotating(name: str, grace: int = 0, *, cap: int | None = None, idle: int | None = None) -> Provider:
    behaviour = RefreshBehaviour(
        rotation=Rotation.ROTATES, reuse_grace_seconds=grace, requests_per_minute=cap, idle_lifetime_seconds=idle
    )
    return replace(CRM, id=name, refresh=behaviour)


def _constant(name: str, *, idle: int | None = None) -> Provider:
    token = replace(CRM.token, expires_in_default_seconds=None)
    return replace(
        CRM, id=name, token=token, refresh=RefreshBehaviour(rotation=Rotation.NONE, idle_lifetime_seconds=idle)
    )


DOWN: Final = "strict"
MISTAKEN: Final = "quick"
CAPPED: Final = "capped"
LONG: Final = (6 * HOUR, 12 * HOUR, 24 * HOUR)
SERVICES: Final = (
    Service(provider=_rotating(DOWN), weight=500, lifetimes=LONG),
    Service(provider=_rotating("grace", 600), weight=450, lifetimes=LONG),
    Service(provider=_constant("none"), weight=280, lifetimes=LONG),
    Service(provider=replace(METRICS, id="remint"), weight=200, lifetimes=(6 * HOUR, 12 * HOUR)),
    Service(provider=_rotating(CAPPED, 600, cap=CAP), weight=400, lifetimes=(6 * HOUR, 12 * HOUR)),
    # A third of them must renew within the mistaken hour, or nobody would notice the mistake.
    Service(provider=_rotating(MISTAKEN), weight=150, lifetimes=(30 * MINUTE, 12 * HOUR, 24 * HOUR)),
    Service(provider=_constant("forever", idle=60 * DAY), weight=10, lifetimes=(None,)),
    Service(provider=_constant("forgetful", idle=14 * DAY), weight=10, lifetimes=(None,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The full size is the default. Times of day are shares of the whole span."""

    connections: int = 2000
    days: float = 30
    seed: int = 1
    outage: float = DAY
    silence: float = 6 * HOUR
    mistake: float = HOUR
    storage: float = DAY
    revocations_a_day: float = 4
    looks_a_day: float = 4
    storage_errors: float = 0.01
    services: Sequence[Service] = field(default=SERVICES, repr=False)

    @property
    def span(self) -> float:
        return self.days * DAY

    def _window(self, share: float, seconds: float) -> Window:
        return Window(self.span * share, self.span * share + seconds)

    @property
    def mistaken_hour(self) -> Window:
        """Everybody is refused by `MISTAKEN`."""
        return self._window(0.15, self.mistake)

    @property
    def storage_trouble(self) -> Window:
        """DynamoDB fails now and then."""
        return self._window(0.3, self.storage)

    @property
    def provider_outage(self) -> Window:
        """`DOWN` answers 503 for the first half, and not at all for the second."""
        return self._window(0.45, self.outage)

    @property
    def dispatcher_outage(self) -> Window:
        return self._window(0.7, self.silence)

    @property
    def people(self) -> Window:
        """When customers revoke."""
        return Window(0.03 * self.span, 0.93 * self.span)

    def wrong(self) -> str:
        """Return what to correct, or nothing."""
        if self.days < _FEWEST_DAYS:
            return f"--days must be at least {_FEWEST_DAYS}: tokens live for up to a day"
        if self.connections < len(self.services):
            return f"--connections must be at least {len(self.services)}, one for each integration"
        windows = (self.mistaken_hour, self.storage_trouble, self.provider_outage, self.dispatcher_outage)
        ends = [each.end for each in windows]
        if any(end > following.start for end, following in zip(ends, windows[1:], strict=False)):
            return "--days is too short: what goes wrong must not overlap"
        return "" if ends[-1] < 0.9 * self.span else "--days is too short: the last outage needs a calm end"

    def placed(self) -> list[Service]:
        """Return the service of each connection."""
        whole = sum(each.weight for each in self.services)
        counts = [max(1, self.connections * each.weight // whole) for each in self.services]
        counts[0] += self.connections - sum(counts)
        return [service for service, count in zip(self.services, counts, strict=True) for _ in range(count)]


def short(days: float, **other: object) -> Plan:
    """Return a plan of few days: everything that goes wrong lasts a tenth of the whole, or less."""
    plan = Plan(days=days, outage=0.12 * days * DAY, silence=0.05 * days * DAY, storage=0.1 * days * DAY)
    return replace(plan, mistake=min(HOUR, 0.05 * days * DAY), **other)  # type: ignore[arg-type]  # its own fields
