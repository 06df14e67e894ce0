"""The threat model's table: every test that it names exists, and every threat of the consent has one."""

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = re.compile(r"^\| ((?:S-\d\d ?)+) \| [^|]+ \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
CONSENT = [f"S-{number:02d}" for number in (*range(1, 12), 13, 14, 15, 16, 17, 18, 19, 20, 28, 29, 31, 37, 42, 46)]


@cache
def proofs() -> dict[str, list[tuple[str, str]]]:
    """Return the tests of each threat by its number."""
    text = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
    found: dict[str, list[tuple[str, str]]] = {}
    for numbers, tests in TABLE.findall(text):
        for number in numbers.split():
            found.setdefault(number, []).extend(NAMED.findall(tests))
    return found


@pytest.mark.parametrize("threat", CONSENT)
def test_every_threat_of_the_consent_has_a_test(threat: str) -> None:
    assert proofs().get(threat)


def test_every_test_that_the_document_names_exists() -> None:
    named = [test for tests in proofs().values() for test in tests]
    assert len(named) > 50
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"^def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []
