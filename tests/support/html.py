"""A page as its parser sees it: elements without their texts, and what can be found in it."""

from html.parser import HTMLParser
from typing import Final

type Element = tuple[str, list[tuple[str, str | None]]]

VOID: Final = frozenset({"br", "input", "link", "meta"})


class Outline(HTMLParser):
    """`elements` are tags with their attributes, `texts` what stands between them; both in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def skeleton(self) -> list[tuple[str, list[str]]]:
        """Elements and the names of their attributes: what no text that somebody enters may change."""
        return [(tag, [name for name, _ in attrs]) for tag, attrs in self.elements]

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Return the attributes of each such element; `class_` is class, `aria_label` aria-label."""
        given = [{name: value or "" for name, value in attrs} for each, attrs in self.elements if each == tag]
        asked = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [each for each in given if asked.items() <= each.items()]

    def one(self, tag: str, **wanted: str) -> dict[str, str]:
        (found,) = self.all(tag, **wanted)
        return found
