"""`python -m benchmarks.reading`: what a token costs a process that is warm, against the bare calls of boto3."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.reading.endpoint import Endpoint
from dev.options import REPOSITORY

GOALS: Final = {"cached_us": 10.0, "ratio": 1.25}
READS: Final = 40
HITS: Final = 20_000
_LONGEST_SECONDS: Final = 1800


def measured(rounds: int, reads: int = READS, hits: int = HITS) -> dict[str, Any]:
    """Return figures: medians of rounds; `ratio` is the median of the rounds' own ratios."""
    endpoint = Endpoint()
    endpoint.start()
    words = [str(each) for each in (rounds, reads, hits)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reading.reader", *words],
        env=_environment(endpoint.port), cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, timeout=_LONGEST_SECONDS,
    )  # fmt: skip
    said = json.loads(done.stdout)
    pairs: Sequence[tuple[float, float]] = said["pairs"]
    both = (rounds + 1) * reads * 2 + 2  # bare and vault, one round to warm up; and each vault's first
    return {
        "rounds": rounds,
        "cached_us": round(median(said["cached"]), 2),
        "uncached_us": round(median(ours for _, ours in pairs), 1),
        "bare_us": round(median(plain for plain, _ in pairs), 1),
        "ratio": round(median(ours / plain for plain, ours in pairs), 3),
        "calls": dict(sorted(endpoint.asked.items())),
        "calls_expected": {"Decrypt": both, "GetItem": both},
    }


def _environment(port: int) -> Mapping[str, str]:
    paths = (str(REPOSITORY), str(REPOSITORY / "layers" / "consentry"))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(paths),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
    }


def missed(figures: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each goal that was not reached."""
    slow = [f"{name} is {figures[name]}, the goal {goal}" for name, goal in GOALS.items() if figures[name] > goal]
    odd = figures["calls"] != figures["calls_expected"]
    return slow + ([f"calls were {figures['calls']}, not {figures['calls_expected']}"] if odd else [])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading")
    parser.add_argument("--rounds", type=int, default=30, help="turns of bare boto3 and the vault (30)")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds: at least one")
    figures = measured(given.rounds)
    print(f"cached     {figures['cached_us']:8.2f} us of CPU, no call to AWS")
    print(f"uncached   {figures['uncached_us']:8.1f} us of CPU, one GetItem and one Decrypt")
    print(f"bare boto3 {figures['bare_us']:8.1f} us of CPU, the same two calls; ratio {figures['ratio']:.3f}")
    if given.json:
        about = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
        given.json.write_text(json.dumps({"on": about, "goals": GOALS, **figures}, indent=1) + "\n", encoding="utf-8")
    for sentence in missed(figures):
        print(sentence, file=sys.stderr)
    return 1 if missed(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
