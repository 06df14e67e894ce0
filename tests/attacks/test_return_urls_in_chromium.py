"""S-09: a browser's own parser (WHATWG) takes every accepted address for the place that we took it for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from consentry.connect.return_urls import is_return_url
from consentry.web.response import origin_of
from tests.attacks.corpus import return_urls
from tests.attacks.test_return_urls import UNUSABLE, USABLE, generated

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
READ = """urls => urls.map(url => {
  try { const read = new URL(url)
        return {host: read.host, protocol: read.protocol, user: read.username, hash: read.hash} }
  catch { return null }
})"""
DEFAULT_PORTS = {"https://": ":443", "http://": ":80"}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if not CHROMIUM.exists():
        pytest.skip(f"NOT TESTED: how a browser reads addresses. There is no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page()
        browser.close()


def ours(url: str) -> str:
    """Return host and port as we read them, in the browser's spelling."""
    scheme, _, host = origin_of(url).lower().partition("//")
    return host.removesuffix(DEFAULT_PORTS[f"{scheme}//"])


def test_whatever_is_accepted_a_browser_reads_alike(page: Page) -> None:
    tried = [*USABLE, *UNUSABLE, *(url for urls in return_urls().values() for url in urls), *generated(1, 20_000)]
    accepted = sorted({url for url in tried if is_return_url(url)})
    read = page.evaluate(READ, accepted)
    assert len(accepted) > 300
    for url, found in zip(accepted, read, strict=True):
        if found is None:  # punycode that means nothing: a browser goes nowhere
            assert "xn--" in url, url
            continue
        assert found == {"host": ours(url), "protocol": url.partition("//")[0], "user": "", "hash": ""}, url
