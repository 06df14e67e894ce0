"""Attack the public endpoints with many inputs: `python -m tests.attacks --inputs 1000000`; the summary is JSON.

`--inputs` is how many each endpoint gets. A broken promise is told with its chunk, which `--endpoint` and `--chunk`
make again.
"""

import argparse
import json
import sys
import time
from collections import Counter
from multiprocessing import get_context
from typing import Any

from tests.attacks.fuzz import Chunk, chunks, tried
from tests.attacks.inputs import ENDPOINTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="for each endpoint")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same inputs")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--endpoint", choices=ENDPOINTS, action="append", help="one endpoint; may be given several times"
    )
    parser.add_argument("--chunk", type=int, help="this chunk alone")
    given = parser.parse_args()
    if given.inputs < 1 or given.processes < 1 or given.seed < 0:
        parser.error("--inputs and --processes must be at least 1, --seed at least 0")
    wanted = list(chunks(given.inputs, given.seed, tuple(given.endpoint or ENDPOINTS)))
    result = summary([each for each in wanted if given.chunk in {None, each.number}], given.processes)
    sys.stdout.write(json.dumps({"seed": given.seed, **result}, indent=2) + "\n")
    return 1 if result["broken"] else 0


def summary(wanted: list[Chunk], processes: int) -> dict[str, Any]:
    """Run all chunks and add up; progress goes to standard error."""
    started, total = time.perf_counter(), sum(each.inputs for each in wanted)
    done: Counter[str] = Counter()
    statuses: dict[str, Counter[str]] = {each.endpoint: Counter() for each in wanted}
    broken: list[str] = []
    with get_context("spawn").Pool(processes) as pool:
        for part in pool.imap_unordered(tried, wanted):
            done[part["endpoint"]] += part["inputs"]
            statuses[part["endpoint"]] += part["counts"]
            broken += part["broken"]
            sys.stderr.write(f"\r{done.total():,} of {total:,} inputs, {len(broken)} broken")
    sys.stderr.write("\n")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "inputs": dict(done),
        "broken": broken,
        "statuses": {endpoint: dict(sorted(found.items())) for endpoint, found in statuses.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
