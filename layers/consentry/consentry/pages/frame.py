"""What every page has around it: one document, one header, one footer, one style sheet, and no script."""

import zlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from consentry.pages.look import Look, stylesheet
from consentry.pages.markup import Html, joined, tag
from consentry.pages.words import Words, words

_TINTS: Final = 6


@dataclass(frozen=True, slots=True)
class Manner:
    """How a page looks, and the language in which it speaks."""

    look: Look
    words: Words


@dataclass(frozen=True, slots=True)
class Links:
    """Where the tiles lead: `base_url` is the deployment's own, never the request's; `ticket` opens the session.

    `back` is the return URL, empty where there is none that is registered.
    """

    base_url: str
    ticket: str
    back: str = ""

    def page(self, integration: str = "") -> str:
        """Return the page's address, down to an integration's tile if one is named."""
        return self._to("connect") + (f"#{name_id(integration)}" if integration else "")

    def consent(self, integration: str) -> str:
        return self._to("authorize", integration)

    def form(self, integration: str) -> str:
        return self._to("connect", integration)

    def disconnect(self, integration: str) -> str:
        return self._to("connect", integration, "disconnect")

    def _to(self, *path: str) -> str:
        whole = "/".join((self.base_url, *(quote(each, safe="") for each in path)))
        return f"{whole}?{urlencode({'session': self.ticket})}"


def name_id(integration: str) -> str:
    """Return the id of the heading of an integration's tile."""
    return f"name-{quote(integration, safe='')}"


def plain() -> Manner:
    return Manner(Look(), words("en"))


def document(manner: Manner, title: str, main: Html, *, wide: bool = False) -> str:
    """Return a whole document; `main` is its main element."""
    look, say = manner.look, manner.words
    whole_title = f"{title} - {look.company}" if look.company else title
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="robots", content="noindex"),
        tag("title", whole_title),
        tag("style", stylesheet(look)),
    )
    body = tag("body", _header(look), main, tag("footer", say("footer")), class_="wide" if wide else "narrow")
    return "<!doctype html>\n" + tag("html", head, "\n", body, lang=say.language)


def _header(look: Look) -> Html:
    if not look.company:
        return Html()
    return tag("header", _logo(look), tag("span", look.company, class_="company"))


def _logo(look: Look) -> Html:
    """Return the company's mark; without one, its first letter."""
    shown = tag("path", d=look.logo) if look.logo else _letters(look.company[:1])
    return tag("svg", shown, class_="logo", viewBox="0 0 24 24", aria_hidden="true", focusable="false")


def _letters(value: str) -> Html:
    return tag("text", value.upper(), x=12, y=12, text_anchor="middle", dominant_baseline="central")


def monogram(name: str, seed: str) -> Html:
    """Return a mark of our own making: the first letters of the name's words, on a tint of the integration's."""
    initials = "".join(word[:1] for word in name.split() if word[:1].isalnum())[:2]
    return tag(
        "svg",
        tag("rect", width=24, height=24, rx=6),
        _letters(initials),
        class_=f"monogram m{zlib.crc32(seed.encode()) % _TINTS}",
        viewBox="0 0 24 24",
        aria_hidden="true",
        focusable="false",
    )


def reference(say: Words, correlation_id: str) -> Html:
    if not correlation_id:
        return Html()
    return joined(tag("p", f"{say('reference')}: ", tag("code", correlation_id), class_="reference"))
