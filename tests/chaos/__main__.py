"""Chaos on the local stack: `python -m tests.chaos soak --connections 500 --rotations 20000 --kills 200 --outages`.

Exit status 0: every promise held; 1: one was broken; 2: the options or the machine have to be corrected.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from dev.outages import SERVICES
from dev.running import NotReady
from tests.chaos.plan import Plan
from tests.chaos.report import Findings
from tests.chaos.soak import run

SHOWN = 20


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Chaos on the local stack.")
    parser.add_argument("what", choices=("soak",))
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--rotations", type=int, default=20_000, help="how many to reach before the calm")
    parser.add_argument("--faults", type=float, default=0.01, help="share of refreshes that meet a fault (0.01)")
    parser.add_argument("--kills", type=int, default=0, help="how many worker processes to kill")
    parser.add_argument("--revocations", type=int, default=0, help="how many customers revoke their grant")
    parser.add_argument("--outages", action="store_true", help="take each AWS service away once")
    parser.add_argument("--services", nargs="+", choices=SERVICES, default=SERVICES, help="those that --outages takes")
    parser.add_argument("--outage-seconds", type=float, default=60.0)
    parser.add_argument("--readers", type=int, default=4, help="the last one uses the token route")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=120.0, help="ends the soak; what was reached is said")
    parser.add_argument("--pace", type=float, default=8.0, help="rotations a second that the machine is trusted with")
    parser.add_argument("--calm-seconds", type=float, help="patience at the end; default: as long as settling can take")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def plan_of(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[Plan, Path | None]:
    wishes = vars(parser.parse_args(words))
    wishes.pop("what")
    file: Path | None = wishes.pop("json")
    counts = ("connections", "rotations", "pace", "minutes", "readers", "outage_seconds")
    wrong = [name for name in counts if wishes[name] <= 0]
    if wrong:
        parser.error(f"--{wrong[0].replace('_', '-')} must be above 0")
    if not 0 <= wishes["faults"] <= 1:
        parser.error("--faults must be a share from 0 to 1")
    if wishes["kills"] < 0 or wishes["revocations"] < 0:
        parser.error("--kills and --revocations must be 0 or more")
    wishes["services"] = tuple(wishes["services"])
    return Plan(**wishes), file


def tell(findings: Findings, file: Path | None) -> int:
    told = findings.as_json()
    if file:
        findings.write(file)
    broken: list[str] = told["broken"]
    sys.stdout.write(json.dumps(told | {"broken": broken[:SHOWN]}, indent=2) + "\n")
    if not findings.reached:
        sys.stderr.write(f"the time was over after {findings.rotations} of {findings.plan.rotations} rotations\n")
    sys.stderr.write(f"{len(broken)} promises broken\n")
    return 1 if broken else 0


def main(words: Sequence[str]) -> int:
    plan, file = plan_of(arguments(), words)
    try:
        return tell(run(plan), file)
    except NotReady as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was judged\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
