"""Which change comes to which events; each of them as docs/events.schema.json describes it."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from consentry.aws.changes import change_of
from consentry.events import derive
from consentry.events.change import Event
from consentry.events.derive import events_of
from consentry.events.tell import TOGETHER
from consentry.model import Cause
from tests.support.streams import NOW, SCHEMA, enveloped, health, misfits, row, schema, stream_record

KINDS = {value for name, value in vars(derive).items() if name.isupper() and isinstance(value, str)}
FLAGGED = {"status": "reauth_required", "status_cause": "grant_revoked"}
INSUFFICIENT = {"status": "scope_insufficient", "status_cause": "scope_missing"}
OPENED = {"open_until": NOW + 30, "opened": 1}

type Row = Mapping[str, object]


def told(before: Row | None, after: Row | None, *, at: int = NOW) -> list[Event]:
    change = change_of(stream_record(before, after, at=at))
    return list(events_of(change)) if change else []


def only(before: Row | None, after: Row | None) -> Mapping[str, Any]:
    (event,) = told(before, after)
    return event.detail


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (None, row(gen=1), ["connection.connected"]),
        (row(), row(gen=4, consent_id="consent-2"), ["connection.connected"]),
        (row(consent_id=None), row(), ["connection.connected"]),
        (row(), row(**FLAGGED), ["connection.reauth_required"]),
        (row(**FLAGGED), row(gen=4), ["connection.recovered"]),
        (row(**FLAGGED), row(gen=4, consent_id="consent-2"), ["connection.connected", "connection.recovered"]),
        (row(**INSUFFICIENT), row(gen=4, consent_id="c2"), ["connection.connected", "connection.recovered"]),
        (None, row(**INSUFFICIENT), ["connection.connected", "connection.scope_reduced"]),
        (row(), row(**INSUFFICIENT), ["connection.scope_reduced"]),
        (
            row(**INSUFFICIENT),
            row(**INSUFFICIENT, consent_id="consent-2"),
            ["connection.connected", "connection.scope_reduced"],
        ),
        (row(), row(gen=4, warned_at=NOW, grant_expires_at=NOW + 99), ["connection.expiring_soon"]),
        (row(), row(lost_scopes=["tickets"]), ["connection.scope_reduced"]),
        (row(lost_scopes=["a"]), row(lost_scopes=["a", "b"]), ["connection.scope_reduced"]),
        (row(status="deleting"), None, ["connection.disconnected"]),
        (row(), None, ["connection.disconnected"]),
        (health(), health(**OPENED), ["integration.failing"]),
        (None, health(**OPENED), ["integration.failing"]),
        (health(**OPENED), health(**OPENED, recovered_at=NOW + 31), ["integration.recovered"]),
        (
            health(**OPENED, recovered_at=NOW + 31),
            health(open_until=NOW + 99, opened=2, recovered_at=NOW + 31),
            ["integration.failing"],
        ),
        (None, health(hold_until=NOW + 86_400), ["integration.held"]),
        (health(hold_until=NOW), health(hold_until=NOW + 86_400), ["integration.held"]),
    ],
)  # fmt: skip
def test_what_others_have_to_know_becomes_an_event(before: Row | None, after: Row | None, kinds: list[str]) -> None:
    events = told(before, after)
    assert [event.kind for event in events] == kinds
    assert [misfits(enveloped(event)) for event in events] == [[]] * len(events)
    assert {event.at for event in events} == {NOW}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (row(), row()),
        (row(), row(lease_owner="w", lease_until=NOW + 60, pend_gen=3, pend_at=NOW)),
        (row(enqueued_until=1), row(gen=4, access_token=b"CNRY-other", grant=b"CNRY-next")),
        (row(), row(epoch=2)),
        (row(**FLAGGED), row(**FLAGGED, last_error="x")),
        (row(**INSUFFICIENT), row(**INSUFFICIENT, gen=4)),
        (row(**INSUFFICIENT), row(**FLAGGED, consent_id=None) | {"status": "deleting"} | {"consent_id": "consent-1"}),
        (row(), row(status="deleting", deleting_since=NOW)),
        (row(**FLAGGED), row(status="deleting", deleting_since=NOW)),
        (row(status="deleting"), row(status="deleting", revoked=True)),
        (row(warned_at=NOW), row(warned_at=NOW, gen=4)),
        (row(warned_at=NOW), row()),
        (row(lost_scopes=["a", "b"]), row(lost_scopes=["a"])),
        (row(lost_scopes=["a"]), row()),
        (health(), health(failed=9)),
        (health(**OPENED), health(open_until=NOW + 60, opened=2)),
        (health(**OPENED), health(**OPENED, paused_until=NOW + 99)),
        (health(), health(paused_until=NOW + 99)),
        (health(hold_until=NOW + 1), health(hold_until=NOW + 86_400)),
        (health(hold_until=NOW + 1), health(released_until=NOW + 99)),
        (health(**OPENED), None),
        (None, {"integration": "crm", "provider": "crm", "client_id": "c"}),
        ({"integration": "crm", "provider": "crm"}, {"integration": "crm", "provider": "crm", "client_id": "c"}),
        ({"integration": "crm", "provider": "crm"}, None),
    ],
)  # fmt: skip
def test_what_goes_on_behind_the_scenes_becomes_none(before: Row | None, after: Row | None) -> None:
    assert told(before, after) == []


def test_an_event_names_the_connection_its_cause_and_its_generation() -> None:
    record = stream_record(row(), row(**FLAGGED))
    change = change_of(record)
    assert change
    (event,) = events_of(change)
    assert event.detail == {
        "version": 1,
        "id": f"{record['eventID']}:connection.reauth_required",
        "at": NOW,
        "sequence": record["dynamodb"]["SequenceNumber"],
        "tenant": "acme",
        "integration": "crm",
        "name": "default",
        "provider": "crm",
        "generation": 3,
        "cause": "grant_revoked",
    }


def test_the_same_change_comes_to_the_same_events_and_two_events_of_one_change_have_two_ids() -> None:
    change = change_of(stream_record(row(**FLAGGED), row(gen=4, consent_id="consent-2")))
    assert change
    assert events_of(change) == events_of(change)
    assert len({event.detail["id"] for event in events_of(change)}) == 2


@pytest.mark.parametrize("revoked", [True, False])
def test_a_disconnection_says_whether_the_provider_confirmed_the_end(revoked: bool) -> None:
    assert only(row(status="deleting", revoked=revoked), None)["revoked"] is revoked


def test_a_row_that_somebody_deleted_by_hand_is_not_called_revoked() -> None:
    assert only(row(), None)["revoked"] is False


def test_a_first_connection_and_a_reconnection_are_told_apart() -> None:
    assert only(None, row())["reconnected"] is False
    assert only(row(), row(consent_id="consent-2"))["reconnected"] is True


def test_what_was_lost_is_named_as_it_stands() -> None:
    assert only(row(lost_scopes=["a"]), row(lost_scopes=["b", "a"]))["lost_scopes"] == ["b", "a"]


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_is_told_while_it_holds_and_not_when_it_is_over(cause: Cause) -> None:
    assert only(row(), row(status="reauth_required", status_cause=cause.value))["cause"] == cause
    assert only(row(status="deleting", status_cause=cause.value), None)["cause"] == ""


def test_nothing_encrypted_and_no_account_is_in_any_event() -> None:
    texts = json.dumps([event.detail for event in told(None, row(**INSUFFICIENT, warned_at=1, lost_scopes=["a"]))])
    assert "CNRY" not in texts


@pytest.mark.parametrize("scope", ["x", "\U0001f600", '"'])
def test_ten_of_the_largest_events_fit_into_one_call(scope: str) -> None:
    widest = row(
        tenant="t" * 63,
        connection=f"{'i' * 63}#{'n' * 63}",
        provider="\U0001f600" * 9_000,
        status="scope_insufficient",
        status_cause="\U0001f600" * 9_000,
        lost_scopes=[f"{number}{scope * 9_000}" for number in range(99)],
    )
    (_, event) = told(None, widest)
    assert event.kind == "connection.scope_reduced"
    assert event.detail["lost_scopes"] != []
    assert TOGETHER * len(json.dumps(event.detail)) < 256 * 1024


def test_the_schema_knows_every_kind_of_event_and_no_other() -> None:
    assert {each["properties"]["detail-type"]["const"] for each in schema()["oneOf"]} == KINDS
    assert len(KINDS) == 9


def test_the_examples_in_the_documents_are_events_as_they_are_described() -> None:
    page = (SCHEMA.parent / "events.md").read_text(encoding="utf-8")
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert len(examples) > 3
    assert [misfits(example) for example in examples] == [[]] * len(examples)
    assert [kind for kind in KINDS if f"| `{kind}` |" not in page] == []


def test_every_member_of_every_event_is_described() -> None:
    described = {name for each in schema()["$defs"].values() for name in each.get("properties", {})}
    events = [
        *told(None, row(**INSUFFICIENT, warned_at=1, lost_scopes=["a"])),
        *told(row(), None),
        *told(None, health(**OPENED, hold_until=NOW + 9)),
    ]
    assert {name for event in events for name in event.detail} <= described
    assert misfits({"source": "consentry.test", "detail-type": "connection.recovered", "detail": {}}) != []
