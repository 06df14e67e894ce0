"""What a known vulnerability does, and what ignorance says."""

from typing import Any, Final

from tests.infrastructure.audit import verdict

SOUND: Final = {"name": "requests", "version": "2.34.0", "vulns": []}
KNOWN: Final[dict[str, Any]] = {"id": "GHSA-xxxx", "fix_versions": ["2.34.1"], "aliases": [], "description": "long"}
UNMENDED: Final[dict[str, Any]] = {"id": "PYSEC-1", "fix_versions": [], "aliases": []}


def test_sound_packages_leave_nothing_to_say() -> None:
    told = verdict([SOUND], {"requests"})
    assert (list(told.lines), told.deployed_is_vulnerable) == ([], False)


def test_a_vulnerability_in_what_is_deployed_stops_the_build_and_names_the_way_out() -> None:
    told = verdict([{**SOUND, "vulns": [KNOWN]}], {"requests"})
    assert told.deployed_is_vulnerable
    assert list(told.lines) == ["DEPLOYED: requests 2.34.0: GHSA-xxxx, mended in 2.34.1"]


def test_a_vulnerability_in_a_tool_is_said_and_stops_nobody() -> None:
    told = verdict([{"name": "moto", "version": "5", "vulns": [UNMENDED]}], {"requests"})
    assert not told.deployed_is_vulnerable
    assert list(told.lines) == ["development only: moto 5: PYSEC-1, mended in no version yet"]


def test_what_nobody_knows_is_not_called_sound() -> None:
    told = verdict([{"name": "requests", "skip_reason": "not found"}, SOUND], {"requests"})
    assert list(told.lines) == ["NOT AUDITED: 1 of 2 packages: the index says nothing about them"]
