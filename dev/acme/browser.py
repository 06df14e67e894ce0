"""A browser without a screen: it keeps cookies, follows redirects, and presses the buttons of a page by their text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests

MAXIMUM_REDIRECTS: Final = 10
TIMEOUT_SECONDS: Final = 40
VOID: Final = frozenset({"input", "link", "meta", "br", "hr", "img"})


class NoSuchButton(Exception):
    """The page does not have what was to be pressed."""


class NoAnswer(Exception):
    """There was no answer, or no end of redirects. Unlike `requests`' own errors, this one names no query."""


@dataclass(slots=True)
class Button:
    name: str
    value: str
    text: str = ""


@dataclass(slots=True)
class Form:
    """What would be sent: the fields as they stand, and the buttons that send them."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`trail` names the hosts and paths that led here, without their queries; `notice` is what the page announces."""

    url: str
    status: int
    title: str
    notice: str
    text: str
    rows: int
    forms: Sequence[Form]
    links: Mapping[str, str]
    trail: Sequence[str]


class Browser:
    """One person's browser. `ca_bundle` is the path of the authorities to trust, None for the usual ones."""

    def __init__(self, ca_bundle: str | None) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_bundle or True

    def open(self, url: str) -> Page:
        return self._follow("GET", url, {})

    def press(self, page: Page, text: str, *, action: str = "", typed: Mapping[str, str] | None = None) -> Page:
        """Fill in what is typed and press the button; `action` is the end of the form's path if several have one."""
        for form in page.forms:
            target = urljoin(page.url, form.action)
            button = next((each for each in form.buttons if each.text == text), None)
            if button and urlsplit(target).path.endswith(action):
                chosen = {button.name: button.value} if button.name else {}
                return self._follow("POST", target, {**form.fields, **(typed or {}), **chosen})
        raise NoSuchButton(f"no button {text!r} {action} at {_place(page.url)}, which says: {page.text[:200]}")

    def follow(self, page: Page, text: str) -> Page:
        """Open the link that says so."""
        if text not in page.links:
            raise NoSuchButton(f"no link {text!r} at {_place(page.url)}, which says: {page.text[:200]}")
        return self._follow("GET", urljoin(page.url, page.links[text]), {})

    def _follow(self, method: str, url: str, fields: Mapping[str, str]) -> Page:
        trail = list[str]()
        for _ in range(MAXIMUM_REDIRECTS):
            trail.append(_place(url))
            answer = self._send(method, url, fields)
            if not answer.is_redirect:
                return _page(answer, trail)
            method, url, fields = "GET", urljoin(url, answer.headers["Location"]), {}
        raise NoAnswer(f"more than {MAXIMUM_REDIRECTS} redirects: {' -> '.join(trail)}")

    def _send(self, method: str, url: str, fields: Mapping[str, str]) -> requests.Response:
        # Forms say where they come from; those of a page without referrers give no name for it.
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"} if method == "POST" else {}
        try:
            return self._session.request(
                method, url, data=fields or None, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise NoAnswer(f"{_place(url)} did not answer: {type(error).__name__}") from None


def _place(url: str) -> str:
    """Address without its query, which may hold a ticket, a code or a handle."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


def _page(answer: requests.Response, trail: Sequence[str]) -> Page:
    reader = _Reader()
    reader.feed(answer.text)
    return Page(
        url=answer.url,
        status=answer.status_code,
        title=_words(reader.title),
        notice=_words(reader.notice),
        text=_words(reader.text),
        rows=reader.rows,
        forms=reader.forms,
        links={_words(words): target for target, words in reader.links},
        trail=trail,
    )


def _words(pieces: Sequence[str]) -> str:
    return " ".join(" ".join(pieces).split())


class _Reader(HTMLParser):
    """Reads what a person would see and could send; scripts do not run."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[tuple[str, list[str]]] = []
        self.title: list[str] = []
        self.notice: list[str] = []
        self.text: list[str] = []
        self.rows = 0
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._open.append((tag, given.get("role", "")))
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif tag == "a":
            self.links.append((given.get("href", ""), []))
        elif tag == "input" and self.forms:
            self._field(given)
        elif tag == "button" and self.forms:
            self.forms[-1].buttons.append(Button(given.get("name", ""), given.get("value", "")))
        elif tag == "tr":
            self.rows += ("tbody", "") in self._open

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags, roles = {tag for tag, _ in self._open}, {role for _, role in self._open}
        if "title" in tags:
            self.title.append(data)
        elif "style" not in tags:
            self.text.append(data)
        if roles & {"alert", "status"}:
            self.notice.append(data)
        if "a" in tags and self.links:
            self.links[-1][1].append(data)
        if "button" in tags and self.forms:
            button = self.forms[-1].buttons[-1]
            button.text = _words([button.text, data])

    def _field(self, given: Mapping[str, str]) -> None:
        chosen = given.get("type") not in {"checkbox", "radio"} or "checked" in given
        if chosen and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
