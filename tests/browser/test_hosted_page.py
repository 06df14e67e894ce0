"""The hosted page and its form in a browser without scripts: a phone, a keyboard, light and dark."""

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from dev.ready import Ready
from tests.browser.conftest import PATIENCE_MILLISECONDS, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.stack]
SECRET = "hotjar-demo-secret"


@pytest.fixture(params=["light", "dark"])
def hosted(chromium: Browser, stack: Ready, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A phone that runs no scripts, on the hosted page for everything that Acme has."""
    scheme: Literal["light", "dark"] = request.param
    context = chromium.new_context(
        viewport=PHONE, ignore_https_errors=True, java_script_enabled=False, color_scheme=scheme, locale="en-GB"
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = context.new_page()
    page.goto(str(stack.acme_url))
    page.get_by_role("button", name="Grace").click()
    page.get_by_role("button", name="Open the hosted page").click()
    page.wait_for_url("**/connect?**")
    yield page
    context.close()


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the right; measured without scripts, by what is seen."""
    boxes = [each.bounding_box() for each in page.locator("main *, footer, header").all()]
    return all(box is None or box["x"] + box["width"] <= PHONE["width"] + 1 for box in boxes)


def tree(page: Page) -> str:
    """The page as a screen reader has it."""
    return page.locator("body").aria_snapshot()


def test_the_page_is_read_by_its_landmarks_headings_and_links(hosted: Page) -> None:
    told = tree(hosted)
    assert "- banner:" in told
    assert "- main:" in told
    assert "- contentinfo:" in told
    assert '- heading "Connect your accounts to Acme" [level=1]' in told
    assert '- article "HubSpot Ticketing (local)":' in told
    assert '- heading "HubSpot Ticketing (local)" [level=2]' in told
    assert '- heading "What it will allow" [level=3]' in told
    assert '- link "Enter credentials for Hotjar (local)":' in told
    assert "img" not in told
    assert fits(hosted)
    mark = hosted.locator("article", has_text="HubSpot Ticketing").locator("svg text")
    expect(mark).to_have_text("HT")
    expect(mark).to_be_visible()


def test_credentials_are_entered_with_the_keyboard_alone_corrected_and_stored(hosted: Page) -> None:
    hosted.get_by_role("link", name=re.compile("credentials for Hotmart")).focus()
    hosted.keyboard.press("Enter")
    hosted.wait_for_url("**/connect/hotmart?**")
    assert fits(hosted)
    told = tree(hosted)
    for label in ("Name for these credentials (optional)", "Description (optional)", "Client ID", "Client secret"):
        assert f'- textbox "{label}"' in told
    hosted.get_by_label("Client ID").focus()
    hosted.keyboard.type("hotmart-demo-customer")
    hosted.keyboard.press("Tab")
    hosted.keyboard.type("mistyped")
    hosted.keyboard.press("Enter")
    alert = hosted.get_by_role("alert")
    expect(alert).to_contain_text("Hotmart does not accept these credentials.")
    assert hosted.title().startswith("Trouble: ")
    assert fits(hosted)
    expect(hosted.get_by_label("Client ID")).to_have_value("hotmart-demo-customer")
    expect(hosted.get_by_label("Client secret")).to_have_value("")
    hosted.get_by_label("Client secret").fill("hotmart-demo-secret")
    hosted.get_by_role("button", name="Check and connect").click()
    hosted.wait_for_selector("[role=status]")
    assert "Connected with the credentials" in hosted.inner_text("[role=status]")


def test_a_browser_checks_what_it_can_before_anything_is_sent(hosted: Page) -> None:
    hosted.get_by_role("link", name=re.compile("credentials for Hotjar")).click()
    hosted.get_by_label("Client ID").fill("c")
    hosted.get_by_label("Client secret").fill("s")
    hosted.get_by_label("Site ID").fill("twelve")
    hosted.get_by_role("button", name="Check and connect").click()
    assert hosted.get_by_role("alert").count() == 0
    assert "/connect/hotjar?" in hosted.url


def test_a_consent_begins_at_its_tile_and_ends_at_the_company(hosted: Page) -> None:
    hosted.get_by_role("link", name=re.compile(r"^Connect HubSpot \(local\)")).click()
    hosted.get_by_role("button", name="Deny").click()
    hosted.wait_for_selector("[role=alert]")
    assert "You did not allow the access" in hosted.inner_text("[role=alert]")


def test_the_customers_own_address_is_asked_for_on_the_way(hosted: Page) -> None:
    hosted.get_by_role("link", name=re.compile(r"^Connect Zendesk \(local\)")).click()
    entry = hosted.get_by_label("Zendesk subdomain")
    expect(entry).to_have_accessible_description(re.compile("What stands before .zendesk.com"))
    assert fits(hosted)
    entry.fill("acme.zendesk.com")
    hosted.get_by_role("button", name="Continue").click()
    expect(hosted.get_by_role("alert")).to_contain_text("Zendesk subdomain: this does not look as Zendesk writes it.")
    expect(entry).to_have_value("acme.zendesk.com")
    assert hosted.title().startswith("Trouble: ")
    assert fits(hosted)
    entry.fill("acme")
    hosted.keyboard.press("Enter")
    hosted.wait_for_url("**/zendesk.com/acme/oauth/authorizations/new?**")  # from the form, and no policy in the way
    hosted.get_by_role("button", name="Allow").click()
    hosted.wait_for_selector("[role=status]")


def test_a_link_that_is_over_says_so_in_the_browser_s_language(chromium: Browser, stack: Ready) -> None:
    context = chromium.new_context(viewport=PHONE, ignore_https_errors=True, locale="pt-BR", java_script_enabled=False)
    page = context.new_page()
    answer = page.goto(f"{stack.base_url}/connect?session=x")
    assert answer is not None
    assert answer.status == 410
    assert "Este link não é mais válido." in page.inner_text("main")
    context.close()


def test_the_browser_applies_our_style_and_complains_of_nothing(chromium: Browser, stack: Ready) -> None:
    context = chromium.new_context(viewport=PHONE, ignore_https_errors=True)
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{stack.base_url}/connect?session=x")
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "480px"
    assert [each for each in said if "410" not in each and "favicon" not in each] == []
    context.close()
