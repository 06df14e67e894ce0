"""The local stack's event bus: what it takes, what it keeps, and whom it calls."""

import json
import threading
from typing import Any

import pytest

from dev import bus as bus_module
from dev.bus import Bus, NotTaken, Rule
from dev.runtime import Answer

PATTERN = {"source": ["consentry.x"], "detail-type": [{"prefix": "connection."}]}
ENTRY = {
    "Source": "consentry.x",
    "DetailType": "connection.connected",
    "Detail": '{"tenant": "acme"}',
    "Time": 1795320000,
}


class FakeFunctions:
    def __init__(self) -> None:
        self.called: list[tuple[str, Any]] = []
        self._changed = threading.Condition()

    def invoke(self, function: str, payload: bytes) -> Answer:
        with self._changed:
            self.called.append((function, json.loads(payload)))
            self._changed.notify_all()
        return Answer(b"{}")

    def wait_for(self, calls: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.called) >= calls, 20)


@pytest.fixture
def functions() -> FakeFunctions:
    return FakeFunctions()


@pytest.fixture
def bus(functions: FakeFunctions) -> Bus:
    stand_in: Any = functions
    rules = [Rule("Ours", "default", PATTERN, ["notify", "second"]), Rule("Elsewhere", "own", PATTERN, ["never"])]
    return Bus(rules, stand_in)


def test_an_event_reaches_the_targets_of_the_rules_that_match_it(bus: Bus, functions: FakeFunctions) -> None:
    answer = bus.put({"Entries": [ENTRY, {**ENTRY, "DetailType": "integration.held"}]})
    assert (answer["FailedEntryCount"], len(answer["Entries"])) == (0, 2)
    functions.wait_for(2)
    assert [function for function, _ in functions.called] == ["notify", "second"]
    event = functions.called[0][1]
    assert (event["source"], event["detail-type"], event["detail"]) == (
        "consentry.x",
        ENTRY["DetailType"],
        {"tenant": "acme"},
    )
    assert event["time"] == "2026-11-22T04:00:00Z"
    assert event["id"] == answer["Entries"][0]["EventId"]


def test_the_latest_are_kept_in_their_order(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bus.recent() == []
    for number in range(3):
        bus.put({"Entries": [{**ENTRY, "Detail": json.dumps({"n": number})}]})
    assert [event["detail"]["n"] for event in bus.recent()] == [0, 1, 2]


@pytest.mark.parametrize(
    "entries", [[], [ENTRY] * 11, [{**ENTRY, "Detail": json.dumps("x" * 30_000)}] * 9], ids=["none", "eleven", "large"]
)
def test_what_eventbridge_would_not_take_is_not_taken(bus: Bus, entries: list[dict[str, Any]]) -> None:
    with pytest.raises(NotTaken):
        bus.put({"Entries": entries})
    status, body = bus.answer(json.dumps({"Entries": entries}).encode())
    assert (status, json.loads(body)["__type"]) == (400, "ValidationException")
    assert bus.recent() == []


def test_an_entry_without_a_time_is_of_now(bus: Bus) -> None:
    status, _ = bus.answer(json.dumps({"Entries": [{**ENTRY, "Time": None}]}).encode())
    assert status == 200
    assert bus.recent()[0]["time"] > "2026"


def test_only_so_many_are_kept(functions: FakeFunctions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "KEPT", 2)
    stand_in: Any = functions
    small = Bus([], stand_in)
    for number in range(4):
        small.put({"Entries": [{**ENTRY, "Detail": json.dumps({"n": number})}]})
    assert [event["detail"]["n"] for event in small.recent()] == [2, 3]
