"""Fill the one page that people see; every value is escaped, and provider text never gets here."""

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a result page says. `reference` is the correlation id that finds the log line."""

    title: str
    text: str
    tone: Literal["good", "trouble"] = "good"
    reference: str = ""


def render(page: Page) -> str:
    reference = f'<p class="reference">Reference: <code>{escape(page.reference)}</code></p>' if page.reference else ""
    return _template().substitute(
        title=escape(page.title),
        text=escape(page.text),
        tone=page.tone,
        mark="\N{CHECK MARK}" if page.tone == "good" else "!",
        style=stylesheet(),
        reference=reference,
    )


@cache
def stylesheet() -> str:
    return _read("style.css")


@cache
def _template() -> Template:
    return Template(_read("result.html"))


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
