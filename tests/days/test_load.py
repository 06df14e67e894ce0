"""The load model at a hundredth of its size keeps its promises, and breaks each of them where it is weakened."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentry.model import Connection
from tests.days.__main__ import main
from tests.days.capacity import Capacity, as_deployed, capacity, sized, sweep_calls
from tests.days.load import Load, Model, Scenario, scenarios, told
from tests.days.plan import HOUR

LOAD = Load(connections=1000, cap=200, retried=0.002)
ABLE = Capacity(sweep=300, refreshes_a_second=5.0, checks_a_second=50.0)
OUTAGE, SILENCE = scenarios(outage=4 * HOUR, silence=3 * HOUR)
WORKER = {"dynamo.get_item": 2.0, "dynamo.update_item": 2.0, "kms.data key": 2.0, "kms.open": 1.0}


def run(scenario: Scenario, load: Load = LOAD, able: Capacity = ABLE) -> dict[str, Any]:
    return told(load, scenario, Model(load, able, scenario).run())


@pytest.mark.parametrize("scenario", [OUTAGE, SILENCE], ids=lambda each: each.name)
def test_the_model_keeps_its_promises(scenario: Scenario) -> None:
    report = run(scenario)
    assert report["broken"] == []
    assert report["looks_of_readers"] > report["looks_refused"] > 0
    assert report["minutes_in_which_readers_were_refused"] > 0
    assert report["is"] == "a model, not the engine"


def test_a_provider_that_is_down_is_hardly_asked() -> None:
    assert 0 < run(OUTAGE)["requests_in_the_outage"] < 100


def test_a_dispatcher_that_ignores_urgency_is_found_out() -> None:
    report = run(SILENCE, replace(LOAD, urgent_first=False, cap=60))
    assert "something less urgent went first" in report["broken"]


def test_a_missing_cap_is_found_out() -> None:
    report = run(SILENCE, replace(LOAD, capped=False, cap=60))
    assert "more requests in a minute than the provider allows" in report["broken"]


def test_a_reader_that_ignores_the_end_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "servable", lambda _record, _now: True)
    assert "an expired token was served" in run(OUTAGE)["broken"]


def test_workers_that_are_too_few_never_catch_up() -> None:
    assert "caught up late" in run(SILENCE, able=replace(ABLE, refreshes_a_second=0.3))["broken"]


def test_calls_are_counted_on_the_real_sweep() -> None:
    calls = sweep_calls(500)
    assert calls["update_item"] == 1
    assert calls["send_message_batch"] == 0.1


def test_more_functions_and_memory_do_more() -> None:
    small, large = (capacity(assumed, sweep_calls(100), WORKER) for assumed in (as_deployed(), sized()))
    assert large.refreshes_a_second > 4 * small.refreshes_a_second
    assert large.sweep > 2 * small.sweep


def test_the_program_runs_both_and_says_so_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "days.json"
    small = ["--load-connections", "300", "--load-outage-hours", "1"]
    assert main(["--connections", "16", "--days", "1", "--json", str(file), *small]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(file.read_text())
    assert result["engine"]["broken"] == {}
    assert len(result["load_model"]) == 4
    assert main(["--only", "load", "--calibration", str(file), *small]) == 0


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--connections", "3"], "at least 8"),
        (["--only", "load"], "--calibration FILE"),
        (["--only", "load", "--calibration", "no-such-file"], "make one with --json"),
        (["--load-cap", "0"], "must be above 0"),
        (["--days", "0"], "--days"),
    ],
)
def test_bad_options_are_answered_with_what_to_do(
    words: list[str], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert remedy in capsys.readouterr().err
