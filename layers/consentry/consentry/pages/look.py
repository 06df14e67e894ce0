"""How pages look: the company's name, one colour and a mark, and whatever the colour, readable."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

from consentry.pages.markup import Html

ACCENT: Final = "#1f5f8b"
_ACCENT: Final = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_LOGO: Final = re.compile(r"[MmLlHhVvCcSsQqTtAaZz0-9 .,-]{1,2000}")
_MOST_COMPANY: Final = 80
_INK, _PAPER = "#000000", "#ffffff"
_KNEE, _FLARE = 0.04045, 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """`logo` is the `d` of one SVG path on a grid of 24 by 24; nothing is ever loaded from anywhere."""

    company: str = ""
    accent: str = ACCENT
    logo: str = ""

    @classmethod
    def of(cls, company: str, accent: str, logo: str) -> Self:
        """Take what can be used. The template refuses the rest; a page of trouble must not fail for its colour."""
        return cls(
            company=company if company.isprintable() and len(company) <= _MOST_COMPANY else "",
            accent=accent.lower() if _ACCENT.fullmatch(accent) else ACCENT,
            logo=logo if _LOGO.fullmatch(logo) else "",
        )

    @property
    def on_accent(self) -> str:
        """Black or white: the one that is read better on the accent; it has 4.58 to 1 at the least."""
        return max((_PAPER, _INK), key=lambda ink: contrast(ink, self.accent))


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + _FLARE) / (dark + _FLARE)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= _KNEE else float(((channel + 0.055) / 1.055) ** 2.4)


@cache
def stylesheet(look: Look) -> Html:
    """Return the style sheet with the accent in it; it holds no text of anybody else's."""
    accent = f":root {{ --accent: {look.accent}; --on-accent: {look.on_accent}; }}\n"
    return Html(accent + Path(__file__).with_name("style.css").read_text(encoding="utf-8"))


@cache
def style_hash(look: Look) -> str:
    """Return what the policy header allows the style sheet by (CSP level 3)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(stylesheet(look).encode()).digest()).decode()
