"""The witness: an emulator that stands still is seen while it does, and afterwards."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.witness import STALL_SECONDS, Witness


class Emulator:
    """Answers at once, until it is told to stand still."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> None:
        self.asked.set()
        assert self.answers.wait(30)


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def witness(emulator: Emulator) -> Iterator[Witness]:
    witness = Witness(emulator)
    witness.start()
    yield witness
    emulator.answers.set()
    witness.stop()


def test_an_emulator_that_answers_has_not_stood_still(emulator: Emulator, witness: Witness) -> None:
    assert emulator.asked.wait(10)
    assert not witness.saw(0, time.time())


def test_a_silence_is_seen_while_it_lasts_and_afterwards(emulator: Emulator, witness: Witness) -> None:
    before = time.time()
    emulator.answers.clear()
    emulator.asked.clear()
    assert emulator.asked.wait(10)
    assert not emulator.answers.wait(STALL_SECONDS)
    during = time.time()
    assert witness.saw(before, during)
    emulator.answers.set()
    emulator.asked.clear()
    assert emulator.asked.wait(10)
    assert len(witness.stalls) == 1
    assert witness.saw(before, during)
    assert not witness.saw(before - 60, before - 1)
