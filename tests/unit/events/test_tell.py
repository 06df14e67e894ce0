"""Ten events to a call, until all are taken or time is up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from consentry.events.change import Event
from consentry.events.tell import LEAVING_SECONDS, TellBus
from consentry.ports import StorageUnavailable
from tests.support.clock import FakeClock
from tests.support.logs import Log

EVENTS = [Event(kind="connection.connected", at=1, detail={"id": str(number)}) for number in range(25)]


@dataclass
class FakeBus:
    """Takes what `refuses` lets it take; remembers what was put."""

    refuses: Callable[[Event], str] = lambda _: ""
    calls: list[list[str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def put(self, events: Sequence[Event]) -> Sequence[tuple[Event, str]]:
        self.calls.append([str(event.detail["id"]) for event in events])
        refused = [(event, code) for event in events if (code := self.refuses(event))]
        self.taken += [str(event.detail["id"]) for event in events if event not in [each for each, _ in refused]]
        return refused


@dataclass
class SilentBus(FakeBus):
    """Does not answer the first few calls."""

    silent: int = 1

    def put(self, events: Sequence[Event]) -> Sequence[tuple[Event, str]]:
        if len(self.calls) < self.silent:
            self.calls.append([])
            raise StorageUnavailable("nobody knows", detail="put events: ReadTimeoutError")
        return super().put(events)


def ids(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_nothing_to_tell_asks_nobody() -> None:
    bus = FakeBus()
    assert TellBus(clock=FakeClock(), bus=bus)([]) == 0
    assert bus.calls == []


def test_ten_go_in_a_call_in_their_order() -> None:
    bus = FakeBus()
    assert TellBus(clock=FakeClock(), bus=bus)(EVENTS) == 25
    assert [len(call) for call in bus.calls] == [10, 10, 5]
    assert bus.taken == ids(25)


def test_only_what_was_refused_is_put_again() -> None:
    times = iter(["ThrottlingException", ""])
    bus = FakeBus(lambda event: next(times) if event.detail["id"] == "3" else "")
    assert TellBus(clock=FakeClock(), bus=bus)(EVENTS[:5]) == 5
    assert bus.calls == [ids(5), ["3"]]


def test_what_was_not_answered_is_put_again_whole() -> None:
    bus = SilentBus(silent=3)
    assert TellBus(clock=FakeClock(), bus=bus)(EVENTS[:2]) == 2
    assert bus.taken == ids(2)


def test_when_time_is_up_the_first_that_was_not_taken_is_told_and_nothing_after_it_is_tried(log_lines: Log) -> None:
    clock = FakeClock()
    bus = FakeBus(lambda event: "InternalFailure" if event.detail["id"] in {"13", "17"} else "")
    assert TellBus(clock=clock, bus=bus)(EVENTS) == 13
    assert [call for call in bus.calls if "20" in call] == []
    assert clock.remaining_seconds() >= LEAVING_SECONDS
    (line,) = log_lines.named("events not taken")
    assert (line["code"], line["count"], line["level"]) == ("InternalFailure", 2, "ERROR")


def test_a_bus_that_stays_silent_is_given_up_in_time(log_lines: Log) -> None:
    clock = FakeClock()
    assert TellBus(clock=clock, bus=SilentBus(silent=10_000))(EVENTS) == 0
    assert clock.remaining_seconds() >= LEAVING_SECONDS
    assert log_lines.named("events not taken")[0]["code"] == "put events: ReadTimeoutError"


@pytest.mark.parametrize("left", [0.0, 3.0])
def test_without_time_one_try_is_made_all_the_same(left: float) -> None:
    bus = FakeBus(lambda _: "InternalFailure")
    assert TellBus(clock=FakeClock(remaining=left), bus=bus)(EVENTS[:1]) == 0
    assert len(bus.calls) == 1
