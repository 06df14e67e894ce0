"""Any message and any event: forged, repeated, reordered, malformed or ancient, none does more than a check."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from consentry.aws.escrow import kept, written
from consentry.errors import InvalidRequest
from consentry.model import IDENTIFIER, ConnectionKey, Field, Secret, Status
from consentry.ports import Commit
from consentry.tokens import grant_payload
from consentry.web.work import restore, work
from tests.properties import answers
from tests.properties.facts import check_silence
from tests.properties.vault import MARK, MemoryVault, batches_in_turn, overheard
from tests.support.provider import tokens

DUE: Final = (ConnectionKey("acme", "app"), ConnectionKey("acme", "app", "second"))
FRESH: Final = ConnectionKey("globex", "app")
_ABSENT: Final = ConnectionKey("nobody", "app")
_KEYS: Final = (*DUE, FRESH, _ABSENT)
_PAUSES: Final = (0, 1, 59, 271)
NEW: Final = tokens(access_token=f"{MARK}0aZ-access-new", refresh_token=f"{MARK}0aZ-refresh-new")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Batches as they arrive, each after a pause in seconds."""

    batches: tuple[tuple[object, ...], ...]
    pauses: tuple[int, ...]


def hint(key: ConnectionKey, **changes: object) -> dict[str, object]:
    return {"v": 1, "tenant": key.tenant, "connection": key.sort_key, "gen": 1, **changes}


odd_values = st.one_of(
    answers.leaves.filter(lambda value: not str(value).startswith("raw:")),
    st.sampled_from(("", "#", "acme", "app#", "#default", "app#a#b", "../app#default", "app#" + "n" * 64, "a" * 64)),
    st.lists(st.sampled_from(("acme", "app#default")), max_size=2),
    st.dictionaries(st.sampled_from(("S", "tenant")), st.just("acme"), max_size=1),
)
good_hints = st.sampled_from(_KEYS).map(hint)
forged_hints = st.builds(
    lambda key, changes: hint(key, **changes),
    st.sampled_from(_KEYS),
    st.dictionaries(
        st.sampled_from(("gen", "token_url", "provider", "rejected_generation", "due_at")), odd_values, max_size=3
    ),
)
misshapen_hints = st.builds(
    lambda key, changes: hint(key, **changes),
    st.sampled_from(_KEYS),
    st.dictionaries(st.sampled_from(("v", "tenant", "connection")), odd_values, min_size=1, max_size=2),
)
_TEXTS: Final = (
    "", " ", "null", "[]", "{}", "true", "1", '"acme"', "not json", "{", "[" * 20_000, '{"v":1}', "NaN", "\ud800",
    "\x00", '{"v":1,"v":2,"tenant":"acme","connection":"app#default"}', "9" * 5000, '{"v":1e999}',
)  # fmt: skip
bodies: st.SearchStrategy[object] = st.one_of(
    good_hints.map(json.dumps),
    good_hints.map(json.dumps),
    forged_hints.map(json.dumps),
    misshapen_hints.map(json.dumps),
    st.sampled_from(_TEXTS),
    st.sampled_from((None, 1, True, b"{}", ["{}"], hint(DUE[0]))),
    st.text(max_size=30),
)
deliveries = st.builds(
    Deliveries,
    batches=st.lists(st.lists(bodies, min_size=1, max_size=10).map(tuple), min_size=1, max_size=3).map(tuple),
    pauses=st.tuples(*[st.sampled_from(_PAUSES)] * 3),
)


def hinted(body: object) -> ConnectionKey | None:
    """Read a hint by the book; `None` if it is none."""
    try:
        found = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("v") != 1:
        return None
    tenant, sort_key = found.get("tenant"), found.get("connection")
    if not isinstance(tenant, str) or not isinstance(sort_key, str):
        return None
    integration, _, name = sort_key.partition("#")
    valid = all(IDENTIFIER.fullmatch(each) for each in (tenant, integration, name))
    return ConnectionKey(tenant, integration, name) if valid else None


def peopled() -> MemoryVault:
    """Return a vault with two connections that are due, and one that is not."""
    vault = MemoryVault()
    for key in DUE:
        vault.connect_as(key)
    vault.fall_due()
    vault.connect_as(FRESH)
    vault.clock.time = float(max(vault.row(key)["due_at"] for key in DUE))
    vault.writes.clear()
    vault.answering.step = NEW
    return vault


def batch(bodies_of_it: tuple[object, ...]) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies_of_it)]}


def check_deliveries(case: Deliveries) -> list[str]:
    """Malformed messages fail alone; every connection that is due is refreshed once, however often it is named."""
    vault, named = peopled(), set()
    fresh = vault.row(FRESH)
    with batches_in_turn(), overheard() as heard:
        for arrived, pause in zip(case.batches, case.pauses, strict=False):
            vault.clock.advance(pause)
            vault.clock.remaining = 45.0
            answer = work(batch(arrived), vault.engine())
            keys = [hinted(body) for body in arrived]
            named |= set(keys)
            failed = [{"itemIdentifier": f"m{number}"} for number, key in enumerate(keys) if key is None]
            assert answer == {"batchItemFailures": failed}
    assert MARK not in heard()
    assert vault.row(FRESH) == fresh
    assert len(vault.answering.requests) == len(named & set(DUE))
    for key in DUE:
        assert vault.row(key)["gen"] == (2 if key in named else 1)
        check_silence("", vault.row(key))
    return ["done" if hinted(body) else "failed" for arrived in case.batches for body in arrived]


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
good_wishes = st.builds(
    lambda key, generation: {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": generation},
    st.sampled_from(_KEYS),
    st.sampled_from((1, 1, 0, 2, -1, 10**40)),
)
wishes = st.builds(
    lambda key, changes: {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": 1, **changes},
    st.sampled_from(_KEYS),
    st.dictionaries(
        st.sampled_from(("tenant", "connection", "rejected_generation", "v", "extra")), odd_values, max_size=3
    ),
)
objects = st.dictionaries(
    st.sampled_from(("tenant", "connection", "rejected_generation", "integration", "records", "")),
    odd_values | json_values,
    max_size=5,
)
direct_events = answers.mostly(st.one_of(good_wishes, wishes), objects)


def check_direct(event: Mapping[str, Any]) -> list[str]:
    """A direct event names a connection and a generation, or it is told what is wrong; only the newest is refreshed."""
    vault = peopled()
    before = {key: vault.row(key) for key in (*DUE, FRESH)}
    asked = _wished(event)
    with overheard() as heard:
        if asked is None:
            try:
                answered: object = work(event, vault.engine())
            except InvalidRequest as error:
                answered = error
            assert isinstance(answered, InvalidRequest), answered
            assert MARK not in f"{answered!r} {answered.detail}"
        else:
            _check_wish(vault, event, *asked)
    assert MARK not in heard()
    named = asked[0] if asked else None
    assert all(vault.row(key) == row for key, row in before.items() if key != named)
    return ["understood" if asked else "refused"]


def _wished(event: Mapping[str, Any]) -> tuple[ConnectionKey, int] | None:
    key = hinted(json.dumps({"v": 1, "tenant": event.get("tenant"), "connection": event.get("connection")}))
    generation = event.get("rejected_generation")
    valid = isinstance(generation, int) and not isinstance(generation, bool)
    return (key, generation) if key and valid and isinstance(generation, int) else None


def _check_wish(vault: MemoryVault, event: Mapping[str, Any], key: ConnectionKey, generation: int) -> None:
    answer = work(event, vault.engine())
    assert set(answer) == {"generation", "outcome"}
    newest = generation == 1 and key in {*DUE, FRESH}
    assert len(vault.answering.requests) == (1 if newest else 0)
    assert answer["outcome"] == ("refreshed" if newest else "absent" if key not in {*DUE, FRESH} else "fresh")
    assert bool(vault.writes) == newest


# escrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A commit in escrow: whose, over which generation, and what is wrong with its message."""

    key: ConnectionKey
    expected_gen: int
    number: int
    changes: tuple[tuple[str, object], ...] = ()


_ODD_SETS: Final[tuple[object, ...]] = (
    {}, [], None, "set", {"access_token": {"B": "%%%"}}, {"x": {"S": 1}}, {"x": {}}, {"x": {"X": "y"}}, {"x": "plain"},
    {"x": {"S": "a", "N": "1"}}, {"x": {"B": None}}, {"x": {"L": {"S": "a"}}}, {"x": {"M": []}}, {"x": {"N": None}},
)  # fmt: skip
_misshapen = st.tuples(
    st.sampled_from(
        ("v", "tenant", "connection", "expected_gen", "expected_epoch", "epoch", "status", "set", "remove")
    ),
    odd_values | st.sampled_from(_ODD_SETS),
)
kept_commits = st.builds(
    Kept,
    key=st.sampled_from(_KEYS),
    expected_gen=st.sampled_from((1, 1, 1, 0, 2, 3, -1, 10**9)),
    number=st.integers(0, 2),
    changes=answers.mostly(st.just(()), st.lists(_misshapen, min_size=1, max_size=2).map(tuple)),
)
escrow_bodies: st.SearchStrategy[object] = answers.mostly(kept_commits, bodies)
escrows = st.lists(st.lists(escrow_bodies, min_size=1, max_size=6), min_size=1, max_size=2)


def message_of(vault: MemoryVault, body: object) -> object:
    return (
        json.dumps({**json.loads(_commit_text(vault, body)), **dict(body.changes)}) if isinstance(body, Kept) else body
    )


def _commit_text(vault: MemoryVault, kept_commit: Kept) -> str:
    key, number = kept_commit.key, kept_commit.number
    seal = {field: vault.deployment.envelopes.sealing_key(key.encryption_context(field)).seal for field in Field}
    now = vault.clock.now()
    commit = Commit(
        key=key, expected_gen=kept_commit.expected_gen, expected_epoch=1, epoch=1, commit_id=f"commit-{number}",
        status=Status.ACTIVE,
        set_attributes={
            "access_token": seal[Field.ACCESS_TOKEN](Secret(f"{MARK}0aZ-access-{number}")),
            "grant": seal[Field.GRANT](grant_payload({"refresh_token": Secret(f"{MARK}0aZ-refresh-{number}")})),
            "refreshed_at": now, "expires_at": now + 1800, "due_at": now + 900, "token_type": "Bearer",
        },
    )  # fmt: skip
    return written(commit)


def check_escrow(batches: list[list[object]]) -> list[str]:
    """Each readable commit is written over its own predecessor or not at all; the others end, and no mate suffers."""
    vault = peopled()
    with overheard() as heard:
        for bodies_of_it in batches:
            arrived = tuple(message_of(vault, body) for body in bodies_of_it)
            expected = _expected(vault, arrived)
            assert restore(batch(arrived), vault.escrow, vault.connections) == {"batchItemFailures": []}
            assert {key: vault.row(key).get("gen") for key in expected} == expected
    assert MARK not in heard()
    for before, after in vault.writes:
        assert after is not None
        assert int(after["gen"]["N"]) == (int(before["gen"]["N"]) if before else 0) + 1
    assert vault.answering.requests == []
    return ["restored"] * len(vault.writes) + ["left alone"] * (sum(map(len, batches)) - len(vault.writes))


def _expected(vault: MemoryVault, arrived: tuple[object, ...]) -> dict[ConnectionKey, int | None]:
    """Say which generation each connection has after a batch: lineage alone decides."""
    gens = {key: vault.row(key).get("gen") for key in _KEYS}
    for body in arrived:
        try:
            commit = kept(body)  # type: ignore[arg-type]  # anything may arrive
        except InvalidRequest:
            continue
        gens.setdefault(commit.key, vault.row(commit.key).get("gen"))
        if (gens[commit.key] or 0) == commit.expected_gen and commit.expected_epoch == 1:
            gens[commit.key] = commit.expected_gen + 1
    return gens
