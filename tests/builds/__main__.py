"""Two builds of one commit are byte-identical, and run: `python -m tests.builds [--architecture arm64]`.

Each is the whole of `make build`, in a folder of its own with its own depth and umask, from what git knows and what is
not ignored. What was built for this machine's processor then tells the whole story of `make demo`. Prints a JSON of the
digests; says on stderr what differs or fails, and then ends with status 1.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from dev.options import MACHINE
from dev.sizes import weigh

ROOT: Final = Path(__file__).parents[2]
ARCHITECTURES: Final = ("arm64", "x86_64")
UMASKS: Final = {"clone": 0o022, "another/and-deeper/clone": 0o077}
PATIENCE_SECONDS: Final = 600


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.builds", description=__doc__)
    parser.add_argument("--architecture", choices=ARCHITECTURES, action="append", help="one of them; both unless given")
    chosen = parser.parse_args().architecture or ARCHITECTURES
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        clones = {clone(Path(folder) / name): umask for name, umask in UMASKS.items()}
        for architecture in chosen:
            first, second = (built(each, architecture, umask) for each, umask in clones.items())
            if differing := sorted(name for name in first | second if first.get(name) != second.get(name)):
                sys.stderr.write(f"{architecture}: two builds differ in {', '.join(differing)}\n")
                return 1
            digests[architecture] = first
            if architecture == MACHINE and not told(next(iter(clones))):
                return 1
    sys.stdout.write(json.dumps(digests, indent=2) + "\n")
    return 0


def clone(target: Path) -> Path:
    """Copy what a commit of the checkout would hold, and lend it the packages that are installed here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


def told(folder: Path) -> bool:
    """Run the demonstration on what lies built in `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "dev.demo"],
        cwd=ROOT,
        env={**os.environ, "BUILT": "1", "TEMPLATE": str(folder / ".aws-sam" / "build" / "template.yaml")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(f"the demonstration failed on the build\n{done.stdout[-4000:]}")
    return done.returncode == 0


def built(folder: Path, architecture: str, umask: int) -> dict[str, str]:
    """Run `make build` in `folder`; return the digest of each artefact's zip, and of the built template."""
    done = subprocess.run(
        ["make", "--assume-old=.venv/synced", "build", f"ARCHITECTURE={architecture}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=umask,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:])
        raise SystemExit(f"{architecture}: make build failed")
    made = folder / ".aws-sam" / "build"
    digests = {each.name: weigh(each).digest for each in sorted(made.iterdir()) if each.is_dir()}
    return digests | {"template.yaml": hashlib.sha256((made / "template.yaml").read_bytes()).hexdigest()}


if __name__ == "__main__":
    sys.exit(main())
