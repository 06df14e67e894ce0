"""How the demonstration ends when something else is seen than it tells."""

from collections.abc import Callable, Mapping
from operator import methodcaller

import pytest

from dev.acme.browser import Browser, NoAnswer, NoSuchButton
from dev.acme.consentry_api import Json
from dev.acme.trouble import Trouble
from dev.demo import LEAST_SECONDS, NotSeen, Provider, Story, tell
from tests.acme.fakes import NOW, FakeConsentry, FakeReadings, connection


class FirstStep(Story):
    """A story whose first step does what it is told."""

    step: Callable[[], str]

    def connect(self) -> str:
        return self.step()


def story(step: Callable[[], str]) -> Story:
    browser, provider = Browser(None), Provider("http://localhost:1")
    told = FirstStep("http://localhost:1", FakeConsentry(), FakeReadings(), provider, browser, browser)
    object.__setattr__(told, "step", step)
    return told


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotSeen("status: expected 'active', saw 'deleting'"), "expected 'active', saw 'deleting'"),
        (NoSuchButton("no button 'Allow'"), "no button 'Allow'"),
        (Trouble("Connect first.", "not_connected"), r"Connect first\. \[not_connected\]"),
        (KeyError("generation"), "generation"),
    ],
)
def test_a_step_that_is_not_as_told_is_named_with_what_was_seen(error: Exception, said: str) -> None:
    def step() -> str:
        raise error

    with pytest.raises(NotSeen, match=f"step 1 .Ada of acme connects.*{said}"):
        tell(story(step))


class Waiting(Provider):
    """Does nothing that it is told, and ends the step there."""

    def order(self, what: str, order: Mapping[str, object]) -> Json:
        raise NotSeen(f"told to {what}: {sorted(order)}")


@pytest.mark.parametrize("step", ["recover", "revoke"])
def test_a_step_that_forces_a_refresh_lets_one_of_the_schedule_be_long_enough_ago(step: str) -> None:
    consentry, browser, now = FakeConsentry(), Browser(None), float(NOW)
    consentry.existing["acme"] = [connection(refreshed_at=NOW)]

    def rest(seconds: float) -> None:
        nonlocal now
        now += seconds
        consentry.existing["acme"] = [connection(refreshed_at=NOW + 2)]  # one more while the step waits for the first

    told = Story(
        "", consentry, FakeReadings(), Waiting("http://localhost:1"), browser, browser, clock=lambda: now, rest=rest
    )
    with pytest.raises(NotSeen, match="told to"):
        methodcaller(step)(told)
    assert now == NOW + 2 + LEAST_SECONDS


def test_a_browser_names_no_query_when_there_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match=r"localhost:1/authorize/x did not answer") as error:
        Browser(None).open("http://localhost:1/authorize/x?session=CNRY-ticket")
    assert "CNRY" not in str(error.value)
