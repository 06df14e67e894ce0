"""The local stack and Chromium, each started once for all browser tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from dev.ready import Ready
from dev.running import started
from tests.browser.company import Company, serving

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHONE = ViewportSize(width=390, height=844)
PATIENCE_MILLISECONDS = 20_000


@pytest.fixture(scope="session")
def company() -> Iterator[Company]:
    with serving() as company:
        yield company


@pytest.fixture(scope="session")
def stack(company: Company) -> Iterator[Ready]:
    if not CHROMIUM.exists():
        pytest.skip(f"NOT TESTED: the pages in a browser. There is no Chromium at {CHROMIUM}; apt-get install chromium")
    with started({"PORT": "0", "HTTPS": "1", "TICK": "2", "RETURN_URLS": company.return_urls}) as ready:
        yield ready


@pytest.fixture(scope="module")
def chromium(stack: Ready) -> Iterator[Browser]:
    """Not for the session: while Playwright runs, nothing else in this thread can run an event loop."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, stack: Ready) -> Iterator[Page]:
    """A phone with no past, at Acme. The stack's own authority is unknown to it, so certificates are not checked."""
    context = chromium.new_context(viewport=PHONE, ignore_https_errors=True)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = context.new_page()
    page.goto(str(stack.acme_url))
    yield page
    context.close()
