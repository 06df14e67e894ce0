"""`python -m torture STORE`: put a token store through everything, and say what it lost. 1 if that could be helped."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn, cast

from dev.mistakes import Mistake
from torture.course import run
from torture.report import as_json, passed, table
from torture.scenarios import SCENARIOS, Scenario
from torture.store import OpenStore
from torture.trial import Pace, StoreTrouble

OWN_STORES: Final = {
    "consentry": "torture.stores.consentry_local:open_store",
    "authlib": "torture.stores.authlib_session:open_store",
}
QUICK: Final = Pace(connections=3, slow_seconds=2, outage_seconds=2, retry_after_seconds=2)
MOST_CONNECTIONS: Final = 100
LONGEST_SECONDS: Final = 60
MISTAKEN: Final = 2
INTERRUPTED: Final = 130  # what a shell expects after Ctrl-C


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Mistake(f"{message}; see `python -m torture --help`")


def parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {each.id:18} {each.story}" for each in SCENARIOS)
    parser = _Parser(
        prog="python -m torture",
        description="Put a token store through what happens to OAuth grants in the field.",
        epilog=f"scenarios:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help=f"{', '.join(OWN_STORES)}, or your own as module:function")
    parser.add_argument("--scenarios", metavar="ID,ID", help="only these (all)")
    parser.add_argument("--connections", type=int, metavar="N", help="grants for each scenario (10)")
    parser.add_argument("--slow", type=float, metavar="SECONDS", help="how long the slow provider takes (12)")
    parser.add_argument("--outage", type=float, metavar="SECONDS", help="how long the storage is away (8)")
    parser.add_argument(
        "--quick", action="store_true", help="3 grants and a provider that is slow for 2 s: a rehearsal"
    )
    parser.add_argument("--json", type=_file, metavar="FILE", help="write the results there as well")
    return parser


def _file(text: str) -> Path:
    path = Path(text).absolute()
    if not path.parent.is_dir():
        raise Mistake(f"--json {text}: there is no such folder")
    if path.is_dir():
        raise Mistake(f"--json {text}: is a folder; name a file")
    return path


def scenarios_of(names: str | None) -> Sequence[Scenario]:
    known = {each.id: each for each in SCENARIOS}
    wanted = names.split(",") if names is not None else list(known)
    for name in wanted:
        if name not in known:
            raise Mistake(f"there is no scenario {name!r}; there are {', '.join(known)}")
    return [each for each in SCENARIOS if each.id in wanted]


def pace_of(given: argparse.Namespace) -> Pace:
    usual = QUICK if given.quick else Pace()
    connections = usual.connections if given.connections is None else given.connections
    slow = usual.slow_seconds if given.slow is None else given.slow
    outage = usual.outage_seconds if given.outage is None else given.outage
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise Mistake(f"--connections must be 1 to {MOST_CONNECTIONS}")
    for name, seconds in (("slow", slow), ("outage", outage)):
        if not 0 < seconds <= LONGEST_SECONDS:
            raise Mistake(f"--{name} must be above 0 and at most {LONGEST_SECONDS} seconds")
    return replace(usual, connections=connections, slow_seconds=slow, outage_seconds=outage)


def store_of(name: str) -> OpenStore:
    """Import `module:function`; raise `Mistake` if there is no such thing."""
    module_name, colon, function = OWN_STORES.get(name, name).partition(":")
    if not colon or not module_name or not function:
        raise Mistake(f"there is no store {name!r}; name {', '.join(OWN_STORES)}, or your own as module:function")
    try:
        found = getattr(import_module(module_name), function, None)
    except ModuleNotFoundError as missing:
        raise Mistake(f"{name}: there is no module {missing.name!r}; is its folder in PYTHONPATH?") from None
    if not callable(found):
        raise Mistake(f"{name}: the module {module_name} has no function {function!r}")
    return cast("OpenStore", found)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(words: Sequence[str]) -> int:
    """0: nothing was lost that could have been kept; 1: something was; 2: a mistake, said in a sentence."""
    try:
        given = parser().parse_args(words)
        scenarios, pace, open_store = scenarios_of(given.scenarios), pace_of(given), store_of(given.store)
        began = time.monotonic()
        name, results = run(open_store, scenarios, pace, say)
    except (Mistake, StoreTrouble) as mistake:
        say(str(mistake))
        return MISTAKEN
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.write(f"{table(name, results)}\n")
    if given.json:
        found = as_json(name, results, pace, time.monotonic() - began)
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if passed(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
