"""Providers by id, from directories: compiled ones for the price of one JSON file, TOML files where there are any."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from consentry.catalogue.revive import revived
from consentry.errors import Misconfigured, OperatorMustAct
from consentry.oauth.provider import Provider

BUILT_IN: Final = Path(__file__).with_name("providers")
COMPILED: Final = "catalogue.json"
NO_ORIGINS: Final[frozenset[str]] = frozenset()
PROVIDER_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class ProviderFileInvalid(OperatorMustAct):
    """A provider file that cannot be used. `problems` holds one sentence each, beginning with file and field."""

    default_code = "provider_file_invalid"

    def __init__(self, filename: str, problems: Sequence[str]) -> None:
        self.problems = tuple(f"{filename}: {problem}" for problem in problems)
        super().__init__("\n".join(self.problems))


class Catalogue:
    """Providers from directories, one file read per provider asked for. Implements `ports.Catalogue`.

    A directory holds TOML files, or what `consentry.catalogue.compile` made of them, or both. An id belongs to one of
    them: a file that shadows another is refused, so that nobody wonders which one counts. Directories that do not exist
    are skipped.
    """

    def __init__(self, directories: Sequence[Path] = (BUILT_IN,), allowed_origins: frozenset[str] = NO_ORIGINS) -> None:
        self._directories = tuple(directories)
        self._allowed_origins = allowed_origins
        self._loaded: dict[str, Provider] = {}
        self._compiled: dict[Path, Mapping[str, object]] = {}

    def provider(self, provider_id: str) -> Provider:
        """Raise `Misconfigured` if there is none of that id, `ProviderFileInvalid` if its file has mistakes."""
        if provider_id not in self._loaded:
            self._loaded[provider_id] = self._read(self._file(provider_id), provider_id)
        return self._loaded[provider_id]

    def _file(self, provider_id: str) -> Path:
        found = []
        if PROVIDER_ID.fullmatch(provider_id):
            for directory in self._directories:
                compiled, source = directory / COMPILED, directory / f"{provider_id}.toml"
                found += [compiled] if provider_id in self._table(compiled) else []
                found += [source] if source.is_file() else []
        if not found:
            message = f"there is no provider {provider_id!r}: add a file of that name, or correct the integration"
            raise Misconfigured(message)
        if len(found) > 1:
            problem = f"id {provider_id} exists already in {found[0].parent}: rename this file and its id"
            raise ProviderFileInvalid(str(found[1]), [problem])
        return found[0]

    def _read(self, file: Path, provider_id: str) -> Provider:
        if file.name == COMPILED:
            return _usable(file, self._compiled[file][provider_id])
        # A TOML parser and every rule for what is in a file: a deployment that compiled its catalogue needs neither.
        from consentry.catalogue.load import read_provider  # noqa: PLC0415 - as said above

        return read_provider(file, self._allowed_origins)

    def _table(self, file: Path) -> Mapping[str, object]:
        if file not in self._compiled:
            self._compiled[file] = _compiled_table(file)
        return self._compiled[file]


def _compiled_table(file: Path) -> Mapping[str, object]:
    try:
        table = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        table = None
    except OSError as failure:
        raise ProviderFileInvalid(str(file), [f"cannot be read: {failure.strerror}"]) from None
    if isinstance(table, dict):
        return table
    raise _foreign(file)


def _usable(file: Path, table: object) -> Provider:
    try:
        return revived(table)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _foreign(file) from None


def _foreign(file: Path) -> ProviderFileInvalid:
    return ProviderFileInvalid(str(file), ["was not compiled by this version: build the layer again"])
