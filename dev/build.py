"""Builds what functions may import on this machine: their layers, and what Lambda's runtime brings along.

Built once for each state of uv.lock and of what builds a layer, in `.local/build`. With BUILT=1 the layers are those
that `make build` made for deployment, as they are.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dev.mistakes import Mistake
from dev.options import BUILD_FIRST, REPOSITORY

BUILD: Final = REPOSITORY / ".local" / "build"
LOCK: Final = REPOSITORY / "uv.lock"
SHARED: Final = REPOSITORY / "layers" / "layer.mk"
PROGRAMS: Final = tuple(Path(__file__).with_name(name) for name in ("roots.py", "trim.py"))  # that its layers run
RUNTIME: Final = ("boto3", "awslambdaric")
BUILD_OPTIONS: Final = frozenset({"PROVIDERS", "ARCHITECTURE", "PYTHON_PLATFORM", "MAKEFLAGS"})
LAST_LINES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPath:
    """What functions import from, after their own folder: layers by logical id, then what the runtime brings."""

    layers: Mapping[str, tuple[Path, ...]]
    runtime: Path

    def of(self, layers: Sequence[str]) -> tuple[Path, ...]:
        """Return the folders for a function with these layers; of two, the later lies over the earlier, as in /opt.

        Layers come before the runtime: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
        """
        return (*(folder for layer in reversed(layers) for folder in self.layers[layer]), self.runtime)


def build(layers: Mapping[str, Path], say: Callable[[str], None]) -> ImportPath:
    """Build what is missing. A layer's own source folder comes before its build, so that edits show at a restart."""
    folders = {}
    for logical_id, source in layers.items():
        digest = _digest(LOCK, SHARED, *PROGRAMS, source / "Makefile")
        made = _once(f"{logical_id}-{digest}", _layer_builder(logical_id, source), say) / "python"
        folders[logical_id] = (source, made) if any(source.glob("*/__init__.py")) else (made,)
    return ImportPath(layers=folders, runtime=runtime(say))


def take_built(layers: Mapping[str, Path], say: Callable[[str], None]) -> ImportPath:
    """Take layers as `make build` left them; raise `Mistake` if they were built for another processor."""
    for folder in layers.values():
        if not (folder / "python").is_dir():
            raise Mistake(f"BUILT=1: {folder} holds no build: {BUILD_FIRST}")
        foreign = [each.name for each in folder.rglob("*-linux-gnu.so") if platform.machine() not in each.name]
        if foreign:
            raise Mistake(f"BUILT=1: {folder} was built for another processor ({foreign[0]}): {BUILD_FIRST}")
    taken = {logical_id: (folder / "python",) for logical_id, folder in layers.items()}
    return ImportPath(layers=taken, runtime=runtime(say))


def runtime(say: Callable[[str], None]) -> Path:
    """Return the folder of what Lambda's runtime brings: boto3 and awslambdaric, with what they need."""
    return _once(f"runtime-{_digest(LOCK)}", _build_runtime, say)


def _digest(*files: Path) -> str:
    found = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise Mistake(f"{file} is missing; it is needed to build what functions import")
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _once(name: str, fill: Callable[[Path], None], say: Callable[[str], None]) -> Path:
    """Return the folder `name`, filled completely or not there at all, whoever else builds it now."""
    target = BUILD / name
    with _alone():
        if not target.is_dir():
            say(f"building {name} (once)")
            partial = BUILD / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            fill(partial)
            partial.rename(target)
    return target


@contextmanager
def _alone() -> Iterator[None]:
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _layer_builder(logical_id: str, source: Path) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        arguments = [f"build-{logical_id}", f"ARTIFACTS_DIR={folder}", f"UV={_uv()}", f"PYTHON={sys.executable}"]
        _run(["make", "--silent", "-C", str(source), *arguments], f"building the layer {logical_id}")

    return fill


def _build_runtime(folder: Path) -> None:
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(_pinned(tomllib.loads(LOCK.read_text()))))
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--compile-bytecode"]
    command = [_uv(), "pip", "install", *options, "--python", sys.executable, "--target", str(folder)]
    _run([*command, "--requirements", str(wanted)], "installing boto3 and awslambdaric")


def _pinned(lock: Mapping[str, Any]) -> Iterator[str]:
    """Yield requirement lines with hashes for the runtime's packages and all that they need."""
    packages = {package["name"]: package for package in lock["package"]}
    names, seen = list(RUNTIME), set()
    while names:
        name = names.pop()
        if name not in seen:
            seen.add(name)
            package = packages[name]
            names += [needed["name"] for needed in package.get("dependencies", ())]
            hashes = "".join(f" --hash={wheel['hash']}" for wheel in package.get("wheels", ()))
            yield f"{name}=={package['version']}{hashes}\n"


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise Mistake("uv is missing; run `make` once, or install it from https://docs.astral.sh/uv/")
    return found


def _run(command: list[str], what: str) -> None:
    # What is built here is for this machine, and kept: options of `make build` have no say in it.
    environment = {name: value for name, value in os.environ.items() if name not in BUILD_OPTIONS}
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError as missing:
        raise Mistake(f"{what} failed: {command[0]} is not installed") from missing
    if done.returncode != 0:
        raise Mistake(f"{what} failed:", *done.stdout.strip().splitlines()[-LAST_LINES:])
