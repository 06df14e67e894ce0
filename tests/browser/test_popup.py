"""`connect.js` in Chromium: the page of docs/popup.md as it stands there, and whoever would like to interfere."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect

from consentry.pages.script import popup_script
from dev.acme.consentry_api import Consentry
from dev.ready import Ready
from tests.browser.company import USER, Company
from tests.browser.conftest import CHROMIUM, FLAGS, PATIENCE_MILLISECONDS

CONNECT: Final = re.compile("^Connect HubSpot Ticketing")  # and not "Disconnect ..."

pytestmark = [pytest.mark.browser, pytest.mark.stack]
TICKETING: Final = "hubspot-ticketing"
CONNECTED: Final = f"Connected: {TICKETING}"
SCRIPT: Final = '<script src="{script}" integrity="{integrity}" crossorigin="anonymous"></script>'
# Pages of tests: one opens what it is given and keeps what came of it, one is returned to.
OPENER: Final = f"""<!doctype html><title>Opener</title>{SCRIPT}<script>
window.heard = {{{{}}}};
window.begin = (name, url, options) => {{{{
  const keep = (what) => {{{{ heard[name] = what; }}}};
  Consentry.open(url, options).then(keep, (trouble) => keep(trouble.code));
}}}};
</script>"""
BACK: Final = f"""<!doctype html><title>Back</title>{SCRIPT}<script>
Consentry.finish({{options}}).then((done) => {{{{ window.done = done; }}}});
</script>"""
# Whoever opens the company's page may post messages to it, and knows the worst: the session's id.
HOSTILE: Final = """<!doctype html><title>Hostile</title><script>
window.posted = 0;
window.attack = (url, session) => {
  const forged = { session, ask: true, listening: true, result: { session, integration: "x", handle: "forged" } };
  const channel = new BroadcastChannel("consentry:" + session);
  const post = () => { victim.postMessage(forged, "*"); channel.postMessage(forged); posted += 1; };
  const victim = window.open(url);
  setInterval(post, 20);
};
</script>"""


@pytest.fixture
def shop(company: Company, stack: Ready, monkeypatch: pytest.MonkeyPatch) -> Company:
    """The company with its backend, whose role and region come from the environment, as in a Lambda."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stack.secret_access_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", stack.region)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stack.ca_bundle))
    company.completed.clear()
    company.headers.clear()
    company.opens(stack.base_url)
    company.pages["/opener"] = OPENER.format(**script(stack))
    company.pages["/back"] = BACK.format(**script(stack), options="")
    company.pages["/hostile"] = HOSTILE
    return company


def script(stack: Ready) -> dict[str, str]:
    """The script's address and hash, so that a browser takes these very bytes and no others."""
    digest = hashlib.sha384(popup_script().encode()).digest()
    return {"script": f"{stack.base_url}/connect.js", "integrity": f"sha384-{base64.b64encode(digest).decode()}"}


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    yield context
    context.close()


@pytest.fixture
def cutting_off(stack: Ready) -> Iterator[None]:
    """A provider whose page has Cross-Origin-Opener-Policy: same-origin."""
    order(stack, opener_policy="same-origin")
    yield
    order(stack, opener_policy=None)


def order(stack: Ready, **options: object) -> None:
    requests.post(f"{stack.authorization_server_url}/_control/options", json=options, timeout=10).raise_for_status()


def session(stack: Ready, return_url: str) -> dict[str, Any]:
    wanted = {"user_ref": USER.id, "integrations": [TICKETING], "return_url": return_url}
    return Consentry(stack).begin(USER.tenant, wanted)


def connect_url(stack: Ready, return_url: str) -> str:
    return str(session(stack, return_url)["connect_url"])


def page_at(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    return page


def popup_of(page: Page) -> Page:
    """Press the documentation's button; return the window that it opens, on the hosted page."""
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Connect").click()
    # Playwright has every page believe that it is the one that is looked at.
    page.evaluate("document.hasFocus = () => false")
    opened.value.wait_for_url("**/connect?session=*")
    return opened.value


def begun(page: Page, name: str, url: str, **options: object) -> Page:
    with page.expect_popup() as opened:
        page.evaluate("([name, url, options]) => begin(name, url, options)", [name, url, options])
    return opened.value


def decided(popup: Page, decision: str = "Allow") -> None:
    """Go from the hosted page to the provider, and decide there."""
    popup.get_by_role("link", name=CONNECT).click()
    popup.get_by_role("button", name=decision).click()


def heard(page: Page, name: str) -> Any:  # noqa: ANN401 - a result, or a code
    page.wait_for_function("(name) => name in heard", arg=name)
    return page.evaluate("(name) => heard[name]", name)


def gone(popup: Page) -> bool:
    if not popup.is_closed():
        popup.wait_for_event("close")
    return popup.is_closed()


def said(page: Page, text: str) -> bool:
    expect(page.get_by_role("status")).to_have_text(text, timeout=PATIENCE_MILLISECONDS)
    return True


def test_the_page_of_the_documentation_connects_in_a_popup(shop: Company, context: BrowserContext) -> None:
    page = page_at(context, f"{shop.url}/integrations")
    popup = popup_of(page)
    decided(popup)
    assert said(page, CONNECTED)
    assert gone(popup)
    assert [each["http"] for each in shop.completed] == [200]
    assert page.url == f"{shop.url}/integrations"


def test_no_page_on_the_way_can_send_the_company_s_page_elsewhere(shop: Company, context: BrowserContext) -> None:
    popup = popup_of(page_at(context, f"{shop.url}/integrations"))
    assert popup.evaluate("window.opener") is None
    shown = popup.reload()
    assert shown is not None
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "script-src" not in shown.headers["content-security-policy"]
    popup.get_by_role("link", name=CONNECT).click()
    popup.wait_for_selector("text=Allow access to HubSpot?")
    assert popup.evaluate("window.opener") is None


def test_a_refusal_arrives_as_a_result(shop: Company, context: BrowserContext) -> None:
    page = page_at(context, f"{shop.url}/integrations")
    popup = popup_of(page)
    decided(popup, "Deny")
    assert said(page, "Not connected: access_denied")
    assert gone(popup)
    assert shop.completed == []


def test_a_backend_that_fails_is_said_and_leaves_no_window(shop: Company, context: BrowserContext) -> None:
    page = page_at(context, f"{shop.url}/integrations")
    page.route("**/integrations/begin", lambda route: route.fulfill(status=503))
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Connect").click()
    assert said(page, "Not connected: status 503")
    assert gone(opened.value)


@pytest.mark.usefixtures("cutting_off")
def test_a_provider_that_cuts_its_window_off_changes_nothing(shop: Company, context: BrowserContext) -> None:
    page = page_at(context, f"{shop.url}/integrations")
    popup = popup_of(page)
    decided(popup)
    assert said(page, CONNECTED)
    assert gone(popup)


def test_a_company_s_page_may_isolate_itself(shop: Company, context: BrowserContext) -> None:
    shop.headers |= {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Content-Security-Policy": "default-src 'self'; script-src 'unsafe-inline' https://localhost:*",
    }
    page = page_at(context, f"{shop.url}/integrations")
    assert page.evaluate("crossOriginIsolated") is True
    popup = popup_of(page)
    decided(popup)
    assert said(page, CONNECTED)
    assert gone(popup)


@pytest.mark.usefixtures("cutting_off")
def test_a_window_that_was_cut_off_looks_closed_and_is_not(
    shop: Company, stack: Ready, context: BrowserContext
) -> None:
    """Whoever was told `closed` too early loses nothing: the return page carries on by itself."""
    page = page_at(context, f"{shop.url}/opener")
    popup = begun(page, "early", connect_url(stack, f"{shop.url}/back"), graceSeconds=0.5)
    popup.get_by_role("link", name=CONNECT).click()
    popup.wait_for_selector("text=Allow access to HubSpot?")
    assert heard(page, "early") == "closed"
    assert not popup.is_closed()
    popup.get_by_role("button", name="Allow").click()
    popup.wait_for_function("window.done")
    done = popup.evaluate("window.done")
    assert (done["told"], set(done["result"])) == (False, {"session", "integration", "handle"})
    assert popup.url == f"{shop.url}/back"


def test_a_window_that_is_closed_is_said_after_the_grace(shop: Company, stack: Ready, context: BrowserContext) -> None:
    page = page_at(context, f"{shop.url}/opener")
    begun(page, "one", connect_url(stack, f"{shop.url}/back"), graceSeconds=0.5).close()
    assert heard(page, "one") == "closed"


def test_two_popups_at_once_bring_each_its_own(shop: Company, stack: Ready, context: BrowserContext) -> None:
    page = page_at(context, f"{shop.url}/opener")
    first = begun(page, "first", connect_url(stack, f"{shop.url}/back"))
    second = begun(page, "second", connect_url(stack, f"{shop.url}/back"))
    decided(second)
    assert set(heard(page, "second")) == {"session", "integration", "handle"}
    decided(first, "Deny")
    assert heard(page, "first")["error"] == "access_denied"
    assert heard(page, "first")["session"] != heard(page, "second")["session"]


def test_a_return_page_of_another_origin_tells_the_one_that_it_names(
    shop: Company, stack: Ready, context: BrowserContext
) -> None:
    options = json.dumps({"openerOrigin": shop.elsewhere})
    shop.pages["/back"] = BACK.format(**script(stack), options=options)
    page = page_at(context, f"{shop.elsewhere}/opener")
    popup = begun(page, "one", connect_url(stack, f"{shop.url}/back"), returnOrigin=shop.url)
    decided(popup)
    assert set(heard(page, "one")) == {"session", "integration", "handle"}
    assert gone(popup)


def test_a_return_page_that_names_another_origin_tells_nobody(
    shop: Company, stack: Ready, context: BrowserContext
) -> None:
    options = json.dumps({"openerOrigin": "https://other.example.com", "waitSeconds": 0.5})
    shop.pages["/back"] = BACK.format(**script(stack), options=options)
    page = page_at(context, f"{shop.elsewhere}/opener")
    popup = begun(page, "one", connect_url(stack, f"{shop.url}/back"), returnOrigin=shop.url)
    decided(popup)
    popup.wait_for_function("window.done")
    assert popup.evaluate("window.done.told") is False
    assert page.evaluate("heard") == {}


@pytest.mark.parametrize("way", ["channel", "messages"])
def test_another_origin_can_bring_no_result(shop: Company, stack: Ready, context: BrowserContext, way: str) -> None:
    """S-02: whoever forges a result is not heard, though it opened the page and knows the session."""
    at, options = shop.url, dict[str, object]()
    if way == "messages":
        at, options = shop.elsewhere, {"returnOrigin": shop.url}
        told = json.dumps({"openerOrigin": shop.elsewhere})
        shop.pages["/back"] = BACK.format(**script(stack), options=told)
    created = session(stack, f"{shop.url}/back")
    hostile = page_at(context, f"http://hostile.localhost:{shop.port}/hostile")
    with hostile.expect_popup() as opened:
        hostile.evaluate("([url, session]) => attack(url, session)", [f"{at}/opener", created["session"]])
    page = opened.value
    page.wait_for_load_state()
    popup = begun(page, "one", created["connect_url"], **options)
    popup.get_by_role("link", name=CONNECT).click()
    before = hostile.evaluate("posted")
    hostile.wait_for_function("(before) => posted > before + 10", arg=before)
    assert page.evaluate("heard") == {}
    popup.get_by_role("button", name="Allow").click()
    result = heard(page, "one")
    assert result["session"] == created["session"]
    assert result["handle"].startswith(f"{TICKETING}.")


def test_a_blocked_popup_falls_back_to_the_full_page(shop: Company, chromium: Browser) -> None:
    """The button is pressed by a script as soon as the page is there, which browsers do not take for a click."""
    browser = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=FLAGS, ignore_default_args=["--disable-popup-blocking"]
    )
    page = browser.new_context(ignore_https_errors=True).new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    press = "if (!location.search) addEventListener('load', () => document.querySelector('#connect').click())"
    page.add_init_script(f"if (location.origin === '{shop.url}') {{ {press} }}")
    page.goto(f"{shop.url}/integrations")
    page.wait_for_url("**/connect?session=*")
    assert len(page.context.pages) == 1
    decided(page)
    assert said(page, CONNECTED)
    assert page.url == f"{shop.url}/integrations"
    browser.close()


def test_the_cookie_of_a_consent_survives_the_way_back_from_another_site(
    shop: Company, stack: Ready, context: BrowserContext
) -> None:
    """S-18: the provider is at 127.0.0.1, Consentry at localhost, and the flow's cookie `SameSite=Lax`."""
    page = page_at(context, f"{shop.url}/integrations")
    popup = popup_of(page)
    popup.get_by_role("link", name=CONNECT).click()
    popup.wait_for_selector("text=Allow access to HubSpot?")
    popup.goto(popup.url.replace("localhost", "127.0.0.1", 1))
    assert urlsplit(popup.url).hostname == "127.0.0.1"
    (cookie,) = (each for each in context.cookies(stack.base_url) if each["name"].startswith("__Host-cv-"))
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"], cookie["path"]) == ("Lax", True, True, "/")
    popup.get_by_role("button", name="Allow").click()
    assert said(page, CONNECTED)
