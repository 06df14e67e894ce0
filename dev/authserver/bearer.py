"""What every simulated API does before it answers: faults first, then the Bearer token (RFC 6750)."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Request, Response, request

from dev.authserver.grants import AccessToken
from dev.authserver.misbehaviour import play
from dev.authserver.simulation import Simulation
from dev.authserver.systems import System


@dataclass(frozen=True, slots=True)
class NoEntry:
    """Why a call is answered 401: no token, or one that ended (`seconds_ago`; 0 if it was never ours)."""

    missing: bool
    seconds_ago: int = 0


type Refusal = Callable[[NoEntry], Response]


class BearerApi:
    """Wraps views of one system, which then receive the access token as first argument."""

    def __init__(self, simulation: Simulation, system: System, refuse: Refusal) -> None:
        self._simulation = simulation
        self._system = system
        self._refuse = refuse

    def guarded(self, view: Callable[..., Response]) -> Callable[..., Response]:
        def answered(**path_values: object) -> Response:
            entry = self._entry(request)
            return self._refuse(entry) if isinstance(entry, NoEntry) else view(entry, **path_values)

        return lambda **path_values: self.exposed(lambda: answered(**path_values))

    def exposed(self, work: Callable[[], Response]) -> Response:
        """Answer with `work` unless a fault of the endpoint `api` is due."""
        fault = self._simulation.faults.take("api", self._system.id)
        return play(fault, work, self._simulation.sleep)

    def _entry(self, incoming: Request) -> AccessToken | NoEntry:
        scheme, _, value = incoming.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            return NoEntry(missing=True)
        token = self._simulation.grants.access(self._system.id, value)
        if token is None:
            return NoEntry(missing=False)
        ago = self._simulation.clock() - token.expires_at
        return token if ago < 0 else NoEntry(missing=False, seconds_ago=int(ago))
