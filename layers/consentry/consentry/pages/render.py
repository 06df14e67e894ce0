"""The page that a consent ends on, and every page of trouble."""

from dataclasses import dataclass
from typing import Literal

from consentry.errors import ConsentryError
from consentry.model import MOST_TEXT
from consentry.pages.frame import Manner, document, plain, reference
from consentry.pages.markup import tag
from consentry.pages.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a result page says. `reference` is the correlation id that finds the log line."""

    title: str
    text: str
    tone: Literal["good", "trouble"] = "good"
    reference: str = ""


def render(page: Page, manner: Manner | None = None) -> str:
    """Return the document; whatever the page says is escaped."""
    manner = manner or plain()
    mark = "\N{CHECK MARK}" if page.tone == "good" else "!"
    main = tag(
        "main",
        tag("div", mark, class_="mark", aria_hidden="true"),
        tag("h1", page.title),
        tag("p", page.text),
        reference(manner.words, page.reference),
        class_=f"result {page.tone}",
    )
    return document(manner, page.title, main)


def error_text(say: Words, error: ConsentryError) -> str:
    """Return what a page says of an error: ours, by its code, and never what somebody else wrote."""
    about = error.about or say("provider")
    return say.one_of(f"error.{error.code}", "error.other", about=about, most=MOST_TEXT)
