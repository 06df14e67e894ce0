"""Whatever a provider answers, the record holds exactly what it brought, or exactly what it held before."""

import json

import pytest

from consentry.oauth import answer_fields, token_answer
from consentry.oauth.wire import HttpAnswer
from tests.properties.answering import Exchange, Refreshes, check_exchange, check_refreshes
from tests.properties.many import bounded, explore, quick
from tests.properties.vault import MARK

OUTCOMES = {"refreshed", "in_doubt", "retry_later", "operator", "reauth_required"}
EXCHANGED = {"active", "scope_insufficient", "provider_trouble", "provider_silent", "client_refused", "code_refused"}


def test_any_answer_brings_a_new_generation_or_leaves_the_old_one() -> None:
    counts = explore("refreshes", bounded(1400, derandomized=True))
    assert {outcome for outcome in OUTCOMES if counts[outcome] < 10} == set()


def test_any_answer_to_a_code_is_stored_exactly_or_not_at_all() -> None:
    counts = explore("exchanges", bounded(600, derandomized=True))
    assert {outcome for outcome in EXCHANGED if counts[outcome] < 3} == set()


def test_a_reader_of_answers_that_overlooks_refresh_tokens_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_fields, "refresh_token", lambda _fields: "")
    with pytest.raises(AssertionError):
        explore("refreshes", quick(300))


def test_a_reader_of_answers_that_repeats_what_providers_say_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"error": f"no such token: {MARK}refresh-first"}).encode()
    repeating = HttpAnswer(status=400, headers={}, body=body)
    case = Refreshes(kind="strict", steps=(repeating,), forced=False, rotated_secret=False)
    assert check_refreshes(case) == ["operator"]
    monkeypatch.setattr(token_answer, "safe_code", lambda code: code)
    with pytest.raises(AssertionError):
        check_refreshes(case)


def test_an_account_of_two_thousand_characters_is_stored() -> None:
    body = json.dumps({"access_token": "CNRY-0aZ-a", "hub_id": "y" * 2048}).encode()
    answer = HttpAnswer(status=200, headers={}, body=body)
    check_exchange(Exchange(kind="crm", answer=answer, whose=answer, again=False, other_account=False))
