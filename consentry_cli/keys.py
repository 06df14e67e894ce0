"""`consentry keys`: whom an export is sealed to, and the vault's own keys."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from consentry.transfer.sealing import PrivateKey
from consentry_cli.failures import Exit, Failure
from consentry_cli.output import fields, show
from consentry_cli.settings import Settings, common, needs


@click.group()
def keys() -> None:
    """Whom an export is sealed to, and the vault's own keys replaced by others."""


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
@needs
def new(settings: Settings, file: Path) -> None:
    """Make a key pair: FILE is the private key, for you alone; FILE.pub is what others export to."""
    made, public = PrivateKey.generate(), file.with_name(f"{file.name}.pub")
    create(file, f"{made.written().reveal()}\n", mode=0o600)
    try:
        create(public, f"{made.recipient}\n", mode=0o644)
    except Failure:
        file.unlink()  # half a pair would only be in the way
        raise
    value = {"private": str(file), "public": str(public), "recipient": str(made.recipient), "id": made.recipient.id}
    show(value, lambda told: fields(told.items()), as_json=settings.json)


def create(file: Path, text: str, *, mode: int) -> None:
    """Write a file that is not there yet, whole or not at all."""
    with new_file(file, mode=mode) as opened:
        opened.write(text)


@contextmanager
def new_file(file: Path, *, mode: int) -> Iterator[TextIO]:
    """Open a file that is not there yet; it is gone again if anything goes wrong before its end."""
    try:
        opened = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8")
    except FileExistsError:
        sentence = f"{file} is there already: name another file, or move it away."
        raise Failure(sentence, Exit.REFUSED, "file_exists") from None
    except OSError as error:
        raise _unwritable(file, error) from None
    whole = False
    try:
        with opened:
            yield opened
        whole = True
    except OSError as error:
        raise _unwritable(file, error) from None
    finally:
        if not whole:
            file.unlink(missing_ok=True)


def _unwritable(file: Path, error: OSError) -> Failure:
    return Failure(f"{file} cannot be written: {error.strerror}.", Exit.USAGE, "file_unwritable")


def private_key(file: Path) -> PrivateKey:
    return PrivateKey.parse(file.read_text(errors="replace"))
