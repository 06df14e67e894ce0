"""A Node program with its packages, which are installed once, from hashes, into a folder of their own, `.venv-<name>`.

What a package would run when it is installed does not run.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.own_environment import NotInstalled

_ROOT: Final = Path(__file__).parents[2]
_INSTALL_SECONDS: Final = 240.0
_LISTS: Final = ("package.json", "package-lock.json")
_PATIENCE: Final = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=15000")
_COMMAND: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", *_PATIENCE)


@dataclass(frozen=True, slots=True)
class NodePackages:
    """`source` is the folder with the program, its `package.json` and `package-lock.json`."""

    name: str
    source: Path
    folder: Path = _ROOT

    def beside(self, place: Path, programs: Sequence[Path] = ()) -> None:
        """Copy the source's programs, and more, to `place` with their packages. Raises `NotInstalled`."""
        if node() is None:
            raise NotInstalled("there is no node (apt-get install nodejs)")
        packages = self._installed()
        for each in (*self.source.glob("*.mjs"), *programs):
            shutil.copy(each, place)
        (place / "node_modules").symlink_to(packages)

    def _installed(self) -> Path:
        """Return the packages' folder, filled now if it is missing or older than the lock; processes wait."""
        environment = self.folder / f".venv-{self.name}"
        packages, stamp = environment / "node_modules", environment / "installed"
        environment.mkdir(exist_ok=True)
        with (environment / "turn").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not packages.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != self._wanted():
                self._install(environment)
                stamp.write_text(self._wanted(), encoding="utf-8")
        return packages

    def _wanted(self) -> str:
        return hashlib.sha256(b"".join((self.source / each).read_bytes() for each in _LISTS)).hexdigest()

    def _install(self, environment: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise NotInstalled("npm is not there (it comes with Node.js)")
        for each in _LISTS:
            shutil.copy(self.source / each, environment)
        command, limit = [npm, *_COMMAND], _INSTALL_SECONDS
        try:
            subprocess.run(command, cwd=environment, env=os.environ, check=True, capture_output=True, timeout=limit)
        except (OSError, subprocess.SubprocessError):
            raise NotInstalled("its packages could not be installed (is the package registry reachable?)") from None


def node() -> str | None:
    return shutil.which("node")
