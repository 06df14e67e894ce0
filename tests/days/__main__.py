"""Thirty virtual days on the real engine, and a model of a large deployment that is calibrated on them.

`python -m tests.days --connections 2000 --days 30 --seed 1 --json FILE`. Exit status 0: every promise was kept; 1: one
was broken; 2: the options have to be corrected.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.days.capacity import Assumptions, Capacity, as_deployed, capacity, sized, sweep_calls
from tests.days.load import Load, Model, scenarios, told
from tests.days.month import Month
from tests.days.plan import HOUR, Plan, short

_LONG: Final = 15  # days; a shorter plan has shorter outages


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.days", description="Virtual days, and a load model.")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--days", type=float, default=30.0, help="below 15, what goes wrong is shortened too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("engine", "load"), help="default: both, the model calibrated on the engine")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="with --only load: what --json wrote earlier")
    parser.add_argument("--load-connections", type=int, default=100_000)
    parser.add_argument("--load-cap", type=int, default=20_000, help="requests a minute that the provider allows")
    parser.add_argument("--load-outage-hours", type=float, default=24.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def plan_of(given: argparse.Namespace) -> Plan:
    if given.days < _LONG:
        return short(given.days, connections=given.connections, seed=given.seed)
    return Plan(connections=given.connections, days=given.days, seed=given.seed)


def calibration(file: Path) -> Mapping[str, Any]:
    """Read what an earlier run counted; raise `ValueError` with a sentence if the file holds nothing of the kind."""
    try:
        found: dict[str, Any] = json.loads(file.read_text())["engine"]["calibration"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{file} is no result of an engine run ({type(error).__name__}); make one with --json"
        ) from None
    return found


def loads(given: argparse.Namespace, counted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run the model, as the template deploys it and sized for the load; report each scenario."""
    whole = counted["messages_handled"]
    worker = {name: count / whole for name, count in counted["calls"]["hinted"].items()}
    worker["dynamo.update_item"] += 1  # its turn, as there is a limit
    load = Load(
        connections=given.load_connections,
        cap=given.load_cap,
        seed=given.seed,
        retried=counted["requests_failed_when_well"],
    )
    found = []
    sweep = sweep_calls()
    for label, assumed in (("as the template deploys it", as_deployed()), ("sized for it", sized())):
        able = capacity(assumed, sweep, worker)
        for scenario in scenarios(outage=given.load_outage_hours * HOUR):
            sys.stderr.write(f"model: {scenario.name}, {label}\n")
            report = told(load, scenario, Model(load, able, scenario).run())
            found.append({"deployment": label, **report, **_basis(assumed, able, sweep, worker, load)})
    return found


def _basis(
    assumed: Assumptions, able: Capacity, sweep: Mapping[str, float], worker: Mapping[str, float], load: Load
) -> dict[str, Any]:
    return {
        "assumed": assumed.told(),
        "counted_on_the_code": {
            "calls_per_connection_in_a_sweep": {name: round(count, 4) for name, count in sweep.items()},
            "calls_per_message": {name: round(count, 3) for name, count in worker.items()},
            "share_of_requests_that_fail_when_all_is_well": load.retried,
        },
        "capacity_that_follows": asdict(able),
        "limits_catching_up": _scarcest(able, load.cap),
    }


def _scarcest(able: Capacity, cap: int) -> str:
    """Return what the fewest connections a minute get through."""
    a_minute = {"sweep": float(able.sweep), "workers": able.refreshes_a_second * 60, "cap": float(cap)}
    return min(a_minute, key=lambda each: a_minute[each])


def main(words: Sequence[str]) -> int:
    parser = arguments()
    given = parser.parse_args(words)
    plan = plan_of(given)
    if problem := plan.wrong():
        parser.error(problem)
    if given.load_connections < 1 or given.load_cap < 1 or given.load_outage_hours <= 0:
        parser.error("--load-connections, --load-cap and --load-outage-hours must be above 0")
    if given.only == "load" and given.calibration is None:
        parser.error("--only load needs --calibration FILE: what an engine run wrote with --json")
    result: dict[str, Any] = {}
    try:
        counted = calibration(given.calibration) if given.only == "load" else None
    except ValueError as error:
        parser.error(str(error))
    if counted is None:
        result["engine"] = Month(plan, progress=True).run()
        counted = result["engine"]["calibration"]
    if given.only != "engine":
        result["load_model"] = loads(given, counted)
    return tell(result, given.json)


def tell(result: Mapping[str, Any], file: Path | None) -> int:
    text = json.dumps(result, indent=2) + "\n"
    sys.stdout.write(text)
    if file:
        file.write_text(text)
    broken = [*result.get("engine", {}).get("broken", ())]
    broken += [promise for each in result.get("load_model", ()) for promise in each["broken"]]
    sys.stderr.write(f"{len(broken)} promises broken\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
