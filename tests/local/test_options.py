"""What `python -m dev run` may be told."""

from pathlib import Path

import pytest

from dev.mistakes import Mistake
from dev.options import Options, parse


def test_nothing_given_means_the_defaults() -> None:
    assert parse([], {}) == Options()


def test_a_flag_wins_over_the_environment() -> None:
    given = parse(["--port", "4000", "--https=1"], {"PORT": "5000", "TICK": "0.5"})
    assert (given.port, given.https, given.tick_seconds) == (4000, True, 0.5)


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert parse([], {"PORT": "", "INTEGRATIONS": " "}) == Options()


@pytest.mark.parametrize("off", ["0", "no", "false", "off"])
def test_a_switch_can_be_turned_off(off: str) -> None:
    assert not parse([], {"HTTPS": off}).https


def test_a_file_is_found_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    assert parse([], {"INTEGRATIONS": "own.json"}).integrations == tmp_path / "own.json"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65533"),
        ("PORT", "-1"),
        ("TICK", "0"),
        ("TICK", "soon"),
        ("ACCESS_TTL", "0"),
        ("GRACE", "-1"),
        ("ROTATION", "sometimes"),
        ("HTTPS", "maybe"),
        ("INTEGRATIONS", "/nowhere.json"),
        ("PROVIDERS", "/nowhere"),
        ("FUNCTIONS", "/nowhere"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name: str, value: str) -> None:
    with pytest.raises(Mistake) as wrong:
        parse([], {name: value})
    assert len(wrong.value.lines) == 1
    assert wrong.value.lines[0].startswith(f"{name}={value}: ")


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(Mistake) as wrong:
        parse(["--tick", "x"], {"PORT": "x"})
    assert len(wrong.value.lines) == 2


def test_an_unknown_flag_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="unrecognized arguments: --prot"):
        parse(["--prot", "3000"], {})
