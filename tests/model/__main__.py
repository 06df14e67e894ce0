"""Print what the model finds in every variant: `python -m tests.model [--deep] [--traces]`."""

import argparse
import sys
from typing import Final, NamedTuple

from tests.model.protocol import explore
from tests.model.provider import FORGIVING, REAL_TIME, SHORT_GRACE, SINGLE_USE, STRICT, ProviderKind
from tests.model.report import say, say_result
from tests.model.variants import BROKEN, H5, SOUND, Variant, in_real_time


class Run(NamedTuple):
    """One exploration. Times of the policy need more ticks than the small ones do."""

    variant: Variant
    faults: int
    horizon: int = 22
    jobs: int = 2
    kind: ProviderKind = STRICT
    workers: int = 2

    @property
    def title(self) -> str:
        against = f"{self.workers} workers, {self.jobs} jobs, {self.kind.name} provider"
        return f"{self.variant.name:2} faults={self.faults}  {against}"


DEEP: Final = (
    *(Run(variant, faults, jobs=4) for variant in SOUND for faults in range(4)),
    *(Run(H5, faults, jobs=3, workers=3) for faults in range(4)),
    *(Run(H5, faults, jobs=3, kind=kind) for kind in (SINGLE_USE, FORGIVING, SHORT_GRACE) for faults in range(4)),
    *(Run(in_real_time(H5), faults, horizon=90, jobs=3, kind=REAL_TIME) for faults in range(4)),
)
QUICK: Final = tuple(Run(variant, faults, jobs=3) for variant in SOUND for faults in range(3))


def main(arguments: list[str]) -> int:
    """Return 0 if each sound variant has no violation and each broken one has at least one."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.model", description="Check the model of the refresh protocol."
    )
    parser.add_argument("--deep", action="store_true", help="more jobs, faults, workers and providers: some minutes")
    parser.add_argument("--traces", action="store_true", help="print a shortest way to each violation")
    options = parser.parse_args(arguments)
    say("Broken variants: each must fail")
    unharmed = [variant.name for variant in BROKEN if not _fails(variant, traces=options.traces)]
    say("Sound variants: none may fail")
    harmed = [run.title for run in (DEEP if options.deep else QUICK) if _violations(run, traces=True)]
    for name in unharmed:
        say(f"WRONG: variant {name} is broken, and nothing was found")
    for title in harmed:
        say(f"WRONG: {title}: a violation was found")
    say("not as expected" if unharmed or harmed else "all as expected")
    return 1 if unharmed or harmed else 0


def _fails(variant: Variant, *, traces: bool) -> bool:
    say(f"{variant.name}: {variant.summary}")
    found = [_violations(Run(variant, faults), traces=traces) for faults in range(4)]
    return any(found)


def _violations(run: Run, *, traces: bool) -> int:
    result = explore(run.variant, run.faults, run.horizon, run.jobs, kind=run.kind, workers=run.workers)
    say_result(run.title, result, traces=traces)
    return len(result.violations)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
