"""The local stack and Chromium, each started once for all browser tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from dev.ready import Ready
from dev.running import started
from tests.browser.company import Company, serving
from tests.support.lasting import Lasting

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHONE = ViewportSize(width=390, height=844)
PATIENCE_MILLISECONDS = 20_000


LASTING = Lasting()


@contextmanager
def _stack() -> Iterator[Ready]:
    company = LASTING.of(serving)
    with started({"PORT": "0", "HTTPS": "1", "TICK": "2", "RETURN_URLS": company.return_urls}) as ready:
        yield ready


@pytest.fixture(scope="module")
def company() -> Company:
    return LASTING.of(serving)


@pytest.fixture(scope="module")
def stack() -> Ready:
    if not CHROMIUM.exists():
        pytest.skip(f"NOT TESTED: the pages in a browser. There is no Chromium at {CHROMIUM}; apt-get install chromium")
    return LASTING.of(_stack)


@pytest.hookimpl(trylast=True)  # after the fixtures of the last module
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    LASTING.left(item, nextitem)


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
