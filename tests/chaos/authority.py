"""Authorization servers in this very process: faults by seed, a journal that forgets nothing, and who sent what."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from flask import request

from dev.authserver.faults import Fault, Faults
from dev.authserver.journal import Entry, Journal, fingerprint
from dev.authserver.options import Options
from dev.authserver.parties import Client
from dev.authserver.server import listen
from dev.authserver.simulation import Simulation
from dev.authserver.strict import Parameters
from dev.authserver.systems import GENERIC
from tests.chaos.evidence import GrantNow, Presented
from tests.chaos.senders import Senders

# What goes wrong, and how often compared with the others.
KINDS: Final[tuple[tuple[int, dict[str, object]], ...]] = (
    (3, {"kind": "status", "status": 503}),
    (2, {"kind": "status", "status": 500, "when": "after"}),
    (2, {"kind": "drop_before"}),
    (2, {"kind": "drop_after"}),
    (1, {"kind": "drop_midway"}),
    (3, {"kind": "delay", "seconds": 2}),
    (1, {"kind": "delay_after", "seconds": 2}),
    (1, {"kind": "html", "status": 200}),
    (1, {"kind": "empty", "when": "after"}),
    (1, {"kind": "truncated"}),
    (3, {"kind": "status", "status": 429, "headers": {"Retry-After": "3"}}),
)

SLOWLY: Final[dict[str, object]] = {"kind": "delay_after", "seconds": 3}


class SeededFaults(Faults):
    """A share of the refreshes meets a fault: `rate`, none at first. While `slow`, every other one takes its time."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.rate = 0.0
        self.slow = False
        self._chance = chance
        self._drawing = threading.Lock()

    def take(self, endpoint: str, system: str, grant_type: str = "") -> Fault | None:
        if grant_type != "refresh_token":
            return super().take(endpoint, system, grant_type)
        with self._drawing:
            struck = self._chance.random() < self.rate
            weights, orders = zip(*KINDS, strict=True)
            order = self._chance.choices(orders, weights)[0]
        if not struck and not self.slow:
            return None
        return Fault.parse({"endpoint": "token", **(order if struck else SLOWLY)})


class FullJournal(Journal):
    """Every refresh ever seen, with the process that sent it."""

    def __init__(self, clock: Callable[[], float], senders: Senders) -> None:
        super().__init__(clock)
        self._senders = senders
        self.refreshes: list[tuple[Entry, int]] = []
        self.rotations = 0

    @contextmanager
    def request(self, system: str, parameters: Parameters, grant_id: str) -> Iterator[Entry]:
        with super().request(system, parameters, grant_id) as entry:
            if entry.refresh_token_id:
                self.refreshes.append((entry, self._sender()))
            yield entry
            self.rotations += bool(entry.refresh_token_id) and entry.outcome == "issued"

    def _sender(self) -> int:
        return self._senders.of(int(request.environ["REMOTE_PORT"]), int(request.environ["SERVER_PORT"]))


@dataclass(slots=True)
class Authority:
    """One server; `kind` names it."""

    kind: str
    simulation: Simulation
    faults: SeededFaults
    journal: FullJournal
    revoked: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return self.simulation.base_url

    def add_client(self, client_id: str, secret: str, redirect_uri: str) -> None:
        self.simulation.parties.put_client(
            Client(system=GENERIC.id, client_id=client_id, client_secret=secret, redirect_uris=(redirect_uri,))
        )

    def honours(self, access_token: str) -> bool:
        token = self.simulation.grants.access(GENERIC.id, access_token)
        return token is not None and token.expires_at > self.simulation.clock()

    def grant_of_access_token(self, access_token: str) -> str:
        token = self.simulation.grants.access(GENERIC.id, access_token)
        return token.grant.id if token and token.grant else ""

    def grant_of(self, refresh_token: str) -> GrantNow | None:
        token = self.simulation.grants._refresh_tokens.get(refresh_token)
        if token is None:
            return None
        return GrantNow(id=token.grant.id, live=token.grant.live, current=token.successor is None)

    def revoke(self, refresh_token: str) -> None:
        """What a customer does who removes the application from their account."""
        token = self.simulation.grants._refresh_tokens[refresh_token]
        self.revoked.add(token.grant.id)
        self.simulation.grants.revoke([token.grant], access_tokens_too=True)

    def presented(self) -> list[Presented]:
        return [
            Presented(
                at=entry.at,
                server=self.kind,
                grant=entry.grant_id,
                token=entry.refresh_token_id,
                outcome=entry.outcome,
                fault=entry.fault,
                together=entry.in_flight_max_for_grant,
                pid=pid,
            )
            for entry, pid in tuple(self.journal.refreshes)
        ]


def token_id(refresh_token: str) -> str:
    """The name by which the journal knows a refresh token."""
    return fingerprint(refresh_token)


@contextmanager
def serving(kind: str, options: Options, *, chance: random.Random, senders: Senders) -> Iterator[Authority]:
    """Run a server on a free port for the length of a `with` block."""
    server, simulation = listen(0, options)
    faults, journal = SeededFaults(chance), FullJournal(simulation.clock, senders)
    simulation.faults, simulation.journal = faults, journal
    thread = threading.Thread(target=server.serve_forever, name=f"authority-{kind}", daemon=True)
    thread.start()
    try:
        yield Authority(kind, simulation, faults, journal)
    finally:
        with suppress(OSError):
            server.shutdown()
            server.server_close()
