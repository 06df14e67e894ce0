"""Provider files: TOML in, validated `Provider`s out, and every mistake named with its file, field and remedy."""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

from consentry.catalogue.lookup import BUILT_IN, NO_ORIGINS, PROVIDER_ID, Catalogue, ProviderFileInvalid
from consentry.catalogue.rules import broken_rules
from consentry.catalogue.shape import Reader
from consentry.oauth.provider import Provider, Rotation

__all__ = [
    "BUILT_IN",
    "NO_ORIGINS",
    "Catalogue",
    "ProviderFileInvalid",
    "load_directory",
    "parse_provider",
    "read_provider",
]


def load_directory(path: Path, *, allowed_origins: frozenset[str] = NO_ORIGINS) -> dict[str, Provider]:
    """Read every `*.toml` of a directory, by id; raise `ProviderFileInvalid` for the first file with mistakes."""
    if not path.is_dir():
        raise ProviderFileInvalid(str(path), ["is not a directory: give one that holds provider files (*.toml)"])
    providers = (read_provider(file, allowed_origins) for file in sorted(path.glob("*.toml")))
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


def read_provider(file: Path, allowed_origins: frozenset[str] = NO_ORIGINS) -> Provider:
    """Read one file; raise `ProviderFileInvalid` if it cannot be read or has mistakes."""
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
