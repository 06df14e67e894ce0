"""`python -m torture` as a person types it."""

import json
from pathlib import Path

import pytest

from tests.torture.conftest import DOCUMENT
from torture.__main__ import main
from torture.comparison import comparison


@pytest.fixture
def adapter(documented: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "documented_adapter.py").write_text(documented, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "documented_adapter:open_store"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "there is no store 'nothing'; name consentry, authlib, or your own as module:function"),
        (["no_such_module:open_store"], "there is no module 'no_such_module'"),
        (["torture.course:open_store"], "the module torture.course has no function 'open_store'"),
        (["consentry", "--scenarios", "flood"], "there is no scenario 'flood'; there are kill-grace, "),
        (["consentry", "--connections", "0"], "--connections must be 1 to 100"),
        (["consentry", "--connections", "many"], "argument --connections: invalid int value: 'many'"),
        (["consentry", "--slow", "nan"], "--slow must be above 0 and at most 60 seconds"),
        (["consentry", "--json", "no/such/folder/x.json"], "there is no such folder"),
        ([], "the following arguments are required: STORE; see `python -m torture --help`"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)


def test_the_documented_adapter_runs_from_the_command_line(
    adapter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    words = [adapter, "--quick", "--connections", "1", "--scenarios", "two-replicas,kill-strict", "--json", str(file)]
    assert main(words) == 0
    assert "1 of 1 scenarios passed; 1 NOT APPLICABLE" in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert (found["passed"], found["options"]["connections"]) == (True, 1)
    verdicts = {each["scenario"]: each["verdict"] for each in found["scenarios"]}
    assert verdicts == {"two-replicas": "passed", "kill-strict": "NOT APPLICABLE"}


def test_a_store_that_serves_nothing_in_peace_is_refused_in_one_sentence(
    documented: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = documented.replace("        return token\n", '        return "something else"\n')
    assert broken != documented
    (tmp_path / "broken_adapter.py").write_text(broken, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["broken_adapter:open_store", "--quick", "--scenarios", "two-replicas"]) == 2
    assert "serves no token that works" in capsys.readouterr().err


def test_the_documented_figures_are_the_measured_ones() -> None:
    results = DOCUMENT.parents[1] / "benchmarks" / "results"
    courses = [json.loads((results / f"torture-{name}.json").read_text()) for name in ("consentry", "authlib")]
    assert comparison(courses) in DOCUMENT.read_text(encoding="utf-8")
