"""Try every property at length: `python -m tests.properties --examples 100000 --seed 0`; the summary is JSON.

`--examples` is how many answers of a provider are tried; the other properties get a tenth of it each, and the state
machine a twentieth.
"""

import argparse
import json
import sys

from tests.properties.many import NAMES, summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.properties", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="how many answers")
    parser.add_argument("--seed", type=int, default=0, help="the same seed tries the same examples")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", choices=NAMES, action="append", help="one property; may be given several times")
    given = parser.parse_args()
    if given.examples < 1 or given.processes < 1 or given.seed < 0:
        parser.error("--examples and --processes must be at least 1, --seed at least 0")
    result = summary(tuple(given.only or NAMES), given.examples, given.seed, given.processes)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if result["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
