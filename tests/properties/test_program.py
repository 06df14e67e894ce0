"""The long run: `python -m tests.properties`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.properties.__main__ import main
from tests.properties.many import MACHINE, NAMES, Chunk, chunks, run_chunk
from tests.simulation.mutations import lease_without_intent


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.properties", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_says_in_json_what_was_tried_and_what_came_about() -> None:
    ran = program("--examples", "20", "--seed", "5", "--only", "refreshes", "--only", "records")
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    assert told["examples"] == {"refreshes": 14, "records": 2}
    assert told["broken"] == []
    assert sum(told["counts"]["records"].values()) >= 2
    assert "16 of 16 examples, 0 broken" in ran.stderr


@pytest.mark.parametrize("name", ["exchanges", MACHINE])
def test_the_same_seed_tries_the_same_examples(name: str) -> None:
    first, second, other = (run_chunk(Chunk(name, 15, number))["counts"] for number in (3, 3, 4))
    assert first == second
    assert first != other


def test_what_breaks_is_told_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    lease_without_intent(monkeypatch)
    (broken,) = run_chunk(Chunk(MACHINE, 20, 3, shortens=False))["broken"]
    assert (broken["property"], broken["seed"]) == (MACHINE, 3)
    assert "I-03: a request without its intent" in broken["error"]


@pytest.mark.parametrize(
    ("option", "value", "explained"),
    [("--examples", "0", "at least 1"), ("--seed", "-1", "at least 0"), ("--only", "weather", "invalid choice")],
)
def test_a_mistaken_option_is_explained(
    option: str, value: str, explained: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["properties", option, value])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert explained in capsys.readouterr().err


def test_every_property_has_its_share_and_every_run_a_seed_of_its_own() -> None:
    planned = list(chunks(NAMES, 10_000, 7))
    assert {chunk.name for chunk in planned} == set(NAMES)
    assert len({(chunk.name, chunk.seed) for chunk in planned}) == len(planned)
    assert sum(chunk.examples for chunk in planned if chunk.name in {"refreshes", "exchanges"}) == 10_000
