"""HTML from functions: whatever is not HTML already is escaped, because of its type, whoever thought of it."""

from html import escape
from typing import Final

type Child = "Html | str | int"
type Attribute = str | int | bool | None

_VOID: Final = frozenset({"input", "meta"})  # of HTML alone: an element of SVG would take the next one for its child


class Html(str):
    """Text that is markup. Only `tag`, `joined` and the files of this package make it."""

    __slots__ = ()


def text(value: Child) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value)))


def joined(*children: Child) -> Html:
    return Html("".join(map(text, children)))


def tag(element: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element. `class_` is class, `aria_label` aria-label; True is a bare attribute, None and False none."""
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Html(f"<{element}{given}>" if element in _VOID else f"<{element}{given}>{joined(*children)}</{element}>")


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{escape(str(value))}"'
