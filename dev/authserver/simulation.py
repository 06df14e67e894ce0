"""All state of the servers in one object, so that it can be reset at once."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dev.authserver.faults import Faults
from dev.authserver.grants import Grants
from dev.authserver.journal import Journal
from dev.authserver.options import Options
from dev.authserver.parties import Parties
from dev.authserver.systems import System


@dataclass
class Simulation:
    """`base_url` is `http://localhost:<port>`; `initial` are the options that a reset returns to."""

    base_url: str
    initial: Options = field(default_factory=Options)
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    options: Options = field(init=False)
    parties: Parties = field(init=False)
    grants: Grants = field(init=False)
    journal: Journal = field(init=False)
    faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: clients, customers, grants, log, faults, and changed options."""
        self.options = self.initial
        self.parties = Parties()
        self.grants = Grants(self.clock, lambda: self.options)
        self.journal = Journal(self.clock)
        self.faults = Faults()

    def change_options(self, wishes: Mapping[str, object]) -> None:
        self.options = self.options.changed(wishes)

    def issuer(self, system: System) -> str | None:
        """The `iss` to send back with an authorization response (RFC 9207), if any."""
        mode = self.options.iss
        if mode == "omit" or (mode is None and not system.sends_issuer):
            return None
        return f"{self.base_url}/{system.host}" if mode in {None, "send"} else mode

    def stats(self) -> dict[str, object]:
        tally = self.grants.tally
        return {
            **self.journal.stats(),
            "reused_refresh_tokens": tally.reused_refresh_tokens,
            "replayed_refresh_tokens": tally.replayed_refresh_tokens,
            "families_revoked": tally.families_revoked,
            "live_grants": self.grants.live_count(),
            "faults_left": self.faults.left(),
        }
