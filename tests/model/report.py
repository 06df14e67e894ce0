"""How a run of the model is told to a person."""

import sys

from tests.model.checker import Result


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_result(title: str, result: Result, *, traces: bool) -> None:
    """One line for the run, and if asked for a shortest way to each violation."""
    say(f"{title:58} {result.states:8} states  {', '.join(sorted(result.violations)) or 'none'}")
    for name, trace in sorted(result.violations.items()) if traces else ():
        say(f"    {name}, {len(trace)} steps:")
        for number, label in enumerate(trace, 1):
            say(f"      {number:2}. {label}")
