"""Known vulnerabilities in what uv.lock names: `python -m tests.infrastructure.audit`.

Exit status 1: something that is deployed has one. In what only develops and tests, it is said and does not stop
anybody. Where the index knows no vulnerabilities or cannot be reached, one line says that nothing was audited.
"""

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.support.own_environment import NotInstalled, OwnEnvironment

_ROOT: Final = Path(__file__).parents[2]
_EXPORT: Final = ("export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-annotate")
_SECONDS: Final = 120


class NotAudited(Exception):
    """Nobody could say; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    lines: Sequence[str]
    deployed_is_vulnerable: bool


def verdict(report: Sequence[Mapping[str, Any]], deployed: Collection[str]) -> Verdict:
    """Judge pip-audit's `dependencies`; `deployed` are the names of packages that reach Lambda."""
    found = [each for each in report if each.get("vulns")]
    unknown = [each for each in report if "skip_reason" in each]
    lines = [line for each in found for line in _described(each, deployed)]
    if unknown:
        lines.append(f"NOT AUDITED: {len(unknown)} of {len(report)} packages: the index says nothing about them")
    return Verdict(lines, any(each["name"] in deployed for each in found))


def _described(package: Mapping[str, Any], deployed: Collection[str]) -> Iterator[str]:
    where = "DEPLOYED" if package["name"] in deployed else "development only"
    for each in package["vulns"]:
        mended = ", ".join(each["fix_versions"]) or "no version yet"
        yield f"{where}: {package['name']} {package['version']}: {each['id']}, mended in {mended}"


def audited() -> Verdict:
    """Ask about every package of the lock. Raises `NotAudited`."""
    try:
        program = OwnEnvironment("gates").python().with_name("pip-audit")
    except NotInstalled as reason:
        raise NotAudited(str(reason)) from None
    with TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(_exported("--all-groups"))
        options = ["--requirement", str(wanted), "--disable-pip", "--require-hashes", "--format", "json"]
        try:
            command = [str(program), "--progress-spinner", "off", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            return verdict(json.loads(done.stdout)["dependencies"], _names(_exported("--no-default-groups")))
        except (subprocess.TimeoutExpired, ValueError):
            raise NotAudited("the index did not answer") from None


def _exported(groups: str) -> str:
    uv = Path(sys.executable).with_name("uv")
    return subprocess.run([uv, *_EXPORT, groups], cwd=_ROOT, capture_output=True, text=True, check=True).stdout


def _names(requirements: str) -> frozenset[str]:
    return frozenset(line.partition("==")[0] for line in requirements.splitlines() if "==" in line)


def main() -> int:
    try:
        told = audited()
    except NotAudited as reason:
        sys.stderr.write(f"NOT AUDITED FOR VULNERABILITIES: {reason}\n")
        return 0
    sys.stderr.write("".join(f"{line}\n" for line in told.lines))
    return int(told.deployed_is_vulnerable)


if __name__ == "__main__":
    sys.exit(main())
