"""S-08, S-10, S-14, S-15: whatever is sent to a public endpoint is answered, and none of it comes back."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.attacks import fuzz
from tests.attacks.fuzz import Broken, Chunk, check, chunks, run
from tests.attacks.handlers import opened, routes, world
from tests.attacks.inputs import ENDPOINTS, ENTERED, MARK

INPUTS = 10_000
# Statuses that show how deep the inputs go: a page or redirect for what is right, and each kind of refusal.
REACHED = {
    "GET /connect": {"200", "400", "405", "410"},
    "GET /connect/{integration}": {"200", "400", "405", "410"},
    "POST /connect/{integration}": {"303", "400", "403", "409", "410"},
    "GET /connect/{integration}/disconnect": {"200", "400", "405", "410"},
    "POST /connect/{integration}/disconnect": {"303", "400", "403", "410"},
    "GET /authorize/{integration}": {"302", "400", "405", "410"},
    "GET /callback/{integration}": {"303", "400", "403", "405", "409", "410"},
    "GET /connect.js": {"200", "405"},
    "GET /health": {"200", "405"},
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_ten_thousand_inputs_are_answered_and_nothing_comes_back(endpoint: str) -> None:
    """S-08, S-10, S-14, S-15."""
    counts = sum(map(run, chunks(INPUTS, 0, (endpoint,))), Counter[str]())
    assert counts.total() == INPUTS
    assert REACHED[endpoint] <= set(counts)


def test_every_public_route_is_attacked() -> None:
    public = {each for each in routes() if each.startswith("ANY ")}
    assert {f"ANY {each.partition(' ')[2]}" for each in ENDPOINTS} == public


def test_a_chunk_is_the_same_each_time() -> None:
    chunk = Chunk("GET /callback/{integration}", 3, 7, 100)
    assert run(chunk) == run(chunk)


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"statusCode": 500}, "no status is 5xx"),
        ({"body": f"<p>{MARK}</p>"}, "nothing of the request comes back"),
        ({"cookies": ["a=b"]}, "cookies are ours"),
        ({"headers": {"Location": "https://evil.test/"}}, "nobody is sent elsewhere"),
        ({"headers": {"X": "a\r\nb"}}, "headers and cookies are one line of ASCII"),
        ({"body": f"<script>{ENTERED}</script>"}, "what was entered makes no element"),
        ({"body": f'<p onclick="x">{ENTERED}</p>'}, "onclick"),
    ],
)
def test_a_broken_promise_is_seen(changes: dict[str, object], promise: str) -> None:
    with world() as at:
        request = opened("https://vault.test/connect?session=x")
        good = at.answer(request)
    check(request, good, "")
    bad = good | changes | ({"headers": good["headers"] | changes["headers"]} if "headers" in changes else {})
    with pytest.raises(AssertionError, match=promise):
        check(request, bad, "")


@pytest.mark.parametrize("said", ['{"message": "unforeseen"}', MARK, "CNRY-client-secret-51c9e7"])
def test_a_line_in_the_log_that_must_not_be_is_seen(said: str) -> None:
    with world() as at:
        request = opened("https://vault.test/health")
        response = at.answer(request)
    with pytest.raises(AssertionError):
        check(request, response, said)


def test_what_breaks_is_told_with_its_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object) -> None:
        raise AssertionError("a promise")

    monkeypatch.setattr(fuzz, "check", broken)
    with pytest.raises(Broken, match=r"number=2, seed=5.*input 0: AssertionError: a promise"):
        run(Chunk("GET /health", 2, 5, 1))


def test_the_program_sums_up_in_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.attacks", "--inputs", "20", "--endpoint", "GET /health"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert '"broken": []' in ran.stdout
    assert "20 of 20 inputs, 0 broken" in ran.stderr
