"""Programs whose packages must not mix with ours: each in an environment of its own, `.venv-<name>`.

It is installed once from hashes (`<name>.lock`, beside this file).
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_INSTALL_SECONDS: Final = 120.0


class NotInstalled(Exception):
    """The program is not here and could not be fetched; the message is the reason."""


@dataclass(frozen=True, slots=True)
class OwnEnvironment:
    """`uv_settings` are environment variables for uv alone."""

    name: str
    folder: Path = _ROOT
    uv_settings: Mapping[str, str] = field(default_factory=dict)

    def python(self) -> Path:
        """Return its Python, made now if it is missing or older than the lock.

        Processes wait for each other. Raises `NotInstalled`.
        """
        environment, wanted = self._environment, self._wanted()
        python, stamp = environment / "bin" / "python", environment / "installed"
        environment.mkdir(exist_ok=True)
        with (environment / "turn").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not python.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
                self._install(python)
                stamp.write_text(wanted, encoding="utf-8")
        return python

    @property
    def _environment(self) -> Path:
        return self.folder / f".venv-{self.name}"

    @property
    def _lock(self) -> Path:
        return Path(__file__).with_name(f"{self.name}.lock")

    def _wanted(self) -> str:
        """Return what the environment must be made of: these packages, this Python."""
        return f"{hashlib.sha256(self._lock.read_bytes()).hexdigest()} {sys.version} {sys.base_prefix}"

    def _install(self, python: Path) -> None:
        search = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        uv = shutil.which("uv", path=search)
        if uv is None:
            raise NotInstalled("uv is not there (make .venv/synced installs it)")
        make = [uv, "venv", "--quiet", "--allow-existing", "--no-python-downloads", "--python", sys.executable]
        fill = [uv, "pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:", "--python", str(python)]
        told = {**os.environ, "UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "15", **self.uv_settings}
        try:
            for command in ([*make, str(self._environment)], [*fill, str(self._lock)]):
                subprocess.run(command, env=told, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError):
            raise NotInstalled("its packages could not be installed (is the package index reachable?)") from None
