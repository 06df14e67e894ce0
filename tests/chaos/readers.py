"""Consumers at work: through `Vault` and its cache, and through the token route. They judge what they are given."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from consentry import Vault
from consentry.errors import ConsentryError, ReauthRequired
from consentry.model import skew_seconds
from consentry.read import CACHE_SECONDS
from dev.acme.consentry_api import Consentry
from dev.acme.trouble import Trouble as ApiTrouble
from tests.chaos.fleet import Fleet, LocalSession, Member, Row, served_until
from tests.chaos.trouble import Trouble, guarded

PAUSE_SECONDS: Final = 0.3
CACHE_MARGIN_SECONDS: Final = 3  # a neighbour's thread may have filled the cache a moment earlier
NEEDED: Final = ("dynamodb", "kms")  # what a cold read calls


@dataclass(frozen=True, slots=True)
class Refusal:
    """A read that failed. `typed` says that the reason was one of the errors that a consumer is promised."""

    what: str
    typed: bool


@dataclass(frozen=True, slots=True)
class Got:
    """An access token, and until when a cache may serve it."""

    token: str
    until: float = 0.0


type Read = Callable[[Member], Got]
"""Raises `NotRead`."""


class NotRead(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal


@dataclass
class Readers:
    """Threads that read connections by chance. `counts` says how often what happened, `broken` what must not."""

    fleet: Fleet
    trouble: Trouble
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    dead: dict[str, str] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _warm: dict[Member, Got] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, count: int) -> None:
        """Start `count` readers: the last one uses the token route, the others share one `Vault`."""
        ready = self.fleet.ready
        vault = Vault(
            table=ready.tables["connections"],
            refresh_function=ready.functions["RefreshFunction"],
            session=LocalSession(ready),
        )
        skew = skew_seconds(self.trouble.plan.ttl)
        for number in range(count):
            read = by_route(Consentry(ready)) if number == count - 1 else by_vault(vault, skew)
            own = vault if number < count - 1 else None
            thread = threading.Thread(target=self._loop, args=(number, read, own), name=f"reader-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _loop(self, number: int, read: Read, vault: Vault | None) -> None:
        chance = self.trouble.plan.chance(f"reader-{number}")
        while not self.stopping.wait(chance.uniform(0, 2 * PAUSE_SECONDS)):
            member = chance.choice(self.fleet.members)
            guarded(partial(self._once, member, read, vault), self._break)

    def _once(self, member: Member, read: Read, vault: Vault | None) -> None:
        row, begun = self.fleet.row(member), time.time()
        warm_until = self._warm.get(member, Got("")).until if vault else 0.0
        try:
            got = read(member)
        except NotRead as refused:
            self._refused(member, row, begun, refused.refusal, warm_until=warm_until)
            return
        if vault and self._warm.get(member, Got("")).token != got.token:
            self._warm[member] = Got(got.token, min(got.until, begun + CACHE_SECONDS - CACHE_MARGIN_SECONDS))
        self._served(member, got.token, vault, warm=begun < warm_until)

    def _served(self, member: Member, token: str, vault: Vault | None, *, warm: bool) -> None:
        authority = self.fleet.authorities[member.kind]
        if authority.honours(token):
            self._count("served from the cache" if warm else "served")
            return
        # Only a grant that died at the server makes a token die early; whether it had to is judged at the end.
        self._count("served of a dead grant")
        with self._lock:
            self.dead[authority.grant_of_access_token(token)] = f"{member.tenant}/{member.integration}"
        if vault:
            self._rejects(vault, member)

    def _rejects(self, vault: Vault, member: Member) -> None:
        """Do as a consumer does whose API answered 401."""
        try:
            rejected = vault.token(member.tenant, member.integration)
            vault.renewed(member.tenant, member.integration, rejected=rejected)
        except ConsentryError as error:
            self._count(f"rejected: {error.code}")

    def _refused(self, member: Member, row: Row, begun: float, refusal: Refusal, *, warm_until: float) -> None:
        ended = time.time()
        valid = served_until(row) > ended
        away = self.trouble.away(begun, ended, *NEEDED)
        if not refusal.typed:
            self._break(f"{member.tenant}: an untyped error: {refusal.what}")
        elif ended < warm_until:
            self._break(f"{member.tenant}: refused although its token was in the cache: {refusal.what}")
        elif valid and not away:
            self._break(f"{member.tenant}: refused while its record's token was valid: {refusal.what}")
        else:
            why = "cold during an outage" if valid else "token had ended"
            self._count(f"refused, {why}: {refusal.what}")

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _break(self, sentence: str) -> None:
        with self._lock:
            self.broken.append(sentence)


def by_vault(vault: Vault, skew_seconds: float) -> Read:
    def read(member: Member) -> Got:
        try:
            token = vault.token(member.tenant, member.integration)
        except ReauthRequired as error:
            raise NotRead(Refusal(f"reauth_required ({error.cause})", typed=True)) from None
        except ConsentryError as error:
            raise NotRead(Refusal(error.code, typed=True)) from None
        return Got(token.access_token.reveal(), (token.expires_at or 0) - skew_seconds)

    return read


def by_route(api: Consentry) -> Read:
    def read(member: Member) -> Got:
        try:
            return Got(api.token(member.tenant, member.integration).access_token.reveal())
        except ApiTrouble as error:
            # The gateway's own refusals have no code of ours.
            raise NotRead(Refusal(f"route: {error.code}", typed=not error.code.startswith("http_"))) from None

    return read
