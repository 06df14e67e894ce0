"""Run many schedules: `python -m tests.simulation --seeds 10000 --from 0 --processes 2`; the summary is JSON."""

import argparse
import json
import sys

from tests.simulation.many import summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many schedules")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    if given.seeds < 1 or given.processes < 1:
        parser.error("--seeds and --processes must be at least 1")
    result = summary(given.first, given.seeds, given.processes)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if result["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
