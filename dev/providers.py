"""The provider files of the local stack: the built-in ones led to the local authorization server, and the user's."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from consentry.catalogue.load import BUILT_IN, load_directory
from consentry.errors import ConsentryError
from consentry.oauth.provider import Provider
from dev.mistakes import Mistake

LOCAL: Final = "local-"
URL_FIELD: Final = re.compile(r'(\b(?:url|\w+_url)\s*=\s*)"https://([^"]*)"')
OWN_HOST: Final = re.compile(r"(\{\w+\})\.([^/]+)")
ID_FIELD: Final = re.compile(r'^(id\s*=\s*)"', re.MULTILINE)


def write_overlays(target: Path, server_url: str, source: Path = BUILT_IN) -> None:
    """Write `local-<id>.toml` for each built-in provider, with its URLs led to the server as `local_url` says."""
    for file in sorted(source.glob("*.toml")):
        text = URL_FIELD.sub(lambda url: f'{url[1]}"{local_url(server_url, url[2])}"', file.read_text())
        (target / f"{LOCAL}{file.name}").write_text(ID_FIELD.sub(rf'\1"{LOCAL}', text, count=1))


def local_url(server_url: str, address: str) -> str:
    """Return where `https://<address>` is played: `<server_url>/HOST/...`; a variable of the host follows its name."""
    return f"{server_url}/{OWN_HOST.sub(r'\2/\1', address, count=1)}"


def add_own(target: Path, own: Path) -> None:
    """Copy the user's files beside; raise `Mistake` for an empty folder and for ids that exist already."""
    files = sorted(own.glob("*.toml"))
    if not files:
        raise Mistake(f"PROVIDERS={own}: holds no .toml file")
    taken = {file.name for folder in (target, BUILT_IN) for file in folder.glob("*.toml")}
    doubles = [file for file in files if file.name in taken]
    if doubles:
        raise Mistake(
            *(f"{file}: a provider of this id exists already; rename the file and its id" for file in doubles)
        )
    for file in files:
        shutil.copyfile(file, target / file.name)


def check_own(own: Path, allowed_origins: frozenset[str]) -> None:
    """Raise `Mistake` with a line for everything that is wrong in the user's provider files."""
    _load(own, allowed_origins)


def load_all(folder: Path, allowed_origins: frozenset[str]) -> Mapping[str, Provider]:
    """Return the built-in providers and those of `folder`, by id."""
    return {**_load(BUILT_IN, frozenset()), **_load(folder, allowed_origins)}


def _load(folder: Path, allowed_origins: frozenset[str]) -> dict[str, Provider]:
    try:
        return load_directory(folder, allowed_origins=allowed_origins)
    except ConsentryError as wrong:
        raise Mistake(*str(wrong).splitlines()) from wrong
