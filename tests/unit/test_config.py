"""The environment that a deployment gives its functions: what is missing or wrong is named, and never shown."""

import pytest

from consentry.config import Environment
from consentry.errors import Misconfigured


def test_a_missing_or_empty_variable_is_named() -> None:
    for variables in ({}, {"CONSENTRY_EPOCH": ""}):
        with pytest.raises(Misconfigured) as raised:
            Environment.of(variables).text("CONSENTRY_EPOCH")
        assert "CONSENTRY_EPOCH is not set" in raised.value.detail
        assert "CONSENTRY_EPOCH" not in raised.value.public


@pytest.mark.parametrize("wrong", ["CNRY-text", "-1", "1.5", " 7", "1e3"])
def test_what_should_be_a_whole_number_is_refused_by_its_name_and_not_repeated(wrong: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        Environment.of({"CONSENTRY_EPOCH": wrong}).number("CONSENTRY_EPOCH", 1)
    assert raised.value.detail == "environment variable CONSENTRY_EPOCH must be a whole number"
    assert wrong not in raised.value.public


def test_a_number_that_is_not_given_or_empty_has_its_default() -> None:
    assert Environment.of({}).number("CONSENTRY_MIN_REFRESH_SECONDS", 60) == 60
    assert Environment.of({"CONSENTRY_MIN_REFRESH_SECONDS": ""}).number("CONSENTRY_MIN_REFRESH_SECONDS", 60) == 60
    assert Environment.of({"CONSENTRY_MIN_REFRESH_SECONDS": "90"}).number("CONSENTRY_MIN_REFRESH_SECONDS", 60) == 90


def test_a_listing_has_no_empty_parts_and_no_spaces_around_them() -> None:
    assert Environment.of({"URLS": " a , ,b,"}).listing("URLS") == {"a", "b"}
    assert Environment.of({}).listing("URLS") == frozenset()


def test_an_environment_stays_as_it_was_found() -> None:
    variables = {"NAME": "found"}
    environment = Environment.of(variables)
    variables["NAME"] = "changed"
    assert environment.text("NAME") == "found"
