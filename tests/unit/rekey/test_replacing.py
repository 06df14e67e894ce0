"""What other keys sealed is sealed anew: once each, by the fewest calls, whoever else writes and whatever fails."""

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import boto3
import pytest

from consentry.aws.changes import change_of
from consentry.aws.dynamodb import to_item
from consentry.aws.keys import KmsEnvelopes
from consentry.aws.sealed import DynamoFlows, DynamoRows
from consentry.errors import ConsentryError, InvalidRequest, TryLater, UnreadableRecord
from consentry.events.derive import events_of
from consentry.model import Field, Secret
from consentry.ports import StorageUnavailable
from consentry.rekey import operate
from consentry.rekey.operate import STOP_SECONDS, Rekey, answered
from consentry.rekey.replace import TRIES, KeyDoesNotOpen, Replace
from tests.support.clock import FakeClock
from tests.support.escrow import FakeEscrow
from tests.support.fixtures import log_lines
from tests.support.logs import Log
from tests.support.tables import AWS_ENVIRONMENT, REGION, TableClient, aws, create_tables, unavailable

__all__ = ["log_lines"]

NOW = 1_800_000_000
TOKEN, GRANT = "CNRY-access", '{"refresh_token": "CNRY-refresh"}'
FIELDS = {Field.ACCESS_TOKEN: TOKEN, Field.GRANT: GRANT}
WRITE = {"operation": "replace", "dry_run": False}
LOOK = {"operation": "replace", "dry_run": True}
CLEAR = {"escrow": False, "flows": 0, "until": None}


class Vaulted:
    """Tables and two pairs of keys in moto; `calls` are those of KMS, `dynamo.calls` those of the table."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - boto3's client
        self.names = create_tables(client, "rekey")
        self.dynamo = TableClient(client)
        self.kms = boto3.client("kms", region_name=REGION)
        self.arns = [self.kms.create_key()["KeyMetadata"]["Arn"] for _ in range(4)]
        self.calls: list[str] = []
        self.kms.meta.events.register("provide-client-params.kms.*", lambda model, **_: self.calls.append(model.name))
        self.old, self.new = (KmsEnvelopes(self.kms, keys=self._pair(at), randomness=os.urandom) for at in (0, 2))
        self.both = KmsEnvelopes(self.kms, keys=self._pair(2), others=self._pair(0), randomness=os.urandom)
        self.clock, self.escrow = FakeClock(NOW, 55), FakeEscrow()
        self.table = self.names["ConnectionsTable"]

    def _pair(self, at: int) -> dict[Field, str]:
        access, grant = self.arns[at : at + 2]
        return {Field.ACCESS_TOKEN: access, Field.GRANT: grant, Field.FLOW: grant}

    @property
    def rekey(self) -> Rekey:
        """Return what one process has."""
        rows = DynamoRows(self.dynamo.as_client, self.table)
        return Rekey(
            clock=self.clock,
            rows=rows,
            flows=DynamoFlows(self.dynamo.as_client, self.names["PendingTable"]),
            escrow=self.escrow,
            envelopes=self.both,
            replace=Replace(rows=rows, envelopes=self.both),
        )

    def seal(self, what: Field, envelopes: KmsEnvelopes | None = None, name: str = "0", text: str = "") -> bytes:
        context = {"tenant": "acme", "connection": f"crm#{name}", "field": what.value}
        return (envelopes or self.old).sealing_key(context).seal(Secret(text or FIELDS.get(what, "CNRY-flow")))

    def store(self, name: str = "0", envelopes: KmsEnvelopes | None = None, **attributes: object) -> dict[str, Any]:
        """Put a whole record there, sealed under the old keys unless told otherwise."""
        sealed = {what.value: self.seal(what, envelopes, name) for what in FIELDS}
        row = {
            "tenant": "acme", "connection": f"crm#{name}", "v": 1, "gen": 3, "epoch": 1, "status": "active",
            "provider": "crm", "grant_type": "authorization_code", "commit_id": "c", "lease_owner": "w",
            "lease_until": NOW + 9, "pend_gen": 3, "due_at": NOW + 600, "due_shard": 1, **sealed, **attributes,
        }  # fmt: skip
        item = to_item({key: value for key, value in row.items() if value is not None})
        self.dynamo.client.put_item(TableName=self.table, Item=item)
        self.forget()
        return item

    def change(self, attributes: dict[str, object]) -> None:
        item = {**self.row(), **to_item(attributes)}
        self.dynamo.client.put_item(TableName=self.table, Item=item)

    def row(self, name: str = "0") -> dict[str, Any]:
        key = to_item({"tenant": "acme", "connection": f"crm#{name}"})
        return dict(self.dynamo.client.get_item(TableName=self.table, Key=key).get("Item", {}))

    def opened(self, envelopes: KmsEnvelopes, name: str = "0") -> dict[Field, str]:
        row = self.row(name)
        context = {"tenant": "acme", "connection": f"crm#{name}"}
        return {
            what: envelopes.open(bytes(row[what.value]["B"]), {**context, "field": what.value}).reveal()
            for what in FIELDS
            if what.value in row
        }

    def forget(self) -> None:
        self.calls.clear()
        self.dynamo.calls.clear()

    def until_the_end(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        rekey = self.rekey
        answers: list[dict[str, Any]] = []
        while not answers or answers[-1]["next"]:
            answers.append(rekey(event | ({"next": answers[-1]["next"]} if answers else {})))
        return answers


@pytest.fixture
def vaulted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vaulted]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with aws() as client:
        yield Vaulted(client)


def told(answer: dict[str, Any]) -> dict[str, int]:
    return {name: answer[name] for name in ("replaced", "already", "raced", "left") if answer[name]}


def test_both_ciphertexts_are_under_the_new_keys_and_nothing_else_of_the_record_changed(vaulted: Vaulted) -> None:
    before = vaulted.store()
    answer = vaulted.rekey(WRITE)
    assert (told(answer), answer["seen"], answer["unreadable"]) == ({"replaced": 1}, 1, [])
    assert (answer["next"], answer["waiting"]) == (None, CLEAR)
    assert vaulted.opened(vaulted.new) == FIELDS
    after = vaulted.row()
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {"access_token", "grant"}


def test_nobody_is_told_of_an_event(vaulted: Vaulted) -> None:
    before = vaulted.store()
    vaulted.rekey(WRITE)
    stream = {
        "SequenceNumber": "1", "ApproximateCreationDateTime": NOW, "OldImage": before, "NewImage": vaulted.row(),
        "Keys": {name: before[name] for name in ("tenant", "connection")},
    }  # fmt: skip
    change = change_of({"eventID": "1", "eventName": "MODIFY", "dynamodb": stream})
    assert change is not None
    assert events_of(change) == []


def test_a_ciphertext_costs_two_uses_of_keys_and_a_record_one_write(vaulted: Vaulted) -> None:
    for name in "0123":
        vaulted.store(name)
    vaulted.rekey(WRITE)
    opened_again = 2  # the first of each field in a process
    assert Counter(vaulted.calls) == {"Decrypt": 8 + opened_again, "GenerateDataKey": 8}
    assert Counter(vaulted.dynamo.calls) == {"scan": 2, "update_item": 4}  # connections, sessions


def test_said_again_it_reads_a_page_and_touches_nothing(vaulted: Vaulted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "PAGE", 2)
    for name in "01234":
        vaulted.store(name)
    vaulted.until_the_end(WRITE)
    rows = [vaulted.row(name) for name in "01234"]
    vaulted.forget()
    assert told(vaulted.rekey(WRITE)) == {"already": 5}
    assert vaulted.calls == []
    assert Counter(vaulted.dynamo.calls) == {"scan": 4}  # three pages of connections, one of sessions
    assert [vaulted.row(name) for name in "01234"] == rows


def test_a_record_of_which_one_half_is_replaced_is_half_the_work(vaulted: Vaulted) -> None:
    vaulted.store(grant=vaulted.seal(Field.GRANT, vaulted.new))
    vaulted.forget()
    assert told(vaulted.rekey(WRITE)) == {"replaced": 1}
    assert Counter(vaulted.calls) == {"Decrypt": 2, "GenerateDataKey": 1}


def test_a_look_counts_and_asks_no_key(vaulted: Vaulted) -> None:
    before = vaulted.store()
    vaulted.store("1", vaulted.new)
    assert told(vaulted.rekey(LOOK)) == {"left": 1, "already": 1}
    assert (vaulted.calls, vaulted.row()) == ([], before)


def once(vaulted: Vaulted, operation: str, act: Callable[[], object], *, after: bool = False) -> None:
    """Let something happen before (or after) the first call of an operation; what it raises is the call's failure."""
    turns = itertools.count()

    def meanwhile(called: str) -> None:
        if called == operation and next(turns) == 0:
            act()

    setattr(vaulted.dynamo, "after" if after else "before", meanwhile)


def fail(operation: str) -> None:
    raise unavailable(operation)


def test_a_refresh_that_is_faster_wins(vaulted: Vaulted) -> None:
    vaulted.store()
    new = {what.value: vaulted.seal(what, vaulted.new, text=f"CNRY-newer-{what}") for what in FIELDS}
    once(vaulted, "update_item", lambda: vaulted.change({"gen": 4, **new}))
    assert told(vaulted.rekey(WRITE)) == {"raced": 1}
    assert set(vaulted.opened(vaulted.new).values()) == {f"CNRY-newer-{what}" for what in FIELDS}


def test_a_disconnect_that_is_faster_leaves_the_grant_to_be_replaced(vaulted: Vaulted) -> None:
    vaulted.store()
    key = to_item({"tenant": "acme", "connection": "crm#0"})
    end = {"TableName": vaulted.table, "Key": key, "UpdateExpression": "REMOVE access_token"}
    once(vaulted, "update_item", lambda: vaulted.dynamo.client.update_item(**cast("Any", end)))
    assert told(vaulted.rekey(WRITE)) == {"replaced": 1}
    assert vaulted.opened(vaulted.new) == {Field.GRANT: GRANT}


def test_a_record_that_is_erased_meanwhile_stays_erased(vaulted: Vaulted) -> None:
    vaulted.store()
    key = to_item({"tenant": "acme", "connection": "crm#0"})
    once(vaulted, "update_item", lambda: vaulted.dynamo.client.delete_item(TableName=vaulted.table, Key=key))
    assert told(vaulted.rekey(WRITE)) == {"raced": 1}
    assert vaulted.row() == {}


def test_a_write_whose_answer_was_lost_is_found_to_stand(vaulted: Vaulted) -> None:
    vaulted.store()
    once(vaulted, "update_item", lambda: fail("UpdateItem"), after=True)
    assert told(vaulted.rekey(WRITE)) == {"replaced": 1}
    assert Counter(vaulted.calls)["GenerateDataKey"] == 2
    assert vaulted.opened(vaulted.new) == FIELDS


def test_a_write_that_failed_is_made_again_with_the_same_ciphertexts(vaulted: Vaulted) -> None:
    vaulted.store()
    once(vaulted, "update_item", lambda: fail("UpdateItem"))
    assert told(vaulted.rekey(WRITE)) == {"replaced": 1}
    assert Counter(vaulted.calls)["GenerateDataKey"] == 2


def test_a_record_that_is_always_written_by_others_is_left_and_counted(vaulted: Vaulted) -> None:
    vaulted.store()

    def always(called: str) -> None:
        if called == "update_item":
            vaulted.change({"grant": vaulted.seal(Field.GRANT)})

    vaulted.dynamo.before = always
    assert told(vaulted.rekey(WRITE)) == {"left": 1}
    assert Counter(vaulted.dynamo.calls)["update_item"] == TRIES


def test_what_does_not_open_is_named_and_stops_nothing(vaulted: Vaulted, log_lines: Log) -> None:
    vaulted.store("0", grant=vaulted.seal(Field.GRANT, name="elsewhere"))
    vaulted.store("1", access_token=b"CNRY-nonsense")
    vaulted.store("2", v=2)
    vaulted.store("3", grant="CNRY-text")
    vaulted.store("4")
    answer = vaulted.rekey(WRITE)
    assert told(answer) == {"replaced": 1}
    assert {each["connection"]: each["why"] for each in answer["unreadable"]} == {
        "crm#0": "grant: sealed for another context",
        "crm#1": "access_token: another version or suite",
        "crm#2": "record of version 2, this code knows 1",
        "crm#3": "grant is not binary",
    }
    assert vaulted.opened(vaulted.new, "4") == FIELDS
    assert vaulted.new.is_current(bytes(vaulted.row("0")["access_token"]["B"]), Field.ACCESS_TOKEN)
    assert len(log_lines.named("record not readable, its key stays")) == 4
    assert "CNRY" not in json.dumps(answer) + log_lines.text


def test_a_key_that_seals_and_does_not_open_gets_nothing(vaulted: Vaulted, monkeypatch: pytest.MonkeyPatch) -> None:
    before = vaulted.store()
    opening = KmsEnvelopes.open

    def only_the_old(self: KmsEnvelopes, ciphertext: bytes, context: Any) -> Secret:  # noqa: ANN401 - the port's
        if self.is_current(ciphertext, Field(context["field"])):
            raise StorageUnavailable("no", detail="kms:Decrypt: AccessDeniedException")
        return opening(self, ciphertext, context)

    monkeypatch.setattr(KmsEnvelopes, "open", only_the_old)
    with pytest.raises(KeyDoesNotOpen, match=r"kms:Decrypt") as caught:
        vaulted.rekey(WRITE)
    assert caught.value.detail == "kms:Decrypt: AccessDeniedException"
    assert vaulted.row() == before


def test_a_key_that_opens_to_something_else_gets_nothing(vaulted: Vaulted, monkeypatch: pytest.MonkeyPatch) -> None:
    before = vaulted.store()
    answers = itertools.count()
    monkeypatch.setattr(KmsEnvelopes, "open", lambda *_: Secret(f"CNRY-{next(answers)}"))
    with pytest.raises(KeyDoesNotOpen):
        vaulted.rekey(WRITE)
    assert vaulted.row() == before


def test_a_key_that_does_not_answer_stops_and_the_same_event_goes_on(
    vaulted: Vaulted, monkeypatch: pytest.MonkeyPatch, log_lines: Log
) -> None:
    vaulted.store()

    def disabled(*_: object) -> Secret:
        raise StorageUnavailable("A key did not answer.", detail="kms:Decrypt: DisabledException")

    with monkeypatch.context() as outage:
        outage.setattr(KmsEnvelopes, "open", disabled)
        answer = answered(WRITE, lambda: vaulted.rekey)
    assert answer == {"error": "storage_unavailable", "message": "A key did not answer."}
    assert log_lines.named("keys not replaced")[0]["detail"] == "kms:Decrypt: DisabledException"
    assert told(vaulted.rekey(WRITE)) == {"replaced": 1}


def test_it_stops_in_time_and_goes_on_where_it_was(vaulted: Vaulted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "PAGE", 2)
    monkeypatch.setattr(operate, "AT_ONCE", 1)
    for name in "01234":
        vaulted.store(name)

    def slowly(called: str) -> None:
        if called == "update_item":
            vaulted.clock.remaining -= 20

    vaulted.dynamo.before = slowly
    answers: list[dict[str, Any]] = []
    place = None
    while not answers or place:
        vaulted.clock.remaining = STOP_SECONDS + 30
        answers.append(vaulted.rekey({**WRITE, "next": place}))
        place = answers[-1]["next"]
    assert [each["replaced"] for each in answers] == [2, 2, 1]
    assert [each["waiting"] for each in answers] == [None, None, CLEAR]
    assert [vaulted.opened(vaulted.new, name) for name in "01234"] == [FIELDS] * 5


def test_without_time_for_anything_it_says_so(vaulted: Vaulted) -> None:
    vaulted.clock.remaining = STOP_SECONDS - 1
    with pytest.raises(TryLater):
        vaulted.rekey(WRITE)


def test_there_is_an_end_to_how_many_are_named(vaulted: Vaulted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "MOST_NAMED", 2)
    monkeypatch.setattr(operate, "AT_ONCE", 1)
    for name in "012":
        vaulted.store(name, v=2)
    answers = vaulted.until_the_end(WRITE)
    assert [len(each["unreadable"]) for each in answers] == [2, 1]


def test_what_waits_in_escrow_and_consents_under_way_are_told_at_the_end(vaulted: Vaulted) -> None:
    flows = (
        {"id": "flow#1#crm", "expires_at": NOW + 60, "verifier": vaulted.seal(Field.FLOW)},
        {"id": "flow#2#crm", "expires_at": NOW - 1, "parked_until": NOW + 30, "code": vaulted.seal(Field.FLOW)},
        {"id": "flow#3#crm", "expires_at": NOW + 60, "verifier": vaulted.seal(Field.FLOW, vaulted.new)},
        {"id": "flow#4#crm", "expires_at": NOW - 1, "verifier": vaulted.seal(Field.FLOW)},
        {"id": "flow#5#crm", "expires_at": NOW + 60, "verifier": b"nonsense"},
        {"id": "session#1", "ttl": NOW + 60},
    )
    for each in flows:
        vaulted.dynamo.client.put_item(TableName=vaulted.names["PendingTable"], Item=to_item(each))
    vaulted.escrow.messages.append("x")
    assert vaulted.rekey(LOOK)["waiting"] == {"escrow": True, "flows": 2, "until": NOW + 60}


@pytest.mark.parametrize(
    "event",
    [
        None, {}, {"operation": "rekey"}, {"operation": "replace"}, {**WRITE, "dry_run": "no"}, {**WRITE, "all": True},
        {**WRITE, "next": "x"}, {**WRITE, "next": ["acme"]}, {**WRITE, "next": ["acme", 1]},
        {**WRITE, "next": ["acme", ""]}, {**WRITE, "next": ["acme", "c" * 999]},
    ],
)  # fmt: skip
def test_a_mistake_in_the_event_is_one_clear_sentence(vaulted: Vaulted, log_lines: Log, event: object) -> None:
    with pytest.raises(InvalidRequest):
        vaulted.rekey(event)
    answer = answered(event, lambda: vaulted.rekey)
    assert set(answer) == {"error", "message"}
    assert (vaulted.calls, vaulted.dynamo.calls) == ([], [])


@pytest.mark.parametrize("others", [{}, {Field.GRANT: "grant"}])
def test_a_second_key_is_opened_only_where_it_is_named(vaulted: Vaulted, others: dict[Field, str]) -> None:
    named = dict.fromkeys(others, vaulted.arns[1])
    envelopes = KmsEnvelopes(vaulted.kms, keys=vaulted._pair(2), others=named, randomness=os.urandom)
    for what, text in FIELDS.items():
        context = {"tenant": "acme", "connection": "crm#0", "field": what.value}
        if what in others:
            assert envelopes.open(vaulted.seal(what), context).reveal() == text
        else:
            with pytest.raises(UnreadableRecord, match="does not open"):
                envelopes.open(vaulted.seal(what), context)


def test_a_second_key_must_be_named_by_its_arn(vaulted: Vaulted) -> None:
    with pytest.raises(ConsentryError, match="for grant must be the ARN"):
        KmsEnvelopes(vaulted.kms, keys={}, others={Field.GRANT: "alias/grant"}, randomness=os.urandom)
