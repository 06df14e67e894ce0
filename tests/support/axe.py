"""axe-core, the accessibility checker that runs inside a page: fetched once, held to its hash, and kept out of git."""

import base64
import fcntl
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support.own_environment import NotInstalled

_ROOT: Final = Path(__file__).parents[2]
_FETCH_SECONDS: Final = 60.0
_MEMBER: Final = "package/axe.min.js"


def axe_script(folder: Path = _ROOT / ".venv-axe") -> str:
    """Return the script of the locked version (`axe.lock`), fetched now if it is not here.

    Processes wait for each other. Raises `NotInstalled`.
    """
    package, integrity = Path(__file__).with_suffix(".lock").read_text(encoding="utf-8").split()
    folder.mkdir(exist_ok=True)
    kept = folder / f"{hashlib.sha256(integrity.encode()).hexdigest()[:16]}.tgz"
    with (folder / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(_fetched(package))
    content = kept.read_bytes()
    if f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}" != integrity:
        kept.unlink()
        raise NotInstalled(f"what was fetched as {package} is not what the lock says")
    with tarfile.open(kept) as archive:
        script = archive.extractfile(_MEMBER)
        if script is None:
            raise NotInstalled(f"{package} has no {_MEMBER}")
        return script.read().decode()


def _fetched(package: str) -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("npm is not there (it comes with Node.js)")
    with TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--fetch-retries=0", package]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_FETCH_SECONDS)
        except (OSError, subprocess.SubprocessError):
            raise NotInstalled("it could not be fetched (is the package registry reachable?)") from None
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()
