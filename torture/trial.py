"""One scenario, a store, and the grants that go through it."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched
from typing import Final

from dev.authserver.journal import Entry
from torture.authority import RENEWED_LIFE_SECONDS, Authority, Witness
from torture.provocations import ENDS_AFTER_SECONDS
from torture.scenarios import Life, Scenario
from torture.store import Refused, Store

SHORT_LIFE_SECONDS: Final = 50
LONG_LIFE_SECONDS: Final = 600
EARLY_MARGIN_SECONDS: Final = 2


class StoreTrouble(Exception):
    """The store cannot be tortured; the sentence says what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many grants each scenario tries, and its times in seconds."""

    connections: int = 10
    slow_seconds: float = 12
    outage_seconds: float = 8
    retry_after_seconds: int = 5
    between_renewals_seconds: float = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One read. `in_vain`: refused, or served dead, although the store had been given a token that still worked."""

    served: bool
    dead: bool
    cause: str
    reconnect: bool
    in_vain: bool


@dataclass(slots=True, kw_only=True)
class Connection:
    """One grant in the store. `first_token` is what its consumer held when the trouble began."""

    name: str
    witness: Witness
    first_token: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    readings: list[Reading] = field(default_factory=list)
    renewed: bool = False
    proven: bool = False
    cause: str = ""
    began_at: float = 0

    def refreshes(self) -> Sequence[Entry]:
        """The refresh requests that the server saw for this grant since the trouble began."""
        return [each for each in self.witness.refreshes() if each.at >= self.began_at]

    @property
    def decided(self) -> bool:
        """Whether the store has a new token, or says that there will be none."""
        return self.renewed or bool(self.cause)


@dataclass(slots=True, kw_only=True)
class Trial:
    scenario: Scenario
    authority: Authority
    store: Store
    pace: Pace
    connections: list[Connection] = field(default_factory=list)
    answer_seconds: float = 0
    retry_after_seconds: int = 0

    def connect(self) -> None:
        """Take every grant into the store, and read it once; return when the trouble may begin."""
        scenario = self.scenario
        self.authority.issue_for(self._life_seconds())
        for number in range(self.pace.connections):
            connection = self._connected(f"{scenario.id}-{number}")
            self.connections.append(connection)
            if scenario.life is not Life.ENDED:
                self._first_read(connection)
        for connection in self.connections:
            connection.began_at = self.authority.now()
        self.authority.issue_for(RENEWED_LIFE_SECONDS)
        if self.store.early_seconds and scenario.life is not Life.ENDED:
            time.sleep(EARLY_MARGIN_SECONDS + 0.5)  # every token is due now, by the store's own rule

    def _life_seconds(self) -> float:
        early = self.store.early_seconds
        if self.scenario.life is Life.ENDED:
            return ENDS_AFTER_SECONDS
        if early:
            return early + EARLY_MARGIN_SECONDS
        return LONG_LIFE_SECONDS if self.scenario.life is Life.LONG else SHORT_LIFE_SECONDS

    def _connected(self, name: str) -> Connection:
        before = self.authority.latest_grant()
        try:
            self.store.connect(self.authority.grant(name))
        except Refused as refused:
            raise StoreTrouble(f"{self.store.name} did not take the grant {name}: {refused.cause}") from None
        grant_id = self.authority.latest_grant()
        if grant_id == before:
            raise StoreTrouble(
                f"{self.store.name} asked for no tokens when it was given {name}; use grant.tokens(), or let the store"
                " send a browser to the authorization server"
            )
        return Connection(name=name, witness=Witness(authority=self.authority, grant_id=grant_id))

    def _first_read(self, connection: Connection) -> None:
        reading = self.read(connection, 0)
        if not reading.served or reading.dead:
            raise StoreTrouble(
                f"{self.store.name} was given {connection.name} and serves no token that works"
                f" ({reading.cause or 'the authorization server does not honour it'}), before anything went wrong"
            )
        connection.first_token = connection.token
        connection.readings.clear()

    def read(self, connection: Connection, replica: int) -> Reading:
        """Read as a consumer would, and let the authorization server say what the token is worth."""
        witness, started = connection.witness, self.authority.now()
        lost = self.scenario.fault if self.scenario.loses_answer else None
        held = self._first_token_works(connection, started) or witness.has_given(
            started, lost=lost, answer_seconds=self.answer_seconds
        )
        token, refused = _answer(lambda: self.store.read(connection.name, replica))
        dead = token is not None and not witness.honours(token, started)
        reading = Reading(
            served=token is not None,
            dead=dead,
            cause=refused.cause if refused else "",
            reconnect=bool(refused and refused.reconnect),
            in_vain=held and (dead or token is None),
        )
        connection.readings.append(reading)
        if token is not None and not dead:
            connection.token = token
        return reading

    def _first_token_works(self, connection: Connection, at: float) -> bool:
        spare = self._life_seconds() / 10 + 2  # stores count from when they asked, and keep a distance from the end
        return bool(connection.first_token) and connection.witness.honours(connection.first_token, at + spare)

    def renew(self, connection: Connection, replica: int) -> None:
        """Complain about the token that the consumer held when the trouble began."""
        self._renew(connection, replica, connection.first_token)

    def _renew(self, connection: Connection, replica: int, token: str) -> None:
        _answer(lambda: self.store.renew(connection.name, replica, token))

    def look(self, connection: Connection, *, complain: bool) -> None:
        """See whether the store has come to know what became of a grant."""
        if complain:
            self.renew(connection, 0)
        reading = self.read(connection, 1)
        if reading.served and not reading.dead:
            connection.renewed = connection.token != connection.first_token
        elif reading.reconnect:
            connection.cause = reading.cause

    def prove(self, connection: Connection) -> None:
        """A store that kept a grant can renew it once more; one that kept a used refresh token cannot."""
        before = connection.token
        self._renew(connection, 0, before)
        reading = self.read(connection, 1)
        connection.proven = reading.served and not reading.dead and connection.token != before
        if reading.reconnect:
            connection.cause = reading.cause

    def batches(self) -> Iterator[list[Connection]]:
        return (list(batch) for batch in batched(self.connections, self.store.lanes, strict=False))

    def together(self, calls: Iterable[Callable[[], object]]) -> None:
        """Make all calls at the same time, and return when the last one has returned."""
        together(list(calls))


def together(calls: Sequence[Callable[[], object]]) -> None:
    if calls:
        with ThreadPoolExecutor(max_workers=len(calls)) as pool:
            for future in [pool.submit(call) for call in calls]:
                future.result()


def _answer[T](ask: Callable[[], T]) -> tuple[T | None, Refused | None]:
    try:
        return ask(), None
    except Refused as refused:
        return None, refused
    except Exception as error:  # noqa: BLE001 - whatever a store under test raises is a read that its consumer did not get
        return None, Refused(f"untyped {type(error).__name__}")
