"""What `make build` made, and how large it is: `python -m dev.sizes [FOLDER]`; fails where a budget is exceeded.

Each artefact's zip is made here as well, always the same for the same files: its digest tells whether two builds agree.
"""

import hashlib
import io
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.options import BUILT_TEMPLATE

KB: Final = 1000
DIGITS: Final = 16
READABLE: Final = 0o444  # SAM adds it, so that a narrow umask does not matter


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that an artefact may weigh, in kB."""

    unzipped: int
    zipped: int


# Lambda's own limit is 250 MB for a function with its layers; a fifth above what was measured is what these leave.
LAYERS: Final = {"ConsentryLayer": Budget(24_000, 8_000), "FunctionsLayer": Budget(8_500, 3_000)}
FUNCTION: Final = Budget(10, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A folder that would be uploaded; sizes in bytes."""

    name: str
    files: int
    unzipped: int
    zipped: int
    digest: str

    @property
    def budget(self) -> Budget:
        return LAYERS.get(self.name, FUNCTION)

    @property
    def exceeded(self) -> bool:
        return self.unzipped > self.budget.unzipped * KB or self.zipped > self.budget.zipped * KB


def weigh(folder: Path) -> Artefact:
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    packed = _zip(folder, files)
    return Artefact(
        name=folder.name,
        files=len(files),
        unzipped=sum(each.stat().st_size for each in files),
        zipped=len(packed),
        digest=hashlib.sha256(packed).hexdigest(),
    )


def _zip(folder: Path, files: Sequence[Path]) -> bytes:
    """As `sam package` zips (entries of 1980, modes kept), but in an order that does not depend on the file system."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in files:
            entry = zipfile.ZipInfo(each.relative_to(folder).as_posix())
            entry.create_system = 3  # Unix
            entry.external_attr = (each.stat().st_mode | READABLE) << 16
            archive.writestr(entry, each.read_bytes(), zipfile.ZIP_DEFLATED)
    return target.getvalue()


def table(artefacts: Sequence[Artefact]) -> str:
    """Return one line for each artefact: sizes in kB, each with its budget."""
    lines = [f"{'artefact':24} {'files':>6} {'unzipped kB':>18} {'zipped kB':>16}  zip's SHA-256 begins"]
    for each in artefacts:
        unzipped = f"{each.unzipped / KB:,.1f} of {each.budget.unzipped:,}"
        zipped = f"{each.zipped / KB:,.1f} of {each.budget.zipped:,}"
        lines.append(f"{each.name:24} {each.files:6} {unzipped:>18} {zipped:>16}  {each.digest[:DIGITS]}")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    folder = Path(words[0]) if words else BUILT_TEMPLATE.parent
    artefacts = [weigh(each) for each in sorted(folder.glob("*")) if each.is_dir()]
    if not artefacts:
        print(f"{folder} holds no build: run `make build`", file=sys.stderr)
        return 2
    print(table(artefacts))
    exceeded = [each.name for each in artefacts if each.exceeded]
    if exceeded:
        sentence = "find what made it grow, or raise its budget in dev/sizes.py with the reason"
        print(f"over budget: {', '.join(exceeded)}: {sentence}", file=sys.stderr)
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
