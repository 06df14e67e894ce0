"""Colours that can be read, whatever the company's is, in light and in dark; and markup that nobody can break."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.pages.frame import Links
from consentry.pages.look import ACCENT, Look, contrast, style_hash, stylesheet
from consentry.pages.markup import Html, joined, tag, text
from consentry.web.response import origin_of
from tests.support.html import Outline

TEXT, LARGE = 4.5, 3.0  # WCAG 2.2: 1.4.3 for text, 1.4.11 for what marks a control


def palettes() -> list[dict[str, str]]:
    """The style sheet's colours, light and dark."""
    light, dark = str(stylesheet(Look())).split("@media (prefers-color-scheme: dark)", 1)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", each)) for each in (light, dark)]
    return [found[0], found[0] | found[1]]


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(palette: dict[str, str]) -> None:
    pairs = [(ink, ground) for ink in ("ink", "soft", "good", "trouble") for ground in ("paper", "ground")]
    pairs += [("ink", "field"), ("on-accent", "accent"), *(("on-m", f"m{number}") for number in range(6))]
    weak = {pair: contrast(palette[pair[0]], palette[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < TEXT} == {}


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_every_field_and_button_has_an_edge_that_is_seen(palette: dict[str, str]) -> None:
    grounds = [palette[each] for each in ("paper", "ground", "field")]
    assert min(contrast(palette["line"], each) for each in grounds) >= LARGE * 0.9
    assert min(contrast(palette["line"], palette[each]) for each in ("paper", "field")) >= LARGE


@given(st.integers(min_value=0, max_value=0xFFFFFF))
def test_whatever_the_company_s_colour_what_stands_on_it_is_read(colour: int) -> None:
    look = Look.of("", f"#{colour:06X}", "")
    assert contrast(look.on_accent, look.accent) >= TEXT
    assert f"--accent: #{colour:06x};" in stylesheet(look)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#1f5f8b", "#1f5f8b") == 1


@pytest.mark.parametrize("accent", ["", "red", "#fff", "#1f5f8b; } *", "#1f5f8g", "\n#1f5f8b", "url(#1f5f8b)"])
def test_a_colour_that_is_none_is_not_used(accent: str) -> None:
    assert Look.of("", accent, "").accent == ACCENT


@pytest.mark.parametrize("logo", ['M0 0"/><script>', "M0 0&", "M0\n0", "M" * 2001])
def test_a_mark_that_is_no_path_is_not_used(logo: str) -> None:
    assert Look.of("Acme", ACCENT, logo).logo == ""


def test_a_name_that_is_too_long_or_not_printable_is_not_used() -> None:
    assert Look.of("A" * 81, ACCENT, "").company == Look.of("A\nB", ACCENT, "").company == ""
    assert Look.of("Acme", ACCENT, "M2 2h20z") == Look("Acme", ACCENT, "M2 2h20z")


def test_each_colour_has_a_style_sheet_and_a_hash_of_its_own() -> None:
    assert style_hash(Look()) != style_hash(Look(accent="#000000"))
    assert style_hash(Look()) == style_hash(Look(company="Acme"))


@given(st.text())
def test_a_text_in_a_page_is_a_text_and_an_attribute_stays_one(value: str) -> None:
    (element,) = Outline(tag("p", value, title=value)).elements
    assert element[0] == "p"
    assert [name for name, _ in element[1]] == ["title"]
    assert Outline(joined(value, tag("b"))).skeleton == [("b", [])]


def test_attributes_are_written_as_they_are_meant() -> None:
    made = tag("input", name="x", required=True, autofocus=False, value=None, aria_label='"<', for_="y", maxlength=3)
    assert made == '<input name="x" required aria-label="&quot;&lt;" for="y" maxlength="3">'
    assert tag("p", Html("<b>"), "<b>", 7) == "<p><b>&lt;b&gt;7</p>"
    assert text(Html("<i>")) == "<i>"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://app.test/connected?x=1", "https://app.test"),
        ("http://localhost:3001/return", "http://localhost:3001"),
        ("https://[::1]:8/x", "https://[::1]:8"),
        ("https://app.test;script-src *", ""),
        ("https://app.test' 'unsafe-inline", ""),
        ("https://app.test@evil.test/", ""),
        ("https://app_test/", ""),
        ("app://callback", ""),
        ("", ""),
    ],
)
def test_a_policy_names_an_origin_whole_or_not_at_all(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_links_lead_to_the_deployment_and_nowhere_else() -> None:
    links = Links("https://vault.test", "t&x=<")
    assert links.page() == "https://vault.test/connect?session=t%26x%3D%3C"
    assert links.consent("a/../b") == "https://vault.test/authorize/a%2F..%2Fb?session=t%26x%3D%3C"
    assert links.form("crm").startswith("https://vault.test/connect/crm?")
