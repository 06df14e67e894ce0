"""The folder of one run, under `.local/runs`: logs, certificates, provider files."""

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Final

from dev.options import REPOSITORY

RUNS: Final = REPOSITORY / ".local" / "runs"
KEPT_SECONDS: Final = 24 * 3600


def new_run_folder() -> Path:
    """Make a folder for this run, readable by its owner alone, and drop those of days gone by."""
    RUNS.mkdir(parents=True, exist_ok=True)
    for old in RUNS.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir(mode=0o700)
    return folder


class FunctionLog:
    """What functions write, one line at a time with the function's name in front."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        path.touch()

    def write_line(self, name: str, line: str) -> None:
        with self._turn, self.path.open("a") as log:
            log.write(f"{name}: {line}\n")
