"""What is promised over weeks, checked at every write, request and look, and measured for the report."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consentry.errors import ConsentryError
from consentry.model import Cause, ConnectionKey, Status, skew_seconds
from consentry.oauth.provider import Rotation
from consentry.record import READ_ATTRIBUTES, Record
from consentry.refresh import health
from consentry.refresh.health import Health
from tests.days.edge import Calendar
from tests.days.plan import CAPPED, DAY, DOWN, HOUR, MINUTE, MISTAKEN, Plan, Window
from tests.days.providers import Ended, Grant, Mood, Providers
from tests.days.store import OrderedDynamo
from tests.simulation.edges import opened
from tests.simulation.watch import credential_of, key_of, text, whole
from tests.simulation.wire import from_item
from tests.support.expressions import Item

# A tick, one that is lost on the border of two, the queue, and a worker: later than this is late.
LATE: Final = 150
# Where there is a limit, a worker may find no turn within its patience, perhaps twice; the next sweep sends again.
LATE_BEHIND_A_LIMIT: Final = LATE + 2 * MINUTE
FLAGGED_WITHIN: Final = LATE + 150
BY_MISTAKE: Final = 20
_READERS_SKEW: Final = 2
_SHOWN: Final = 20
_OF_A_SORT: Final = 3
_ASKED_AGAIN: Final = 2 * HOUR + LATE  # the longest pause of what is held
# An open breaker lets one try every nine minutes at the most, after a few shorter pauses; more were under way.
_TRIES_AN_HOUR: Final = 7
_FIRST_TRIES: Final = 70
_OPENS: Final = "integration failing"
_ACTIVE: Final = Status.ACTIVE.value


@dataclass(slots=True, kw_only=True)
class Trouble:
    """Something that goes wrong, whom it excuses from being in time, and when all had caught up."""

    name: str
    window: Window
    whose: str = ""
    within: float = 0.0
    caught_up: float | None = None

    def excuses(self, integration: str, since: float, until: float) -> bool:
        end = float("inf") if self.caught_up is None else self.caught_up
        return self.whose in {"", integration} and Window(self.window.start, end).meets(since, until)


def allowed_in_a_minute(limit: int) -> int:
    """Return what `docs/refresh.md` allows beside a limit: one window above it, in any minute."""
    turns = health.turns(Health(integration="limited", rate=limit), 0)
    return limit + (turns.most if turns else 0)


class Watch:
    """`broken` holds a sentence for each promise that was broken, the first few of each sort."""

    def __init__(self, plan: Plan, timeline: Calendar, providers: Providers, store: OrderedDynamo) -> None:
        self.broken: Counter[str] = Counter()
        self.examples: list[str] = []
        self.counts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.posts: Counter[str] = Counter()
        self.forced_posts: Counter[str] = Counter()
        self.moods: Counter[Mood] = Counter()
        self.worker_seconds: defaultdict[str, float] = defaultdict(float)
        self.lateness: defaultdict[str, int] = defaultdict(int)
        self.refused_minutes: defaultdict[str, float] = defaultdict(float)
        self.flagged: dict[ConnectionKey, str] = {}
        self.grants: dict[ConnectionKey, Grant] = {}
        self.cap_most = 0
        self.cap_most_on_day = 0.0
        self.asked_when_open = 0
        self.flagged_after = 0
        self.sweep: Mapping[str, object] = {}
        self._capped: deque[float] = deque()
        self._due: dict[ConnectionKey, int] = {}
        self._served_until: dict[ConnectionKey, float] = {}
        self._sent: dict[str, int] = {}
        self._unmarked: set[ConnectionKey] = set()
        self._swept_at = 0.0
        self._held_until = 0
        self._plan = plan
        self._timeline = timeline
        self._began = timeline.now
        self._providers = providers
        self._store = store
        outage, silence = plan.provider_outage, plan.dispatcher_outage
        mistake, storage = plan.mistaken_hour, plan.storage_trouble
        self.troubles = (
            Trouble(name="mistake", window=mistake, whose=MISTAKEN, within=mistake.seconds + _ASKED_AGAIN),
            Trouble(name="storage", window=storage, within=2 * storage.seconds),
            Trouble(name="outage", window=outage, whose=DOWN, within=2 * outage.seconds),
            Trouble(name="silence", window=silence, within=2 * silence.seconds),
        )
        limits = {each.id: each.provider.refresh.requests_per_minute for each in plan.services}
        self._cap = limits.get(CAPPED) or 0
        self._cap_allowed = allowed_in_a_minute(self._cap)

    @property
    def elapsed(self) -> float:
        return self._timeline.now - self._began

    def require(self, holds: bool, promise: str, what: object = "") -> None:
        if holds:
            return
        self.broken[promise] += 1
        if self.broken[promise] <= _OF_A_SORT and len(self.examples) < _SHOWN:
            self.examples.append(f"day {self.elapsed / 86400:.3f}: {promise}: {what}")

    def excuse(self, integration: str, since: float, until: float) -> str:
        """Return the name of the trouble that explains why something took from `since` to `until`, if there is one."""
        for trouble in self.troubles:
            if trouble.excuses(integration, since - self._began, until - self._began):
                return trouble.name
        return ""

    # requests

    def asked(self, grant: Grant, mood: Mood, *, forced: bool) -> None:
        """Look at a request at the moment in which it is sent."""
        integration, now = grant.key.integration, self._timeline.now
        (self.forced_posts if forced else self.posts)[integration] += 1
        self.moods[mood] += 1
        if mood in {Mood.FAILING, Mood.SILENT}:
            grant.doubted = True
            self._asked_in_vain(integration)
        overlapping = grant.rotates and now < grant.busy_until
        self.require(not overlapping, "two requests under way for one refresh token", grant.key)
        if integration == CAPPED and not forced:
            self._asked_within_a_minute(now)

    def _asked_in_vain(self, integration: str) -> None:
        """Count what a provider that is down gets once its breaker has opened for the first time."""
        self.asked_when_open += self.counts[f"{_OPENS}: {integration}"] > 0
        tries = _FIRST_TRIES + _TRIES_AN_HOUR * self._plan.outage / HOUR
        self.require(self.asked_when_open <= tries, "a provider that is down is asked too often", self.asked_when_open)

    def _asked_within_a_minute(self, now: float) -> None:
        """Count scheduled requests as the provider does; readers' own have a limit of their own (`docs/refresh.md`)."""
        times = self._capped
        while times and times[0] <= now - MINUTE:
            times.popleft()
        times.append(now)
        if len(times) > self.cap_most:
            self.cap_most, self.cap_most_on_day = len(times), self.elapsed / DAY
        self.require(len(times) <= self._cap_allowed, "more requests in a minute than a provider allows", len(times))

    # writes

    def written(self, table: str, before: Item | None, after: Item | None) -> None:
        if table != self._store.connections:
            if after and "hold_until" in after:
                self._held_until = whole(after, "hold_until")
            return
        if after is None:
            self.require(False, "a record disappeared", before and key_of(before))
            return
        before = before or {}
        if before.get("gen") != after.get("gen"):
            self._committed(key_of(after), before, after)
        elif before.get("status") != after.get("status"):
            self._flagged(key_of(after), after)
        elif before.get("enqueued_until") != after.get("enqueued_until"):
            self._marked(key_of(after), after)

    def _marked(self, key: ConnectionKey, after: Item) -> None:
        if self._timeline.invocation.kind == "dispatch":
            self._sent[key.integration] = max(self._sent.get(key.integration, 0), whole(after, "due_at"))
        else:
            self._unmarked.add(key)  # held back, perhaps after the sweep had passed it

    def _committed(self, key: ConnectionKey, before: Item, after: Item) -> None:
        now = self._timeline.now
        token = opened(after["access_token"]["B"])
        grant = self._providers.grant_of(token)
        self.require(grant.key == key, "somebody else's token", key)
        self.require(whole(after, "gen") - whole(before, "gen") == 1, "a generation left out", key)
        expires_at = whole(after, "expires_at")
        life = expires_at - whole(after, "refreshed_at")
        served_until = expires_at - skew_seconds(life) if expires_at else float("inf")
        in_time = served_until + _READERS_SKEW <= self._providers.ends_at(token)
        self.require(in_time, "a token will be served after its end", key)
        grant.doubted = False
        again = self.flagged.pop(key, None) is None and key in self._due and grant is self.grants[key]
        if again:
            self._in_time(key, now)
            self.counts["refreshes"] += 1
        self.grants[key] = grant
        self._due[key] = whole(after, "due_at")
        self._served_until[key] = served_until

    def _patience(self, key: ConnectionKey) -> int:
        return LATE_BEHIND_A_LIMIT if self._cap and key.integration == CAPPED else LATE

    def _in_time(self, key: ConnectionKey, now: float) -> None:
        due_at = self._due[key]
        excuse = self.excuse(key.integration, due_at, now)
        where = excuse
        if not excuse:
            meets = self._plan.provider_outage.meets(due_at - self._began, now - self._began)
            where = "others, while a provider is down" if meets else "calm"
            self.require(now <= due_at + self._patience(key), "late without a reason", (key, int(now - due_at)))
        self.lateness[where] = max(self.lateness[where], int(now - due_at))
        gap = now - self._served_until[key]
        if gap > 0:
            self.refused_minutes[where] += gap / MINUTE
            self.require(bool(excuse), "a token ended without a reason", key)

    def _flagged(self, key: ConnectionKey, after: Item) -> None:
        cause, grant, now = text(after, "status_cause"), self.grants[key], self._timeline.now
        self.flagged[key] = cause
        self.counts[f"flagged {cause}"] += 1
        if grant.ended is None:
            self._flagged_alive(key)
            return
        self.counts[f"flagged because of {grant.ended}"] += 1
        remint = grant.behaviour.rotation is Rotation.REMINT
        right = {
            Ended.CUSTOMER: Cause.CREDENTIAL_REJECTED if remint else Cause.GRANT_REVOKED,
            Ended.REUSE: Cause.AMBIGUOUS_ROTATION,
        }.get(grant.ended)
        in_doubt = cause == Cause.AMBIGUOUS_ROTATION and (
            grant.doubted or self.excuse(key.integration, grant.ended_at, now) != ""
        )
        self.require(cause == right or in_doubt, "flagged with a wrong cause", (key, cause, grant.ended))
        since = max(grant.ended_at, float(self._due[key]))
        if not self.excuse(key.integration, since, now) and not self._may_be_held(key, since, now):
            self.flagged_after = max(self.flagged_after, int(now - since))
            self.require(now - since <= FLAGGED_WITHIN, "flagged late", (key, int(now - since)))

    def _flagged_alive(self, key: ConnectionKey) -> None:
        """Only the first few of the mistaken hour: nobody can tell them from customers."""
        mistake = self._plan.mistaken_hour
        mistaken = key.integration == MISTAKEN and mistake.meets(self.elapsed - MINUTE, self.elapsed)
        self.require(mistaken, "flagged although its grant is alive", key)
        self.counts["flagged by mistake"] += 1
        self.require(self.counts["flagged by mistake"] <= BY_MISTAKE, "too many flagged by a provider's mistake", key)

    def _may_be_held(self, key: ConnectionKey, since: float, until: float) -> bool:
        """Whether a hold explains that nobody believed a refusal: it ends late, and then all are asked again."""
        return key.integration == MISTAKEN and since <= self._held_until and until <= self._held_until + _ASKED_AGAIN

    # sweeps

    def sweep_began(self) -> None:
        self._sent.clear()
        self._unmarked.clear()
        self._swept_at = self._timeline.now
        self.counts["sweeps"] += 1

    def sweep_ended(self) -> None:
        """Whatever was held back in this sweep is less urgent than what was sent, within its integration."""
        self.counts["parked"] += int(str(self.sweep["parked"]))
        self.counts["dispatched"] += int(str(self.sweep["dispatched"]))
        if not self.sweep["parked"] or self._plan.storage_trouble.holds(self.elapsed):
            return
        for shard in self._store.shards.values():
            for due_at, tenant, connection in shard:
                if due_at > self._swept_at:
                    break
                integration = connection.partition("#")[0]
                if due_at >= self._sent.get(integration, 0):
                    continue
                row = self._store.rows[tenant, connection]
                seen = key_of(row) not in self._unmarked
                passed_over = seen and whole(row, "enqueued_until") < self._swept_at - _READERS_SKEW
                self.require(not passed_over, "something less urgent went first", (integration, tenant))

    # what functions say

    def logged(self, message: str, fields: Mapping[str, object] | None = None, *, level: str = "info") -> None:
        fields = fields or {}
        if message == "refresh":
            self.outcomes[str(fields["outcome"])] += 1
        elif message == "dispatched":
            self.sweep = fields
        elif message.startswith((_OPENS, "integration held")):
            self.counts[f"{message.partition(':')[0]}: {fields['integration']}"] += 1
        self.require(message != "unforeseen", "an unforeseen error", fields)
        if level == "critical":
            self.counts[f"critical: {message}"] += 1

    def worked(self, kind: str, seconds: float, *, survived: bool) -> None:
        self.counts[f"invocations {kind}"] += 1
        self.counts["killed"] += not survived
        self.worker_seconds[kind] += seconds

    # readers

    def look(self, key: ConnectionKey, row: Item) -> bool:
        """Look at a row as a vault does; return whether it would ask for a refresh."""
        now = self._timeline.now
        try:
            record = Record.of(from_item({name: row[name] for name in READ_ATTRIBUTES if name in row}))
        except ConsentryError as error:
            self.require(False, "a record that readers cannot read", (key, error.code))
            return False
        self.counts["looks"] += 1
        if record.status == _ACTIVE and record.servable(now):
            self.counts["looks served"] += 1
            token = opened(record.access_token)
            self.require(self._providers.ends_at(token) > now, "an expired token was served", key)
            return False
        self.counts["looks refused: it is flagged" if record.status != _ACTIVE else "looks refused: it has ended"] += 1
        return record.status == _ACTIVE

    # catching up, and the end

    def minute(self) -> None:
        """See whether what was delayed by a trouble is in time again."""
        for trouble in self.troubles:
            if trouble.caught_up is None and self.elapsed >= trouble.window.end and not self.overdue(trouble.whose):
                trouble.caught_up = self.elapsed
                took = trouble.caught_up - trouble.window.end
                self.require(took <= trouble.within, "caught up late", (trouble.name, int(took)))

    def overdue(self, integration: str) -> list[ConnectionKey]:
        """Return whose grant is alive and should have been used by now; of all integrations, or of one.

        Whoever is in doubt and may not ask again before the access token's end is not overdue: that token still works.
        """
        now = self._timeline.now
        late = [key for key, due_at in self._due.items() if due_at + LATE < now and key not in self.flagged]
        mine = [key for key in late if self.grants[key].ended is None and integration in {"", key.integration}]
        return [key for key in mine if not self._waits_in_doubt(key)]

    def _waits_in_doubt(self, key: ConnectionKey) -> bool:
        row = self._store.rows[key.tenant, key.sort_key]
        return whole(row, "pend_gen") == whole(row, "gen") and whole(row, "due_at") > self._timeline.now

    def settled(self) -> None:
        """Nothing has gone wrong for a while: all is fresh, or says exactly why not."""
        for trouble in self.troubles:
            self.require(trouble.caught_up is not None, "never caught up", trouble.name)
        for key, due_at in self._due.items():
            row, grant = self._store.rows[key.tenant, key.sort_key], self.grants[key]
            held = grant.ended is Ended.CUSTOMER and self._may_be_held(key, due_at, self._timeline.now)
            if key in self.flagged or held:
                continue
            self.require(due_at + self._patience(key) >= self._timeline.now, "at rest, and overdue", key)
            under_way = "lease_owner" in row or "pend_gen" in row or "next_try_at" in row
            self.require(not under_way, "at rest, and something is under way", key)
            alive = self._providers.is_live(credential_of(row)) or grant.ended is Ended.CUSTOMER
            self.require(alive, "silently dead", key)
        customers = self.counts["customers revoke"] - self.revoked_and_not_flagged()
        self.require(self.counts["flagged because of customer"] == customers, "revoked and not flagged", customers)

    def revoked_and_not_flagged(self) -> int:
        return sum(each.ended is Ended.CUSTOMER and key not in self.flagged for key, each in self.grants.items())

    def told(self) -> dict[str, Any]:
        """Return the measures, for the report."""
        took = {each.name: each.caught_up for each in self.troubles}
        return {
            "refreshes": self.counts["refreshes"],
            "requests": self.posts.total() + self.forced_posts.total(),
            "requests_by_integration": dict(self.posts),
            "requests_forced_by_readers": dict(self.forced_posts),
            "requests_by_mood_of_the_provider": {mood.value: count for mood, count in self.moods.items()},
            "most_requests_of_the_capped_in_60_seconds": self.cap_most,
            "on_day": round(self.cap_most_on_day, 3),
            "cap": self._cap,
            "cap_and_one_window": self._cap_allowed,
            "requests_after_the_breaker_opened": self.asked_when_open,
            "flagged_by_mistake": self.counts["flagged by mistake"],
            "catch_up_minutes": {
                each.name: None if took[each.name] is None else round((each.caught_up or 0) - each.window.end) // MINUTE
                for each in self.troubles
            },
            "latest_seconds_after_due": dict(self.lateness),
            "minutes_in_which_readers_were_refused": {why: round(sum_) for why, sum_ in self.refused_minutes.items()},
            "flagged_at_most_seconds_after": self.flagged_after,
            "outcomes": dict(self.outcomes.most_common()),
            "counts": dict(sorted(self.counts.items())),
        }
