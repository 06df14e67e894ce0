"""The program that runs all proofs: it keeps what each said, and one that does not hold is not forgotten."""

import json
import sys
from pathlib import Path

import pytest

from tests.prove import __main__ as program
from tests.prove.__main__ import Proof, main, proofs


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "held.py").write_text("print('{\"found\": 0}')")
    (tmp_path / "broken.py").write_text("raise SystemExit('a promise was broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(program, "_RESULTS", tmp_path)
    monkeypatch.setattr(
        program,
        "proofs",
        lambda _seed, _schedules: [Proof("held", "a", 1, ("held",)), Proof("broken", "b", 2, ("broken",))],
    )
    return tmp_path


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["prove", *words])
    return main()


def test_what_a_proof_said_is_kept_with_its_command_and_seed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, "--only", "held", "--seed", "7") == 0
    kept = json.loads((results / "held.json").read_text())
    assert (kept["command"], kept["seed"], kept["held"], kept["said"]) == ("python -m held", 7, True, {"found": 0})


def test_a_proof_that_does_not_hold_ends_it_with_its_name(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == "not proved: broken"
    assert json.loads((results / "broken.json").read_text())["held"] is False


def test_an_unknown_proof_is_one_sentence(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        asked(monkeypatch, "--only", "nothing")
    assert ended.value.code == 2
    assert "there is no proof 'nothing'; there are held, broken" in capsys.readouterr().err
    assert list(results.glob("*.json")) == []


def test_every_proof_s_program_exists() -> None:
    root = Path(program.__file__).parents[2]
    for module in (each.command[0].replace(".", "/") for each in proofs(0, 1) if each.command[0] != "pytest"):
        assert (root / module / "__main__.py").exists() or (root / f"{module}.py").exists()
