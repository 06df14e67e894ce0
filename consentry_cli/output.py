"""What a command says: one JSON value for a program, or text for a person, in colours only at a terminal."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_WIDE: Final = 400  # a table that goes into a file is not cut to somebody's terminal

type Value = dict[str, Any]


def console(*, errors: bool = False) -> Console:
    stream = sys.stderr if errors else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDE, highlight=False)


def show(value: Value, draw: Callable[[Value], RenderableType], *, as_json: bool) -> None:
    """Write the value as JSON, or as what `draw` makes of it."""
    if as_json:
        click.echo(json.dumps(value, indent=2))
    else:
        console().print(draw(value))


def plain(text: object, style: str = "") -> Text:
    """Return text that came from elsewhere: no markup, and nothing that a terminal would obey."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text)), style)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return drawn


def fields(pairs: Iterable[tuple[str, object]]) -> Table:
    """Return names and values below each other; values that say nothing are left out."""
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != "":
            drawn.add_row(name, value if isinstance(value, Text) else plain(value))
    return drawn


def moment(seconds: int | None) -> str:
    """Return epoch seconds as a person reads them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else ""
