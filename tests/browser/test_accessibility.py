"""Every page in every state, light and dark, on a phone: axe finds nothing, it reflows, and the keyboard suffices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from consentry.pages.frame import Manner
from consentry.pages.look import Look
from consentry.pages.words import LANGUAGES, words
from tests.browser.conftest import CHROMIUM, FLAGS, PATIENCE_MILLISECONDS, PHONE
from tests.support.axe import axe_script
from tests.support.own_environment import NotInstalled
from tests.support.screens import screens

pytestmark = pytest.mark.browser
LOOKS = {"own": Look(company="Acme"), "bright": Look(company="Acme", accent="#ffd400"), "nobody's": Look()}
RUN_AXE = "axe.run(document, {resultTypes: ['violations', 'incomplete']})"
FOCUS = """() => {
    const element = document.activeElement, style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    return [element.tagName, style.outlineStyle, parseFloat(style.outlineWidth), box.top < innerHeight, box.bottom > 0];
}"""
PRESSABLE = "a[href], button, input:not([type=hidden]), textarea"


@dataclass(frozen=True)
class Screen:
    """A browser's page that shows one document after another."""

    page: Page

    def shows(self, document: str) -> None:
        self.page.set_content(document)


@pytest.fixture(scope="module")
def browser_alone() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"NOT TESTED: the pages in a browser. There is no Chromium at {CHROMIUM}; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        return axe_script()
    except NotInstalled as reason:
        pytest.skip(f"NOT TESTED: the pages by axe-core: {reason}")


def screen(browser: Browser, scheme: Literal["light", "dark"] = "light", width: int = PHONE["width"]) -> Screen:
    viewport = ViewportSize(width=width, height=PHONE["height"])
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    return Screen(context.new_page())


def found(page: Page, axe: str) -> list[str]:
    """Return what axe complains of, and what it could not decide about colours, in short."""
    page.evaluate(axe)
    told: dict[str, Any] = page.evaluate(RUN_AXE)
    undecided = [each for each in told["incomplete"] if each["id"] == "color-contrast"]
    nodes = [(each["id"], node) for each in (*told["violations"], *undecided) for node in each["nodes"]]
    return [f"{rule}: {node['target']}" for rule, node in nodes if not (rule == "color-contrast" and drawn(node))]


def drawn(node: dict[str, Any]) -> bool:
    """Whether it is one of our marks: letters in a drawing, which axe cannot judge; test_look.py computes those."""
    return str(node["html"]).startswith(("<text ", '<div class="mark"'))


@pytest.mark.parametrize(
    ("language", "scheme", "look"),
    [("en", "light", "own"), ("pt", "dark", "own"), ("en", "dark", "bright"), ("pt", "light", "nobody's")],
)
def test_axe_finds_nothing_on_any_page_in_any_state(
    browser_alone: Browser, axe: str, language: str, scheme: Literal["light", "dark"], look: str
) -> None:
    shown, complaints = screen(browser_alone, scheme), dict[str, Sequence[str]]()
    for name, document in chosen(language, look).items():
        shown.shows(document)
        complaints[name] = found(shown.page, axe)
    shown.page.context.close()
    assert {name: told for name, told in complaints.items() if told} == {}


def chosen(language: str, look: str) -> dict[str, str]:
    """Return all pages; those of trouble differ by their sentence alone, so two of them speak for the others."""
    every = screens(Manner(LOOKS[look], words(language)))
    spoken_for = set(every) - {"denied.access_denied", "error.deleting"}
    return {name: every[name] for name in every if not (name in spoken_for and name.startswith(("denied.", "error.")))}


def test_axe_does_find_something_where_there_is_something(browser_alone: Browser, axe: str) -> None:
    shown = screen(browser_alone)
    plain = screens(Manner(Look(), words("en")))["form"]
    for before, after, rule in (
        ('<label for="label">', "<label>", "label"),
        ('<html lang="en">', "<html>", "html-has-lang"),
        ("--soft: #566070", "--soft: #c6cad0", "color-contrast"),
    ):
        assert before in plain
        shown.shows(plain.replace(before, after))
        assert any(each.startswith(rule) for each in found(shown.page, axe)), rule
    shown.page.context.close()


@pytest.mark.parametrize("width", [320, 195])
def test_every_page_fits_a_phone_also_at_twice_the_size(browser_alone: Browser, width: int) -> None:
    """WCAG 1.4.10: 320 CSS pixels; 195 are a phone of 390 at 200 percent."""
    shown, wider = screen(browser_alone, width=width), list[str]()
    for language in LANGUAGES:
        for name, document in screens(Manner(LOOKS["own"], words(language))).items():
            shown.shows(document)
            if shown.page.evaluate("document.documentElement.scrollWidth") > width:
                wider.append(f"{name} ({language})")
    shown.page.context.close()
    assert wider == []


def test_the_keyboard_reaches_everything_in_its_order_and_shows_where_it_is(browser_alone: Browser) -> None:
    shown = screen(browser_alone)
    for name, document in chosen("en", "own").items():
        shown.shows(document.replace(" autofocus", ""))
        order = shown.page.locator(PRESSABLE).evaluate_all("all => all.map(each => each.tagName)")
        reached = []
        for _ in order:
            shown.page.keyboard.press("Tab")
            tag, style, thickness, *in_sight = shown.page.evaluate(FOCUS)
            reached.append(tag)
            assert (style, thickness >= 2, in_sight) == ("solid", True, [True, True]), f"{tag} of {name}"
        assert reached == order, name
        assert shown.page.locator("[tabindex]").count() == 0
    shown.page.context.close()


def test_nothing_on_any_page_moves(browser_alone: Browser) -> None:
    shown = screen(browser_alone)
    for document in chosen("en", "own").values():
        shown.shows(document)
        assert shown.page.evaluate("document.getAnimations().length") == 0
        assert not {"animation", "transition", "scroll-behavior"} & set(document.replace(":", " ").split())
    shown.page.context.close()


def test_targets_are_large_enough_for_a_thumb(browser_alone: Browser) -> None:
    """WCAG 2.5.8 asks for 24 by 24 CSS pixels; buttons have more."""
    shown = screen(browser_alone)
    for name, document in chosen("pt", "own").items():
        shown.shows(document)
        for box in (each.bounding_box() for each in shown.page.locator(".button, input:not([type=hidden])").all()):
            assert box is not None
            assert (box["height"] >= 24, box["width"] >= 24) == (True, True), name
    shown.page.context.close()
