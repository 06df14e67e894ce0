"""The journey of docs/journey.md, walked: connect, deny, come back late, connect again, disconnect."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from dev.journey import LARGEST_BYTES, OPTIONS, Journey, phone
from dev.pictures import smaller
from dev.ready import Ready
from dev.running import started
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.test_accessibility import found
from tests.support.axe import axe_script
from tests.support.own_environment import NotInstalled

pytestmark = [pytest.mark.browser, pytest.mark.stack]
KEPT = Path("docs/journey")
STORY = Path("docs/journey.md")


@pytest.fixture(scope="module")
def quiet_stack() -> Iterator[Ready]:
    """Its scheduler sleeps, so that what is being removed can be looked at."""
    if not CHROMIUM.exists():
        pytest.skip(f"NOT TESTED: the journey. There is no Chromium at {CHROMIUM}; apt-get install chromium")
    with started(OPTIONS) as ready:
        yield ready


def test_the_journey_happens_as_told_and_axe_finds_nothing_on_the_way(quiet_stack: Ready) -> None:
    try:
        axe = axe_script()
    except NotInstalled:
        axe = ""  # said aloud by the tests of accessibility
    steps, complaints = list[str](), dict[str, list[str]]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with phone(browser, "dark") as page:

            def show(step: str) -> None:
                steps.append(step)
                if axe and page.url.startswith(quiet_stack.base_url):
                    complaints[step] = found(page, axe)

            Journey(page, quiet_stack, show).walk()
        browser.close()
    assert {step: told for step, told in complaints.items() if told} == {}
    story = STORY.read_text(encoding="utf-8")
    assert [step for step in steps if f"journey/{step}.png" not in story] == []
    assert {each.name for each in KEPT.glob("*.png")} >= {f"{step}.png" for step in steps}


def test_the_pictures_are_small() -> None:
    assert [each.name for each in KEPT.iterdir() if each.stat().st_size > LARGEST_BYTES] == []


def test_a_picture_stays_what_it_shows() -> None:
    """Made smaller twice is made smaller once, as far as a picture can say: only truecolour is taken."""
    kept = next(KEPT.glob("*.png")).read_bytes()
    with pytest.raises(ValueError, match="truecolour"):
        smaller(kept)
