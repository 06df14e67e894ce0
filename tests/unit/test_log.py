"""Logs: an allow-list of fields, one line of JSON each, whatever is in them (S-15, S-52)."""

import json
from collections.abc import Iterator

import pytest

from consentry import log
from consentry.model import Secret
from tests.support.logs import Log, recorded


@pytest.fixture
def lines() -> Iterator[Log]:
    with recorded() as found:
        yield found


def test_a_field_outside_the_allow_list_is_dropped(lines: Log) -> None:
    log.record("happened", {"tenant": "acme", "access_token": "CNRY-1", "url": "CNRY-2", "headers": {"a": "CNRY-3"}})
    (line,) = lines.lines
    assert (line["message"], line["level"], line["tenant"]) == ("happened", "INFO", "acme")
    assert "CNRY-" not in lines.text


def test_empty_fields_are_left_out_and_zero_is_not(lines: Log) -> None:
    log.record("happened", {"tenant": "", "code": None, "gen": 0, "due": False})
    assert {"tenant", "code"}.isdisjoint(lines.lines[0])
    assert lines.lines[0]["gen"] == 0


def test_a_long_field_is_cut(lines: Log) -> None:
    log.record("happened", {"detail": "x" * 10_000})
    assert lines.lines[0]["detail"] == "x" * 300


@pytest.mark.parametrize("value", [["x"], {"a": 1}, ("x",), b"x", object])
def test_a_field_of_any_type_is_text(lines: Log, value: object) -> None:
    log.record("happened", {"detail": value})
    assert lines.lines[0]["detail"] == str(value)


def test_a_secret_stays_one_in_a_log(lines: Log) -> None:
    log.record("happened", {"detail": Secret("CNRY-secret")})
    assert lines.lines[0]["detail"] == "Secret(***)"


@pytest.mark.parametrize(
    "hostile", ['a\nb {"level":"ERROR"}', "a\r\nb", "\x1b[31mred", '"}\n{"message":"x"}', "\u2028\x85", "\x00"]
)
def test_whatever_a_field_holds_it_is_one_record(lines: Log, hostile: str) -> None:
    log.record("happened", {"tenant": hostile, "detail": hostile})
    assert lines.text.count("\n") == 1
    assert "\x1b" not in lines.text
    assert json.loads(lines.text)["detail"] == hostile


def test_a_text_that_no_stream_can_take_is_written_all_the_same(lines: Log) -> None:
    log.record("happened", {"detail": "a\ud800b"})
    assert lines.text.encode()
    assert lines.lines[0]["detail"] == "a\\ud800b"


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
def test_levels_are_said(lines: Log, level: log.Level) -> None:
    log.record("happened", level=level)
    assert lines.lines[0]["level"] == level.upper()


def test_a_count_is_one_line_in_cloudwatch_s_format(capsys: pytest.CaptureFixture[str]) -> None:
    log.count("Consents", outcome="parked")
    log.count("OldestOverdue", value=7, unit="Seconds")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    declared = first["_aws"]["CloudWatchMetrics"][0]
    assert (declared["Namespace"], declared["Dimensions"]) == ("Consentry", [["outcome"]])
    assert (first["Consents"], first["outcome"]) == ([1.0], "parked")
    assert second["OldestOverdue"] == [7.0]
    assert second["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "OldestOverdue", "Unit": "Seconds"}]


def test_a_heartbeat_is_one_line_with_a_unit_for_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    log.heartbeat({"Due": 3, "Dispatched": 0, "OldestOverdue": 71})
    (line,) = capsys.readouterr().out.splitlines()
    emitted = json.loads(line)
    assert {name: emitted[name] for name in ("Due", "Dispatched", "OldestOverdue")} == {
        "Due": [3.0],
        "Dispatched": [0.0],
        "OldestOverdue": [71.0],
    }
    (declared,) = emitted["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Consentry"
    units = {each["Name"]: each["Unit"] for each in declared["Metrics"]}
    assert units == {"Due": "Count", "Dispatched": "Count", "OldestOverdue": "Seconds"}


def test_heartbeats_keep_nothing_of_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    log.heartbeat({"Due": 3, "Parked": 1})
    log.heartbeat({"Due": 4})
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["Due"], first["Parked"]) == ([3.0], [1.0])
    assert second["Due"] == [4.0]
    assert "Parked" not in second


def test_an_alarm_finds_a_heartbeat_and_a_count_under_the_same_dimension(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "vault")
    log.heartbeat({"Due": 3})
    log.count("Reads")
    for line in capsys.readouterr().out.splitlines():
        emitted = json.loads(line)
        assert emitted["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
        assert emitted["service"] == "vault"
