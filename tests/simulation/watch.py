"""The invariants of the refresh protocol, checked at every write, every request and every end of an invocation."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from consentry.model import Cause, ConnectionKey, Status, skew_seconds
from tests.simulation.authority import USER, Authority, Issued, Post
from tests.simulation.edges import opened
from tests.simulation.faults import Answer
from tests.simulation.timeline import Stopped, Timeline, Worker
from tests.support.expressions import Item

ATTEMPTS_AN_HOUR: Final = 90
_HOUR: Final = 3600
_ACTIVE: Final = Status.ACTIVE.value
_DELETING: Final = Status.DELETING.value
_NOTHING_TO_REVOKE: Final = frozenset({"client_credentials", "no_refresh_token"})
_READERS_SKEW: Final = 5
_BEFORE_ITS_END: Final = 150
_LATEST_LOOK: Final = 3 * _HOUR
_TOKENS: Final = ("access_token", "grant", "expires_at", "commit_id")


@dataclass(slots=True, kw_only=True, eq=False)
class Case:
    """One invocation: what it is for, and what it has done so far."""

    kind: str
    keys: tuple[ConnectionKey, ...]
    posts: list[Post] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)
    leased: int | None = None
    erased: Item | None = None
    outcome: str = ""
    uncertain: bool = False  # a write's answer was lost, or a request was repeated


def whole(item: Item, name: str, default: int = 0) -> int:
    value = item.get(name)
    return int(value["N"]) if value else default


def text(item: Item, name: str) -> str:
    value = item.get(name)
    return str(value["S"]) if value else ""


def key_of(item: Item) -> ConnectionKey:
    return key_from(item["tenant"]["S"], item["connection"]["S"])


# Looked up thirty times for each refresh, and there are few.
key_from = cache(ConnectionKey.from_sort_key)


def credential_of(item: Item) -> str:
    """Return the refresh token, or the customer's secret, that the record holds; empty if it has none."""
    if "grant" not in item:
        return ""
    grant = json.loads(opened(item["grant"]["B"]))
    return str(grant.get("refresh_token") or grant["client_secret"])


def _content(ciphertext: bytes) -> bytes:
    """Return what a ciphertext says, without the key that it is under."""
    return ciphertext.partition(b"|")[2]


class Watch:
    """Raises `Stopped` and remembers `broken` as soon as something happens that must not."""

    def __init__(self, timeline: Timeline, authority: Authority, rows: Callable[[], dict[ConnectionKey, Item]]) -> None:
        self.broken = ""
        self.early_losses = 0
        self.patience = 0.0
        self.cases: dict[Worker, Case] = {}
        self.counts: Counter[str] = Counter()
        self.leased: Callable[[ConnectionKey], None] = lambda _key: None
        self._timeline = timeline
        self._authority = authority
        self._rows = rows
        self.committed: set[str] = set()
        self._doubts: defaultdict[tuple[ConnectionKey, int], list[Case]] = defaultdict(list)

    def require(self, holds: bool, invariant: str, what: object = "") -> None:
        if not holds:
            self.broken = self.broken or f"{invariant} {what}".strip()
            self._timeline.note(f"BROKEN: {self.broken}")
            raise Stopped(self.broken)

    # requests

    def post(self, worker: Worker, post: Post) -> None:
        """Look at a request at the moment in which it is sent."""
        case, now = self.cases[worker], self._timeline.now
        earlier = [each for each in self._authority.posts if each.key == post.key]
        # Of one grant: what a reconnect brought is another one, and the old one's request harms nobody any more.
        family = self._authority.by_token[post.credential]
        under_way = [
            each
            for each in earlier
            if each.settled_at > now and not each.arrived and self._authority.by_token[each.credential] is family
        ]
        self.require(not under_way, "I-01: two requests under way for", post.key)
        self.require(post.key in case.keys, "I-09: a request for somebody else's connection", post.key)
        for each in earlier:
            known = each.issued is not None and each.issued.access_token in self.committed
            rotated = known and each.rotates and each.issued is not None and each.issued.refresh_token != ""
            self.require(
                not (rotated and each.credential == post.credential), "I-02: a replaced token is sent", post.key
            )
        recent = sum(each.sent_at > now - _HOUR for each in earlier)
        self.require(recent < ATTEMPTS_AN_HOUR, "I-11: too many requests in an hour for", post.key)
        row = self._row(post.key)
        if whole(row, "gen") == case.leased:
            self.require(whole(row, "pend_gen") == case.leased, "I-03: a request without its intent", post.key)
        case.uncertain |= not all(each.definite for each in case.posts)
        case.posts.append(post)

    def revocation(self, worker: Worker, credential: str) -> None:
        """Look at a revocation at the moment in which it is sent: only what was disconnected is revoked."""
        (key,) = self.cases[worker].keys
        self.counts["revocation"] += 1
        self.require(self._authority.by_token[credential].key == key, "I-15: somebody else's token is revoked", key)
        row = self._row(key)
        family, held = self._authority.by_token[credential], credential_of(row)
        lives = text(row, "status") != _DELETING and held and self._authority.by_token[held] is family
        self.require(not lives, "I-15: the token of a live connection is revoked", key)
        now = self._timeline.now
        under_way = [each for each in self._authority.posts if each.key == key and not each.arrived]
        # A request with a grant that a reconnect has replaced waits for no successor of this one.
        related = [each for each in under_way if self._authority.by_token[each.credential] is family]
        awaited = [each for each in related if each.given_up_at > now]
        self.require(not awaited, "I-15: revoked while somebody waits for its successor", key)

    # writes

    def _row(self, key: ConnectionKey) -> Item:
        return self._rows().get(key, {})

    def written(self, _table: str, before: Item | None, after: Item | None) -> None:
        worker = self._timeline.running
        if worker is None:
            return
        case = self.cases[worker]
        if after is None:
            self._erased(case, before)
            return
        before = before or {}
        if case.kind == "rekey":
            self._sealed_anew(before, after)
            return
        if text(after, "status") == _DELETING:
            self._deleting(case, before, after)
            return
        self.require(text(before, "status") != _DELETING, "I-15: brought back from its removal", key_of(after))
        key = key_of(after)
        self.require(key in case.keys, "I-09: somebody else's record was written", key)
        self._lineage(case, key, before, after)
        if case.kind == "dispatch":
            changed = {name for name in {*after, *before} if before.get(name) != after.get(name)}
            self.require(changed <= {"enqueued_until"}, "I-09: the dispatcher changed", sorted(changed))
        if text(after, "status") == _ACTIVE:
            look = whole(after, "due_at")
            self.require(0 < look < self._timeline.now + _LATEST_LOOK, "I-14: active, and never due", key)
        elif text(before, "status") == _ACTIVE:
            self._flagged(case, key, after)
        self._doubt(case, key, before, after)

    def _deleting(self, case: Case, before: Item, after: Item) -> None:
        """What is disconnected has no access token, keeps its grant or a successor of it, and comes due."""
        key = key_of(after)
        self.require(key in case.keys, "I-09: somebody else's record was written", key)
        self.require("access_token" not in after, "I-15: disconnected, and still with a token", key)
        self.require(whole(after, "gen") == whole(before, "gen"), "I-15: a new generation of what is removed", key)
        self.require(whole(after, "due_at") > 0, "I-15: disconnected, and never looked at", key)
        if case.kind == "dispatch":
            changed = {name for name in {*after, *before} if before.get(name) != after.get(name)}
            self.require(changed <= {"enqueued_until"}, "I-09: the dispatcher changed", sorted(changed))
        old, new = credential_of(before), credential_of(after)
        if old != new:
            self.counts["handed over"] += 1
            brought = [each for each in self._authority.issued.values() if each.refresh_token == new]
            self.require([each.derived_from for each in brought] == [old], "I-15: a grant of another lineage", key)

    def _erased(self, case: Case, before: Item | None) -> None:
        key = key_of(before or {})
        self.require(case.kind == "hinted" and key in case.keys, "a record disappeared", key)
        self.require(text(before or {}, "status") == _DELETING, "I-15: erased, and not disconnected", key)
        case.erased = before
        for doubted in [each for each in self._doubts if each[0] == key]:
            del self._doubts[doubted]

    def erased(self, worker: Worker, revoked: bool, shortfall: str) -> None:
        """Compare what is said of a grant's end with what the provider knows."""
        case, now = self.cases[worker], self._timeline.now
        self.counts[f"erased {shortfall or 'revoked'}"] += 1
        before = case.erased or {}
        self.require(bool(before) or case.uncertain, "I-15: said to be erased, and it was somebody else")
        credential = credential_of(before)
        if revoked and credential:
            ended = self._authority.by_token[credential].revoked
            self.require(ended != "", "I-15: said to be revoked, and it lives", case.keys)
        if shortfall.startswith("given_up"):
            waited = now - whole(before, "deleting_since")
            self.require(waited > self.patience - 2 * _READERS_SKEW - 1, "I-15: given up too early", case.keys)
        elif shortfall == "in_doubt":
            self.require(whole(before, "pend_gen") == whole(before, "gen"), "I-15: in no doubt", case.keys)
        elif shortfall:
            self.require(shortfall in _NOTHING_TO_REVOKE, "I-15: left, although it could be revoked", shortfall)

    def _sealed_anew(self, before: Item, after: Item) -> None:
        """Only ciphertexts changed, and what is in them did not."""
        changed = {name for name in {*after, *before} if before.get(name) != after.get(name)}
        self.counts["sealed anew"] += 1
        self.require(changed <= {"access_token", "grant"}, "K-02: replacing keys changed", sorted(changed))
        same = all(name in before and _content(before[name]["B"]) == _content(after[name]["B"]) for name in changed)
        self.require(same, "K-03: replacing keys changed the content of", key_of(after))

    def _lineage(self, case: Case, key: ConnectionKey, before: Item, after: Item) -> None:
        old, new = whole(before, "gen"), whole(after, "gen")
        self.require(new - old in {0, 1}, "I-04: generations", f"{old} to {new}")
        if new == old:
            for name in _TOKENS:
                if before.get(name) != after.get(name):
                    self.require(False, "I-04: tokens changed within a generation of", key)
            return
        issued = self._authority.issued.get(opened(after["access_token"]["B"]))
        self.require(issued is not None, "I-04: a token that nobody issued", key)
        assert issued is not None
        self.require(issued.family.key == key, "I-09: somebody else's token", key)
        self._derived(case, before, after, issued)
        life = whole(after, "expires_at") - whole(after, "refreshed_at")
        served_until = whole(after, "expires_at") - skew_seconds(life) + _READERS_SKEW
        self.require(served_until <= issued.ends_at, "I-08: served past its end by", served_until - issued.ends_at)
        case.committed.add(issued.access_token)
        self.committed.add(issued.access_token)

    def _derived(self, case: Case, before: Item, after: Item, issued: Issued) -> None:
        credential = credential_of(after)
        if case.kind == "consent":
            self.require(issued.derived_from == "", "I-04: a consent stored what a refresh brought")
            self.require(credential in {issued.refresh_token, ""}, "I-04: a consent kept another grant")
            return
        self.require(issued.derived_from == credential_of(before), "I-04: not derived from what it replaced", issued)
        kept = issued.refresh_token or credential_of(before)
        self.require(credential == kept, "I-07: the refresh token in the record is not the newest", issued)

    def _flagged(self, case: Case, key: ConnectionKey, after: Item) -> None:
        cause, gen, credential = text(after, "status_cause"), whole(after, "gen"), credential_of(after)
        self.counts[f"flagged {cause}"] += 1
        self._timeline.note(f"flagged {cause}")
        if cause == Cause.NO_REFRESH_TOKEN:
            self.require(credential == "", "flagged for want of a refresh token that it has", key)
            return
        family = self._authority.by_token[credential]
        if cause == Cause.CREDENTIAL_REJECTED:
            refused = [each for each in self._authority.posts if each.key == key and each.definite]
            self.require(len(refused) > 1, "credentials flagged after one refusal", key)
            return
        self.require(not self._authority.is_live(credential), "I-05: flagged although its token is live", key)
        if cause == Cause.GRANT_REVOKED:
            self.require(family.revoked == USER, "cause: our own replay shown as a revocation", key)
        else:
            doubted = [each for each in self._doubts[key, gen] if each is not case]
            self.require(bool(doubted) or case.uncertain, "cause: ambiguous, but every request was answered", key)

    def _doubt(self, case: Case, key: ConnectionKey, before: Item, after: Item) -> None:
        """Keep account of requests that may be unanswered, apart from what the record says about them."""
        gen = whole(after, "gen")
        if text(after, "lease_owner") and before.get("lease_owner") != after.get("lease_owner"):
            case.leased = gen
            self._doubts[key, gen].append(case)
            self.leased(key)
        elif whole(after, "failures") > whole(before, "failures"):
            definite = all(each.definite for each in case.posts) and not case.uncertain
            if definite and case in self._doubts[key, gen]:
                self._doubts[key, gen].remove(case)

    # ends

    def ended(self, worker: Worker, *, escrowed: Callable[[], Sequence[str]]) -> None:
        """I-03: what a worker received is in the record, in escrow, overtaken, or known to be in doubt."""
        case = self.cases[worker]
        for post in case.posts:
            if not (post.arrived and post.issued and post.reply and post.reply.status == 200):
                continue
            if post.answer not in {Answer.TOKENS, Answer.BARE} or post.issued.access_token in self.committed:
                continue
            row = self._row(post.key)
            doubted = whole(row, "pend_gen") == whole(row, "gen") == case.leased
            overtaken = whole(row, "gen") != case.leased or text(row, "status") != Status.ACTIVE
            kept = post.issued.access_token in escrowed()
            self.require(doubted or overtaken or kept, "I-03: a token was lost in silence for", post.key)
            # Whoever could say what came of it has also left the new grant where it is revoked in time.
            left = not post.issued.refresh_token or credential_of(row) != post.credential
            told = case.outcome in {"", "rotation_lost", "in_doubt"} or text(row, "status") != _DELETING
            self.require(left or kept or told, "I-15: a grant that nobody will revoke, of", post.key)

    def answered(self, worker: Worker, outcome: str, generation: int) -> None:
        """Compare what the engine says with what it did."""
        self.counts[outcome] += 1
        self._timeline.note(f"outcome {outcome}, generation {generation}")
        case = self.cases[worker]
        case.outcome = outcome
        self.require(outcome != "unforeseen", "an unforeseen error")
        if outcome == "refreshed":
            brought = any(each.issued and each.issued.access_token in self.committed for each in case.posts)
            self.require(brought, "said refreshed, and its token is in no record")  # whoever wrote it: perhaps escrow
        if outcome == "adopted":
            (key,) = case.keys
            moved = generation > (case.leased or 0) or text(self._row(key), "lease_owner") != "" or case.uncertain
            self.require(moved or text(self._row(key), "status") != "active", "adopted what is not newer", key)

    def settled(self, key: ConnectionKey) -> None:
        """Every fault is over: the record holds what the provider honours, or says exactly why not."""
        row, now = self._row(key), self._timeline.now
        self.require(text(row, "status") != _DELETING, "I-15: disconnected, and never gone", key)
        if text(row, "status") != _ACTIVE:
            return
        credential = credential_of(row)
        self.require("pend_gen" not in row and "lease_owner" not in row, "I-14: at rest, and still in doubt", key)
        if credential:  # a token that came alone has no grant; it is flagged when it ends
            self.require(self._authority.is_live(credential), "silently dead: the grant of", key)
        if now < whole(row, "expires_at") - 60:
            honoured = self._authority.honours(opened(row["access_token"]["B"]), now)
            self.require(honoured, "silently dead: the access token of", key)

    def reused(self, post: Post) -> None:
        """Count the replays that cost an access token which had minutes to live: allowed, and to be few."""
        row = self._row(post.key)
        lived = whole(row, "expires_at") - self._timeline.now
        if credential_of(row) == post.credential and lived > _BEFORE_ITS_END:
            self.early_losses += 1
