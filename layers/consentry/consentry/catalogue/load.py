"""Provider files: TOML in, validated `Provider`s out, and every mistake named with its file, field and remedy."""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

from consentry.catalogue.rules import PROVIDER_ID, broken_rules
from consentry.catalogue.shape import Reader
from consentry.errors import Misconfigured, OperatorMustAct
from consentry.oauth.provider import Provider, Rotation

BUILT_IN: Final = Path(__file__).with_name("providers")
NO_ORIGINS: Final[frozenset[str]] = frozenset()


class ProviderFileInvalid(OperatorMustAct):
    """A provider file that cannot be used. `problems` holds one sentence each, beginning with file and field."""

    default_code = "provider_file_invalid"

    def __init__(self, filename: str, problems: Sequence[str]) -> None:
        self.problems = tuple(f"{filename}: {problem}" for problem in problems)
        super().__init__("\n".join(self.problems))


class Catalogue:
    """Providers from directories, one file read per provider asked for. Implements `ports.Catalogue`.

    An id belongs to one directory: a file that shadows another directory's is refused, so that nobody wonders which one
    counts. Directories that do not exist are skipped.
    """

    def __init__(self, directories: Sequence[Path] = (BUILT_IN,), allowed_origins: frozenset[str] = NO_ORIGINS) -> None:
        self._directories = tuple(directories)
        self._allowed_origins = allowed_origins
        self._loaded: dict[str, Provider] = {}

    def provider(self, provider_id: str) -> Provider:
        """Raise `Misconfigured` if there is none of that id, `ProviderFileInvalid` if its file has mistakes."""
        if provider_id not in self._loaded:
            self._loaded[provider_id] = _read(self._file(provider_id), self._allowed_origins)
        return self._loaded[provider_id]

    def _file(self, provider_id: str) -> Path:
        found = []
        if PROVIDER_ID.fullmatch(provider_id):
            candidates = (directory / f"{provider_id}.toml" for directory in self._directories)
            found = [path for path in candidates if path.is_file()]
        if not found:
            message = f"there is no provider {provider_id!r}: add a file of that name, or correct the integration"
            raise Misconfigured(message)
        if len(found) > 1:
            problem = f"id {provider_id} exists already in {found[0].parent}: rename this file and its id"
            raise ProviderFileInvalid(str(found[1]), [problem])
        return found[0]


def load_directory(path: Path, *, allowed_origins: frozenset[str] = NO_ORIGINS) -> dict[str, Provider]:
    """Read every `*.toml` of a directory, by id; raise `ProviderFileInvalid` for the first file with mistakes."""
    if not path.is_dir():
        raise ProviderFileInvalid(str(path), ["is not a directory: give one that holds provider files (*.toml)"])
    providers = (_read(file, allowed_origins) for file in sorted(path.glob("*.toml")))
    return {provider.id: provider for provider in providers}


def parse_provider(text: str, filename: str, *, allowed_origins: frozenset[str] = NO_ORIGINS) -> Provider:
    """Return the provider that a TOML text describes; raise `ProviderFileInvalid` naming each mistake otherwise.

    `allowed_origins` are loopback origins that may be plain http, such as `http://localhost:4000`; `*` is any of them.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as mistake:
        raise ProviderFileInvalid(filename, [f"is not TOML: {mistake}"]) from None
    reader = Reader()
    reader.problems += _head_problems(table, Path(filename).stem)
    provider = reader.table(Provider, _with_dates_as_text(table))
    if provider is None or reader.problems:
        raise ProviderFileInvalid(filename, reader.problems)
    broken = list(broken_rules(provider, allowed_origins))
    if broken:
        raise ProviderFileInvalid(filename, broken)
    return provider


def _read(file: Path, allowed_origins: frozenset[str]) -> Provider:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ProviderFileInvalid(str(file), ["is not UTF-8: save it as UTF-8"]) from None
    except OSError as failure:
        raise ProviderFileInvalid(str(file), [f"cannot be read: {failure.strerror}"]) from None
    return parse_provider(text, str(file), allowed_origins=allowed_origins)


def _head_problems(table: Mapping[str, object], stem: str) -> list[str]:
    """Return what only the raw table shows: the id's name, dates that are none, a grace that nobody thought about."""
    problems = []
    provider_id = table.get("id")
    if isinstance(provider_id, str) and not PROVIDER_ID.fullmatch(provider_id):
        problems.append("id must be lower-case letters, digits and -, and begin with a letter or digit")
    if isinstance(provider_id, str) and provider_id != stem:
        problems.append(f"id is {provider_id!r}, but the file is named {stem}.toml: make them the same")
    problems += [
        f"{name} must be a date without quotes, such as 2026-11-22"
        for name in ("checked", "sunset")
        if name in table and not _is_date(table[name])
    ]
    refresh = table.get("refresh")
    if (
        isinstance(refresh, dict)
        and refresh.get("rotation") == Rotation.ROTATES
        and "reuse_grace_seconds" not in refresh
    ):
        problems.append('refresh.reuse_grace_seconds is missing: rotation = "rotates" needs it; 0 means no grace')
    return problems


def _with_dates_as_text(table: Mapping[str, object]) -> dict[str, object]:
    """Return the table with dates in ISO form; a wrong one, named already, becomes empty."""
    dates = {name: _iso(table[name]) for name in ("checked", "sunset") if name in table}
    return {**table, **dates}


def _is_date(value: object) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else ""
