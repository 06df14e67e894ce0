"""Every proof at its full size: `python -m tests.prove --seed 0`; what each printed goes to `benchmarks/results`.

A proof is a program of its own; this one says how long each takes, runs them one after the other, and adds up.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[2]
_RESULTS: Final = _ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Proof:
    """`minutes` is what two quiet cores need for it at full size."""

    name: str
    what: str
    minutes: int
    command: tuple[str, ...]


def proofs(seed: int, schedules: int) -> list[Proof]:
    whole = str(seed)
    return [
        Proof("model", "the protocol and its broken variants, state by state", 3, ("tests.model", "--deep")),
        Proof(
            "crashes", "every port call fails in every way, and every pair", 2, ("tests.simulation.crashes", "--pairs")
        ),
        Proof(
            "mutations", "each weakened condition is caught", 2, ("pytest", "-q", "tests/simulation/test_mutations.py")
        ),
        Proof("builds", "two builds of one commit are byte-identical, and run", 6, ("tests.builds",)),
        Proof(
            "properties",
            "any answer, any message, any record, any course of events",
            25,
            ("tests.properties", "--examples", "100000", "--seed", whole, "--processes", "2"),
        ),
        Proof(
            "fuzz",
            "1,000,000 inputs for each public endpoint",
            35,
            ("tests.attacks", "--inputs", "1000000", "--seed", whole, "--processes", "2"),
        ),
        Proof(
            "days",
            "thirty virtual days with outages, 2,000 connections on the engine, 100,000 in a model",
            20,
            ("tests.days", "--seed", whole),
        ),
        Proof(
            "torture",
            "the scenarios that destroy connections elsewhere, on the local stack",
            10,
            ("torture", "consentry"),
        ),
        Proof(
            "soak",
            "20,000 rotations of 500 connections, 200 worker processes killed, each service taken away once",
            50,
            ("tests.chaos", "soak", "--kills", "200", "--outages", "--revocations", "20", "--seed", whole),
        ),
        Proof(
            "schedules",
            f"{schedules:,} hostile schedules of the real engine",
            max(1, schedules // 14_000),
            ("tests.simulation", "--seeds", str(schedules), "--from", whole, "--processes", "2"),
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--only", action="append", help="the name of one proof; may be given several times")
    given = parser.parse_args()
    chosen = proofs(given.seed, given.schedules)
    if unknown := set(given.only or ()) - {each.name for each in chosen}:
        parser.error(f"there is no proof {min(unknown)!r}; there are {', '.join(each.name for each in chosen)}")
    chosen = [each for each in chosen if not given.only or each.name in given.only]
    say(
        f"{len(chosen)} proofs, about {sum(each.minutes for each in chosen)} minutes on two quiet cores, "
        f"seed {given.seed}"
    )
    failed = [each.name for each in chosen if not holds(each, given.seed)]
    say(f"not proved: {', '.join(failed)}" if failed else "all proved")
    return 1 if failed else 0


def holds(proof: Proof, seed: int) -> bool:
    """Run one proof, its progress on this terminal; keep what it says."""
    command = [sys.executable, "-m", *proof.command]
    say(f"\n{proof.name}: {proof.what}\n  python -m {' '.join(proof.command)} (about {proof.minutes} min)")
    started = time.monotonic()
    ran = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = round(time.monotonic() - started)
    say(f"  {'held' if ran.returncode == 0 else 'DID NOT HOLD'} after {seconds} s")
    kept = {
        "command": f"python -m {' '.join(proof.command)}",
        "seed": seed,
        "seconds": seconds,
        "held": ran.returncode == 0,
    }
    file = _RESULTS / f"{proof.name}.json"
    file.write_text(json.dumps(kept | {"said": _said(ran.stdout)}, indent=2) + "\n")
    if ran.returncode:
        say(ran.stdout[-4000:])
    return ran.returncode == 0


def _said(text: str) -> Any:  # noqa: ANN401 - each proof speaks JSON of its own, or plain lines
    try:
        return json.loads(text)
    except ValueError:
        return text.splitlines()[-40:]


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
