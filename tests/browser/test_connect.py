"""What a person sees who connects HubSpot Ticketing on a phone."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.stack]


def card(page: Page, integration: str = "hubspot-ticketing") -> Locator:
    return page.locator(f"#{integration}")


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the right."""
    return int(page.evaluate("document.documentElement.scrollWidth")) <= PHONE["width"]


def test_allowing_the_access_connects_and_shows_tickets(page: Page) -> None:
    assert fits(page)
    card(page).get_by_role("button", name="Connect").click()
    assert "Allow access to HubSpot?" in page.inner_text("h1")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_selector("[role=status]")
    assert "Connected: hubspot-ticketing" in page.inner_text("[role=status]")
    assert (urlsplit(page.url).path, urlsplit(page.url).query) == ("/", "")
    assert "Connected" in card(page).inner_text()
    assert fits(page)
    card(page).get_by_role("link", name="Show tickets").click()
    assert page.locator("tbody tr").count() == 27
    assert "read in 3 pages" in page.inner_text("main")
    assert fits(page)


def test_denying_the_access_connects_nothing(page: Page) -> None:
    card(page, "hubspot").get_by_role("button", name="Connect").click()
    page.get_by_role("button", name="Deny").click()
    page.wait_for_selector("[role=alert]")
    assert "You did not allow the access" in page.inner_text("[role=alert]")
    assert "Not connected" in card(page, "hubspot").inner_text()


def test_a_connection_can_be_made_with_the_keyboard_alone(page: Page) -> None:
    page.get_by_role("button", name="Grace").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Signed in as Grace")
    card(page).get_by_role("button", name="Connect").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Allow").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=status]")
    assert "Connected" in card(page).inner_text()
