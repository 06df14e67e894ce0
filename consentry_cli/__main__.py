"""The command `consentry`, also as `python -m consentry_cli`."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.utils import PacifyFlushWrapper

from consentry.errors import ConsentryError
from consentry_cli.app import consentry
from consentry_cli.failures import Exit, Failure, failure_of
from consentry_cli.settings import Settings

_INTERRUPTED = 130


def main(words: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Run one command; return its exit code. Whatever goes wrong is one sentence on standard error."""
    chosen = settings or Settings()
    _open_streams()
    try:
        answer: int | None = consentry.main(args=words, prog_name="consentry", standalone_mode=False, obj=chosen)
        sys.stdout.flush()
    except click.Abort:
        return _interrupted(as_json=chosen.json)
    except SystemExit as ended:  # how click ends where nobody reads any more, and a shell's completion
        return Exit.OK if isinstance(sys.stdout, PacifyFlushWrapper) else int(ended.code or Exit.OK)
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - the process's one boundary; a text may hold a secret, so only its kind is told
        return _explained(error, as_json=chosen.json)
    return answer or Exit.OK


def _open_streams() -> None:
    """Have nothing to read or write where a stream was closed: Python has None for it then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


def _interrupted(*, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"error": "interrupted", "message": "Interrupted."}), err=True)
    else:
        click.echo("Interrupted.", err=True)
    return _INTERRUPTED


def _explained(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, click.ClickException):
        return _usage(error, as_json=as_json)
    if isinstance(error, ConsentryError):
        failure = failure_of(error)
    elif isinstance(error, Failure):
        failure = error
    elif isinstance(error, OSError) and error.strerror:
        sentence = f"{error.filename or 'The output'} cannot be read or written: {error.strerror}."
        failure = Failure(sentence, Exit.UNAVAILABLE, "file_trouble")
    else:
        sentence = f"Something unforeseen happened ({type(error).__name__}). Please report it with the command."
        failure = Failure(sentence, Exit.UNAVAILABLE, "unforeseen")
    _say(failure, as_json=as_json)
    return failure.exit_code


def _say(failure: Failure, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": failure.code, "message": failure.sentence}), err=True)
    else:
        click.echo(f"consentry: {failure.sentence}", err=True)


def _usage(mistake: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        _say(Failure(mistake.format_message(), Exit.USAGE, "usage"), as_json=True)
    else:
        mistake.show()
    return Exit.USAGE


if __name__ == "__main__":
    sys.exit(main())
