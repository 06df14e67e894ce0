"""What pages say, in the languages there are: one file of texts each, read once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

LANGUAGES: Final = ("en", "pt")
_MOST_WISHES: Final = 20  # of a browser; more are not looked at


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language, by key; `$name` in a text is filled in and nothing else is."""

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text; raise `KeyError` for a key or a value that is missing."""
        return Template(self.texts[key]).substitute(values)

    def one_of(self, first: str, otherwise: str, **values: object) -> str:
        """Return the text of the first key if there is one."""
        return self(first if first in self.texts else otherwise, **values)


@cache
def words(language: str) -> Words:
    """Return the texts of one of `LANGUAGES`."""
    file = Path(__file__).parent / "texts" / f"{language}.json"
    return Words(language, json.loads(file.read_text(encoding="utf-8")))


def words_for(session_language: str, accept_language: str) -> Words:
    """Choose: what the session says, then what the browser likes best (RFC 9110 section 12.5.4), then English."""
    wished = (session_language, *_wishes(accept_language), LANGUAGES[0])
    return words(next(each for each in wished if each in LANGUAGES))


def _wishes(accept_language: str) -> list[str]:
    """Return the languages that a browser asks for, without regions, the dearest first."""
    weighed = sorted(_weighed(accept_language), key=lambda each: -each[0])
    return [language for _, language in weighed]


def _weighed(accept_language: str) -> Iterator[tuple[float, str]]:
    for each in accept_language.split(",")[:_MOST_WISHES]:
        tag, _, parameters = each.partition(";")
        try:
            quality = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if 0 < quality <= 1:
            yield quality, tag.strip().lower().partition("-")[0]
