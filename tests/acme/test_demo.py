"""How the demonstration ends when something else is seen than it tells."""

from collections.abc import Callable

import pytest

from dev.acme.browser import Browser, NoAnswer, NoSuchButton
from dev.acme.trouble import Trouble
from dev.demo import NotSeen, Provider, Story, tell
from tests.acme.fakes import FakeConsentry, FakeReadings


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


def test_a_browser_names_no_query_when_there_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match=r"localhost:1/authorize/x did not answer") as error:
        Browser(None).open("http://localhost:1/authorize/x?session=CNRY-ticket")
    assert "CNRY" not in str(error.value)
