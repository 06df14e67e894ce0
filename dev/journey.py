"""`python -m dev.journey [FOLDER]`: what a tenant's user sees on a phone, from the first click to the disconnect.

Walks the local stack with Chromium and keeps a small picture of each step; docs/journey.md tells the story. 0 if all of
it happened as told. Needs Chromium.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import boto3
from playwright.sync_api import Browser, Error, Page, ViewportSize, expect, sync_playwright

from dev.pictures import smaller
from dev.ready import Ready
from dev.running import NotReady, started, tick

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PHONE: Final = ViewportSize(width=390, height=844)
OPTIONS: Final = {"PORT": "0", "HTTPS": "1", "TICK": "3600"}
PATIENCE_MILLISECONDS: Final = 30_000
FOLDER: Final = Path("docs/journey")
LARGEST_BYTES: Final = 60_000
NAME: Final = "HubSpot Ticketing (local)"
CARD: Final = "#hubspot-ticketing"

type Scheme = Literal["light", "dark"]


class NotPossible(Exception):
    """Something is missing on this machine; the message says what."""


@dataclass(frozen=True, slots=True)
class Journey:
    """One method for each chapter. `show` is told the name of each step while its page is open."""

    page: Page
    ready: Ready
    show: Callable[[str], None]

    def walk(self) -> None:
        for chapter in (self.denies, self.comes_back_late, self.connects, self.disconnects):
            chapter()

    def denies(self) -> None:
        self.page.goto(str(self.ready.acme_url))
        self._open_the_page()
        expect(self._tile()).to_contain_text("Not connected")
        self.show("1-the-page")
        self._link("Connect").click()
        self.show("2-the-provider-asks")
        self.page.get_by_role("button", name="Deny").click()
        expect(self.page.get_by_role("alert")).to_contain_text("You did not allow the access")
        self.show("3-denied")

    def comes_back_late(self) -> None:
        """The provider's page is left open, and the company's link too, until both are over."""
        self._open_the_page()
        link = self.page.url
        self._link("Connect").click()
        self._let_time_pass()
        self.page.get_by_role("button", name="Allow").click()
        expect(self.page.locator("main")).to_contain_text("no longer valid")
        self.show("4-too-late")
        self.page.goto(link)
        expect(self.page.locator("main")).to_contain_text("no longer valid")

    def connects(self) -> None:
        self.page.goto(str(self.ready.acme_url))
        self._open_the_page()
        self._link("Connect").click()
        self.page.get_by_role("button", name="Allow").click()
        expect(self.page.get_by_role("status")).to_contain_text("Connected: hubspot-ticketing")
        self.show("5-connected")
        self._open_the_page()
        expect(self._tile()).to_contain_text("Connected since")
        self._scroll_to_tile()
        self.show("6-the-tile")

    def disconnects(self) -> None:
        self._link("Disconnect").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(f"Disconnect {NAME}?")
        self.show("7-the-question")
        self.page.get_by_role("button", name="Disconnect").click()
        expect(self._tile()).to_contain_text("Being removed")
        expect(self._tile().get_by_role("heading", name=NAME)).to_be_in_viewport()
        self.show("8-being-removed")
        self.page.get_by_role("link", name="Back to Acme").click()
        expect(self.page.locator(CARD)).to_contain_text("Being disconnected")
        tick(self.ready)
        self._until_it_is_gone()
        self.page.locator(CARD).evaluate("card => card.scrollIntoView()")
        self.show("9-gone")

    def _open_the_page(self) -> None:
        self.page.get_by_role("button", name="Open the hosted page").click()
        self.page.wait_for_url("**/connect?**")

    def _tile(self) -> Any:  # noqa: ANN401 - a locator
        return self.page.get_by_role("article", name=NAME)

    def _scroll_to_tile(self) -> None:
        self._tile().evaluate("tile => tile.scrollIntoView()")

    def _link(self, begins: str) -> Any:  # noqa: ANN401 - a locator
        return self._tile().get_by_role("link", name=f"{begins} {NAME}", exact=True)

    def _let_time_pass(self) -> None:
        """Let every session and flow be over, as after half an hour."""
        table = self.ready.tables["pending"]
        client = boto3.client(
            "dynamodb",
            endpoint_url=self.ready.aws_endpoint,
            region_name=self.ready.region,
            aws_access_key_id=self.ready.access_key_id,
            aws_secret_access_key=self.ready.secret_access_key,
        )
        over = {"N": "1"}
        for item in client.scan(TableName=table)["Items"]:
            session = {"M": {**item["session"]["M"], "expires_at": over}}
            client.put_item(TableName=table, Item={**item, "session": session, "expires_at": over})

    def _until_it_is_gone(self) -> None:
        for _ in range(60):
            self.page.goto(str(self.ready.acme_url))
            if "Not connected" in self.page.locator(CARD).inner_text():
                return
            self.page.wait_for_timeout(500)
        raise NotPossible("the connection was not erased within thirty seconds")


@contextmanager
def phone(browser: Browser, scheme: Scheme) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE, ignore_https_errors=True, color_scheme=scheme, locale="en-GB")
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    yield context.new_page()
    context.close()


def picture(page: Page, file: Path) -> None:
    """Keep what is on the screen, with a few colours."""
    content = smaller(page.screenshot(animations="disabled"))
    if len(content) > LARGEST_BYTES:
        raise NotPossible(f"{file} would be larger than {LARGEST_BYTES} bytes")
    file.write_bytes(content)


def walk(folder: Path) -> None:
    if not CHROMIUM.exists():
        raise NotPossible(f"this needs Chromium at {CHROMIUM}: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        schemes: tuple[Scheme, ...] = ("light", "dark")
        for scheme in schemes:
            with started(OPTIONS) as ready, phone(browser, scheme) as page:

                def show(step: str, page: Page = page, scheme: Scheme = scheme) -> None:
                    picture(page, folder / f"{step}{'-dark' if scheme == 'dark' else ''}.png")
                    print(f"{step} ({scheme})", flush=True)

                Journey(page, ready, show).walk()
        browser.close()


def main(words: Sequence[str]) -> int:
    """Return 0 when all pictures are made, 1 if something was seen that the story does not tell, 2 if it cannot be."""
    try:
        walk(Path(words[0]) if words else FOLDER)
    except (NotPossible, NotReady) as reason:
        print(reason, file=sys.stderr)
        return 2
    except (AssertionError, Error) as seen:
        print(seen, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
