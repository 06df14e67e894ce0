"""What `python -m benchmarks.cold_start` may be told."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def _count(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    message = f"{text!r}: at least one run"
    raise argparse.ArgumentTypeError(message)


def _layer(text: str) -> Path:
    if (Path(text) / "python").is_dir():
        return Path(text)
    message = f"{text} has no folder python: give the folder that a layer was built in"
    raise argparse.ArgumentTypeError(message)


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if name and sign:
        return name, value
    message = f"{text!r}: write NAME=VALUE"
    raise argparse.ArgumentTypeError(message)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return checked options; end the program with a sentence for what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start")
    parser.add_argument("--runs", type=_count, default=15, help="cold starts of each function (15)")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    parser.add_argument("--only", default="", metavar="TEXT", help="functions whose name holds this text")
    parser.add_argument(
        "--layer", type=_layer, action="append", default=[], metavar="FOLDER",
        help="one more layer for Consentry's functions, over those of the template: a folder with python/",
    )  # fmt: skip
    parser.add_argument(
        "--set", type=_variable, action="append", default=[], metavar="NAME=VALUE",
        help="a variable of Consentry's functions; /opt/ in it means their layers",
    )  # fmt: skip
    return parser.parse_args(words)
