"""What a run is to do, and the speeds that follow from it. Times are in seconds."""

import random
from dataclasses import dataclass
from typing import Final

from dev.outages import MODES, SERVICES

PROVIDERS: Final = {"strict": 4, "grace": 1}  # of five connections, so many are of this kind
INTEGRATIONS_EACH: Final = 4  # several, so that unavoidable losses do not look like one provider refusing everybody
GRACE_SECONDS: Final = 600
# The longest way back to a fresh token: a message that its killed worker hid, then the longest pause after failures,
# and then an unanswered request that nobody may follow before it has settled.
HIDDEN_SECONDS: Final = 270
PAUSE_SECONDS: Final = 900
SETTLED_SECONDS: Final = 96
_SHORTEST_TTL: Final = 15
_LONGEST_TTL: Final = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`faults` is a share of token requests, `pace` how many rotations a second the machine is trusted with."""

    connections: int = 500
    rotations: int = 20_000
    faults: float = 0.01
    kills: int = 0
    outages: bool = False
    outage_seconds: float = 60.0
    services: tuple[str, ...] = SERVICES
    revocations: int = 0
    readers: int = 4
    seed: int = 0
    minutes: float = 120.0
    pace: float = 8.0
    calm_seconds: float | None = None

    @property
    def ttl(self) -> int:
        """A token that lives less than 210 s is refreshed after about a third of its life."""
        return int(min(_LONGEST_TTL, max(_SHORTEST_TTL, 3 * self.connections / self.pace)))

    @property
    def tick(self) -> float:
        return 1.0 if self.ttl < 60 else 2.0

    @property
    def expected_seconds(self) -> float:
        return max(10.0, self.rotations / self.pace)

    @property
    def time_to_settle(self) -> float:
        """After so many seconds without trouble, whatever is not fresh must be flagged."""
        return HIDDEN_SECONDS + PAUSE_SECONDS + SETTLED_SECONDS + self.ttl

    @property
    def patience(self) -> float:
        return self.time_to_settle if self.calm_seconds is None else self.calm_seconds

    @property
    def must_settle(self) -> bool:
        return self.patience >= self.time_to_settle

    def chance(self, what: str) -> random.Random:
        """A stream of chance of its own for each source of trouble, so that they do not disturb each other."""
        return random.Random(f"{self.seed}/{what}")  # noqa: S311 - chance, not secrets

    def kill_times(self) -> list[float]:
        chance = self.chance("kills")
        return sorted(chance.uniform(0.0, 0.95) * self.expected_seconds for _ in range(self.kills))

    def outage_times(self) -> list[tuple[float, str, str]]:
        """Begin, service and mode of each outage: one after another, never two at once."""
        chance = self.chance("outages")
        if not self.outages:
            return []
        services = chance.sample(self.services, len(self.services))
        apart = self.expected_seconds / len(services)
        return [(apart * (n + 0.2), service, chance.choice(MODES)) for n, service in enumerate(services)]

    def revocation_times(self) -> list[float]:
        chance = self.chance("revocations")
        return sorted(chance.uniform(0.1, 0.9) * self.expected_seconds for _ in range(self.revocations))
