"""Any record: what an older, a newer or a mistaken version of Consentry may have left is kept as it is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from consentry.aws.connections import SHARDS
from consentry.aws.dynamodb import from_item
from consentry.errors import OperatorMustAct
from consentry.model import RECORD_VERSION, ConnectionKey, Grant, Status
from consentry.ports import RefreshHint
from consentry.record import Record
from consentry.refresh.dispatch import Dispatch
from consentry.refresh.policy import Outcome
from consentry.web.work import work
from tests.properties import answers
from tests.properties.facts import check_silence
from tests.properties.messages import DUE, FRESH, batch, hint, peopled
from tests.properties.vault import MARK, MemoryVault, batches_in_turn, overheard
from tests.support.expressions import Item

type Value = dict[str, Any]
ODD: Final = DUE[0]
MATE: Final = DUE[1]
_KEPT: Final = ("access_token", "grant", "gen", "v", "commit_id", "expires_at")


@dataclass(frozen=True, slots=True)
class Changed:
    """How a record differs from one that this version wrote: attributes that are gone, and others that are set."""

    gone: tuple[str, ...] = ()
    set: Mapping[str, Value] = field(default_factory=dict)

    def of(self, item: Item) -> Item:
        return {name: value for name, value in item.items() if name not in self.gone} | dict(self.set)


values: st.SearchStrategy[Value] = st.recursive(
    st.one_of(
        st.text(max_size=8).map(lambda text: {"S": text}),
        st.integers(-(10**12), 10**12).map(lambda number: {"N": str(number)}),
        st.sampled_from(
            ({"N": "1.5"}, {"N": "-1E-9"}, {"NULL": True}, {"BOOL": True}, {"SS": ["a", "b"]}, {"NS": ["1"]})
        ),
        st.binary(max_size=8).map(lambda content: {"B": content}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: {"L": items}),
        st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3).map(lambda inside: {"M": inside}),
    ),
    max_leaves=4,
)
# What the engine can do without, and what it hands on without looking at it.
OPTIONAL: Final = (
    "commit_id", "expires_at", "token_type", "scopes", "metadata", "client_id", "refreshed_at", "created_at", "account",
    "client_account", "access_token", "consent_id", "due_at", "due_shard", "grant", "failures",
)  # fmt: skip
UNREAD: Final = ("attention", "attention_since", "client_account")
NEWER: Final = ("region", "owner", "events", "policy", "key", "expires_in", "access_token_2", "attention_note")
KNOWN: Final[Mapping[str, tuple[Value, ...]]] = {
    "status": tuple({"S": each.value} for each in Status),
    "status_cause": ({"S": "a cause of a later version"},),
    "provider": ({"S": "gone"}, {"S": ""}, {"S": "../crm"}),
    "epoch": ({"N": "0"}, {"N": "2"}),
    "grant": ({"B": b"x"}, {"B": b""}),
    "access_token": ({"B": b"x"}, {"B": b""}),
    "metadata": ({"M": {"org": {"L": [{"NULL": True}, {"N": "1.5"}]}, "tags": {"SS": ["a"]}}}, {"M": {}}),
    "scopes": ({"L": []}, {"L": [{"S": "a"}]}),
}
REQUIRED: Final = ("v", "status", "grant_type", "provider", "gen", "epoch")
TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "S": (
        "provider", "client_id", "status_cause", "token_type", "account", "label", "description", "commit_id",
        "consent_id", "lease_owner", "last_error",
    ),
    "N": (
        "gen", "epoch", "created_at", "refreshed_at", "expires_at", "due_at", "grant_expires_at", "warned_at",
        "next_try_at", "lease_until", "pend_gen", "pend_at", "failures",
    ),
    "B": ("access_token", "grant"),
    "M": ("metadata", "variables"),
}  # fmt: skip
_TYPE_OF: Final = {name: kind for kind, names in TYPES.items() for name in names}
_STRANGE: Final[Mapping[str, tuple[Value, ...]]] = {
    "v": ({"N": "0"}, {"N": "2"}, {"N": "99"}, {"S": "1"}, {"NULL": True}),
    "status": ({"S": "paused"}, {"S": ""}, {"N": "1"}, {"S": "ACTIVE"}),
    "grant_type": ({"S": "device_code"}, {"N": "1"}),
    "gen": ({"S": "1"}, {"NULL": True}, {"B": b"1"}, {"N": "0"}, {"N": "-1"}, {"N": "9" * 38}),
    "failures": ({"N": "-1"}, {"N": "9" * 38}),
}


def is_understood(item: Item) -> bool:
    """Whether this version wrote, or could have written, all that it reads of a record."""
    if item.get("v") != {"N": str(RECORD_VERSION)} or not all(name in item for name in REQUIRED):
        return False
    if item["status"].get("S") not in set(Status) or item["grant_type"].get("S") not in set(Grant):
        return False
    scopes = item.get("scopes", {"L": []}).get("L")
    if scopes is None or not all("S" in each for each in scopes):
        return False
    if not all(kind in item[name] for name, kind in _TYPE_OF.items() if name in item):
        return False
    numbers = {name: int(item[name]["N"]) for name, kind in _TYPE_OF.items() if kind == "N" and name in item}
    return all((name == "gen") <= number < 2**53 for name, number in numbers.items())


def _named(names: Sequence[str]) -> st.SearchStrategy[dict[str, Value]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=3)


def _one_of(choices: Mapping[str, tuple[Value, ...]], least: int = 0) -> st.SearchStrategy[dict[str, Value]]:
    pairs = [(name, value) for name, some in choices.items() for value in some]
    return st.lists(st.sampled_from(pairs), min_size=least, max_size=1).map(dict)


older_or_newer: st.SearchStrategy[Changed] = st.builds(
    lambda gone, unread, newer, known: Changed(tuple(gone), {**unread, **newer, **known}),
    st.lists(st.sampled_from(OPTIONAL), max_size=3, unique=True),
    _named(UNREAD),
    _named(NEWER),
    _one_of(KNOWN),
)
mistaken: st.SearchStrategy[Changed] = st.one_of(
    st.builds(Changed, st.sampled_from(REQUIRED).map(lambda name: (name,)), _named(NEWER)),
    st.builds(lambda strange: Changed((), strange), _one_of(_STRANGE, 1)),
    st.builds(lambda odd: Changed((), odd), _named((*_TYPE_OF, "scopes"))),
)
changes = answers.mostly(older_or_newer, mistaken)


class _Sent:
    """`ports.RefreshQueue`: what the dispatcher sent."""

    def __init__(self) -> None:
        self.hints: list[RefreshHint] = []

    def send(self, hints: Sequence[tuple[RefreshHint, int]]) -> Sequence[RefreshHint]:
        self.hints += [each for each, _ in hints]
        return [each for each, _ in hints]


def placed(changed: Changed) -> MemoryVault:
    """Return a vault in which one of two due records is changed so."""
    vault = peopled()
    vault.put(changed.of(vault.item(ODD)))
    return vault


def dispatched(vault: MemoryVault) -> list[ConnectionKey]:
    """Run the dispatcher once, and put the records back as they were before it."""
    before = {key: vault.item(key) for key in (ODD, MATE)}
    queue, vault.clock.remaining = _Sent(), 50.0
    sweep = Dispatch(
        clock=vault.clock,
        index=vault.connections,
        queue=queue,
        rates=vault.deployment.health,
        limits=dict,
        shards=SHARDS,
    )
    with overheard() as heard:
        sweep()
    assert MARK not in heard()
    for key, item in before.items():
        marked = {name: value for name, value in vault.item(key).items() if name != "enqueued_until"}
        assert marked == {name: value for name, value in item.items() if name != "enqueued_until"}
        vault.put(item)
    return [each.key for each in queue.hints]


def outcome_for(vault: MemoryVault, key: ConnectionKey) -> str:
    """Deliver a hint, together with one for another connection; return what the engine says about `key`."""
    message = {"Records": batch((json.dumps(hint(key)), json.dumps(hint(MATE))))["Records"]}
    with batches_in_turn(), overheard() as heard:
        vault.clock.remaining = 45.0
        answer = work(message, vault.engine())
    assert MARK not in heard()
    lines = [json.loads(line) for line in heard().splitlines() if line.startswith('{"level"')]
    told = [line["outcome"] for line in lines if line["message"] == "refresh" and line["connection"] == key.sort_key]
    assert answer == {"batchItemFailures": []}, told
    return str(told[0])


def check_record(changed: Changed) -> list[str]:
    """It is refreshed, erased, left alone, or not understood: then nobody asks or writes, and nobody else waits."""
    vault = placed(changed)
    before, fresh = vault.item(ODD), vault.row(FRESH)
    understood = is_understood(before)
    assert MATE in dispatched(vault)
    outcome = outcome_for(vault, ODD)
    assert outcome != Outcome.UNFORESEEN
    assert (outcome == Outcome.UNREADABLE) == (not understood)
    assert vault.row(FRESH) == fresh
    assert vault.row(MATE)["gen"] == 2
    is_erased = outcome in {Outcome.ERASED, Outcome.ERASED_UNREVOKED}
    with overheard() as heard:
        assert len(vault.connections.of_tenant(ODD.tenant)) == 1 + (understood and not is_erased)
    assert MARK not in heard()
    if is_erased:
        assert from_item(before)["status"] == Status.DELETING
        assert vault.connections.read(ODD) is None
        return [outcome]
    after = vault.item(ODD)
    _check_read(vault)
    if outcome == Outcome.REFRESHED:
        _check_refreshed(vault, before, after)
        return [outcome]
    assert len(vault.answering.requests) == 1  # the mate's
    assert {name: after.get(name) for name in _KEPT} == {name: before.get(name) for name in _KEPT}
    if not understood:
        assert after == before
    return [outcome]


def _check_refreshed(vault: MemoryVault, before: Item, after: Item) -> None:
    """The tokens are new, and what this version does not know is as it was."""
    assert int(after["gen"]["N"]) == int(before["gen"]["N"]) + 1
    assert {name: after.get(name) for name in NEWER} == {name: before.get(name) for name in NEWER}
    assert vault.opened(from_item(after), ODD)[0] == f"{MARK}0aZ-access-new"
    check_silence("", from_item({name: value for name, value in after.items() if name not in {*UNREAD, *NEWER}}))


def _check_read(vault: MemoryVault) -> None:
    """A reader gets a record, or an operator's error; never something else."""
    told = ""
    try:
        Record.of(vault.row(ODD)).servable(vault.clock.now())
    except OperatorMustAct as error:
        told = f"{error!r} {error.detail}"
    assert MARK not in told
