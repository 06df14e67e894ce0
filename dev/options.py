"""What `python -m dev run` may be told, by flags or by environment variables of the same name."""

import argparse
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from dev.mistakes import Mistake

REPOSITORY: Final = Path(__file__).resolve().parent.parent
TEMPLATE: Final = REPOSITORY / "template.yaml"
BUILT_TEMPLATE: Final = REPOSITORY / ".aws-sam" / "build" / "template.yaml"
MACHINE: Final = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())  # as Lambda calls it
BUILD_FIRST: Final = f"run `make build ARCHITECTURE={MACHINE}`"
HIGHEST_FIRST_PORT: Final = 65_532  # three more follow: Acme, the authorization server, the AWS endpoint
OFF: Final = ("", "0", "no", "false", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Checked options. `port` 0 picks free ports for everything; times are in seconds."""

    port: int = 3000
    tick_seconds: float = 60.0
    https: bool = False
    json: bool = False
    allow_loopback_providers: bool = False
    providers: Path | None = None
    integrations: Path | None = None
    functions: Path | None = None
    return_urls: str = ""
    access_ttl_seconds: int | None = None
    rotation: str = ""
    grace_seconds: int | None = None
    template: Path = TEMPLATE
    bare: bool = False
    built: bool = False


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read flags over environment variables; raise `Mistake` with a line for everything that is wrong."""
    given = vars(_parser().parse_args(arguments))
    reader = _Reader({name: value for name, value in given.items() if value is not None}, environment)
    built = reader.read("BUILT", _switch, default=False)
    options = Options(
        port=reader.read("PORT", _port, 3000),
        tick_seconds=reader.read("TICK", _positive_number, 60.0),
        https=reader.read("HTTPS", _switch, default=False),
        json=reader.read("JSON", _switch, default=False),
        allow_loopback_providers=reader.read("ALLOW_LOOPBACK_PROVIDERS", _switch, default=False),
        providers=reader.read("PROVIDERS", _directory, None),
        integrations=reader.read("INTEGRATIONS", _file, None),
        functions=reader.read("FUNCTIONS", _directory, None),
        return_urls=reader.read("RETURN_URLS", str, ""),
        access_ttl_seconds=reader.read("ACCESS_TTL", _positive_integer, None),
        rotation=reader.read("ROTATION", _rotation, ""),
        grace_seconds=reader.read("GRACE", _natural, None),
        template=reader.read("TEMPLATE", _file, BUILT_TEMPLATE if built else TEMPLATE),
        bare=reader.read("BARE", _switch, default=False),
        built=built,
    )
    if built and not options.template.is_file():
        reader.mistakes.append(f"BUILT=1: there is no build: {BUILD_FIRST}")
    if reader.mistakes:
        raise Mistake(*reader.mistakes)
    return options


class _Reader:
    def __init__(self, flags: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._flags = flags
        self._environment = environment
        self.mistakes: list[str] = []

    def read[Value, Default](self, name: str, check: Callable[[str], Value], default: Default) -> Value | Default:
        text = self._flags.get(name.lower(), self._environment.get(name, "")).strip()
        if not text:
            return default
        try:
            return check(text)
        except ValueError as wrong:
            self.mistakes.append(f"{name}={text}: {wrong}")
            return default


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Mistake(f"{message}; see `python -m dev run --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m dev run", description="Run Consentry on this machine until Ctrl-C.")
    for name, meaning in {
        "port": "gateway on PORT, Acme on PORT+1, authorization server on PORT+2, AWS endpoint on PORT+3; 0: free ones",
        "tick": "period of the scheduler in seconds (60)",
        "https": "1: serve the gateway over TLS with a generated CA",
        "json": "1: print one line of JSON on stdout when ready",
        "providers": "directory of your provider files (TOML)",
        "integrations": "JSON file of your integrations",
        "functions": "directory of your functions: each folder in it with an app.py runs with the layer",
        "return_urls": "additional return URLs, comma separated",
        "allow_loopback_providers": "1: provider files may point at any http://localhost",
        "access_ttl": "lifetime in seconds of the access tokens that the authorization server issues",
        "rotation": "none or rotates: what the authorization server does with refresh tokens",
        "grace": "seconds for which a rotated refresh token still works",
        "template": "SAM template to run (template.yaml)",
        "built": "1: run what `make build` made for this machine's processor",
        "bare": "1: no authorization server, no integrations, no Acme",
    }.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=name.upper(), help=meaning)
    return parser


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > HIGHEST_FIRST_PORT:
        message = f"must be a port from 1 to {HIGHEST_FIRST_PORT} (three more follow it), or 0 to pick free ones"
        raise ValueError(message)
    return int(text)


def _natural(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("must be a whole number of seconds, 0 or more")
    return int(text)


def _positive_integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise ValueError("must be a whole number of seconds, at least 1")
    return int(text)


def _positive_number(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text) or float(text) <= 0:
        raise ValueError("must be a number of seconds above 0, such as 2 or 0.5")
    return float(text)


def _switch(text: str) -> bool:
    if text.lower() not in (*OFF, "1", "yes", "true", "on"):
        raise ValueError("must be 1 or 0")
    return text.lower() not in OFF


def _rotation(text: str) -> str:
    if text not in {"none", "rotates"}:
        raise ValueError("must be none or rotates")
    return text


def _directory(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_dir():
        raise ValueError("there is no such directory")
    return path


def _file(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_file():
        raise ValueError("there is no such file")
    return path
