"""The authorization server of one scenario, and what it saw: the only witness that the kit believes."""

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, cast

from dev.authserver.faults import DROPS, Fault
from dev.authserver.journal import Entry
from dev.authserver.options import Options
from dev.authserver.parties import Client
from dev.authserver.server import listen
from dev.authserver.systems import GENERIC
from torture.application import OWN_REDIRECT_URI, SCOPES, Application, Grant

EVERY_REQUEST: Final = 100_000
RENEWED_LIFE_SECONDS: Final = 600
SPARE_SECONDS: Final = 60  # stores may stop serving a token this long before its end
LOOK_SECONDS: Final = 0.05


class Authority:
    """Strict rotation with family revocation, served on loopback for the length of a `with` block."""

    def __init__(self, scenario: str, *, grace_seconds: int) -> None:
        options = Options(rotation="rotates", grace=grace_seconds, auto_consent="allow")
        self._server, self.simulation = listen(0, options)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"authority-{scenario}", daemon=True
        )
        self.application = Application(
            id=scenario,
            server_url=self.simulation.base_url,
            client_id=f"client-{scenario}",
            client_secret=secrets.token_urlsafe(24),
            reuse_grace_seconds=grace_seconds,
        )
        self.simulation.parties.put_client(
            Client(
                system=GENERIC.id,
                client_id=self.application.client_id,
                client_secret=self.application.client_secret,
                redirect_uris=(OWN_REDIRECT_URI,),
                scopes=SCOPES,
            )
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def grant(self, connection: str) -> Grant:
        return Grant(connection=connection, application=self.application)

    def now(self) -> float:
        return self.simulation.clock()

    def issue_for(self, seconds: float) -> None:
        """Let access tokens that are issued from now on live for `seconds`."""
        self.simulation.change_options({"access_ttl": seconds})

    def misbehave(self, kind: str, *, count: int = EVERY_REQUEST, **more: object) -> None:
        """Do `kind` (`dev.authserver.faults`) to the next `count` refresh requests."""
        order = {"endpoint": "token", "grant_type": "refresh_token", "kind": kind, "count": count, **more}
        self.simulation.faults.add(Fault.parse(order))

    def behave(self) -> None:
        self.simulation.faults.clear()

    def entries(self) -> Sequence[Entry]:
        return [Entry(**cast("dict[str, Any]", entry)) for entry in self.simulation.journal.log()]

    def latest_grant(self) -> str:
        """The id of the grant that was issued last, or nothing."""
        issued = [each for each in self.entries() if each.grant_type == "authorization_code"]
        return next((each.grant_id for each in reversed(issued) if each.outcome == "issued"), "")

    def wait_for(self, fault: str, times: int, *, seconds: float) -> bool:
        """Wait until `fault` was done to `times` refresh requests that the server acted on; whether it was."""
        deadline = time.monotonic() + seconds
        while sum(each.fault == fault and each.outcome == "issued" for each in self.entries()) < times:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def wait_until_quiet(self, *, seconds: float) -> None:
        """Wait until no request is being answered any more."""
        deadline = time.monotonic() + seconds
        while any(_unanswered(each) for each in self.entries()) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)


def _unanswered(entry: Entry) -> bool:
    return entry.outcome == "in_flight" or (entry.status == 0 and entry.fault not in DROPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What the server knows about one grant."""

    authority: Authority
    grant_id: str

    def refreshes(self) -> Sequence[Entry]:
        mine = (each for each in self.authority.entries() if each.grant_id == self.grant_id)
        return [each for each in mine if each.grant_type == "refresh_token"]

    def alive(self) -> bool:
        grants = self.authority.simulation.grants.matching(GENERIC.id, None, None)
        return any(grant.id == self.grant_id and grant.live for grant in grants)

    def honours(self, token: str, at: float) -> bool:
        """Whether the token was this grant's own, and had not ended, at that time."""
        found = self.authority.simulation.grants.access(GENERIC.id, token)
        return bool(found and found.grant and found.grant.id == self.grant_id and found.expires_at > at)

    def has_given(self, at: float, *, lost: str | None, answer_seconds: float) -> bool:
        """Whether a refresh had brought a token, at least a second before `at`, that was then far from its end.

        Answers to requests with the fault `lost` never arrived; those with any other took `answer_seconds`.
        """
        if not self.alive():
            return False
        brought = (each for each in self.refreshes() if each.outcome == "issued" and each.fault != lost)
        return any(
            each.at + 1 + (answer_seconds if each.fault else 0) <= at < each.at + RENEWED_LIFE_SECONDS - SPARE_SECONDS
            for each in brought
        )
