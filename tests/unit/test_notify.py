"""The example of a rule's target, with its sample event."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from consentry.model import Cause
from functions.notify.app import WHY, handler
from tests.support.streams import misfits

SAMPLE = Path(__file__).parents[2] / "events" / "notify.json"


def sample(**changed: object) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return {**event, "detail": {**event["detail"], **changed}}


def test_the_sample_is_an_event_as_it_is_described() -> None:
    assert misfits(sample()) == []


def test_it_says_who_has_to_connect_what_again_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        told = handler(sample(), None)
    assert told["message"] == (
        "acme must connect hubspot-ticketing (default) again: the provider no longer accepts what was granted."
    )
    assert caplog.messages == [told["message"]]
    assert vars(caplog.records[0])["event_id"] == sample()["detail"]["id"]


def test_it_knows_every_cause_and_says_one_that_is_new_as_it_is() -> None:
    assert set(WHY) == set(Cause)
    assert handler(sample(cause="something_new"), None)["message"].endswith("again: something_new.")
