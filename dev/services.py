"""The servers that the local stack starts beside the functions: when they are up, and on which ports."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.mistakes import Mistake
from dev.options import REPOSITORY
from dev.supervisor import Launch, Supervisor

START_SECONDS: Final = 90.0
LAST_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Loopback ports; `gateway` 0 lets the gateway pick its own."""

    gateway: int
    acme: int
    authorization_server: int
    aws: int


def choose_ports(first: int) -> Ports:
    """Return `first` and the three that follow, or free ones for 0; raise `Mistake` naming each that is taken."""
    if first == 0:
        acme, server, aws = _free_ports(3)
        return Ports(gateway=0, acme=acme, authorization_server=server, aws=aws)
    numbers = range(first, first + 4)
    taken = [number for number in numbers if not _free(number)]
    if taken:
        remedy = "stop what listens there, or choose others with PORT=<first of four>, or PORT=0 for any free ones"
        raise Mistake(*(f"port {number} is in use: {remedy}" for number in taken))
    return Ports(gateway=first, acme=first + 1, authorization_server=first + 2, aws=first + 3)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_ports(count: int) -> Sequence[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@dataclass(frozen=True, slots=True)
class Services:
    """Starts this repository's own servers, each with its log in the folder of the run."""

    supervisor: Supervisor
    folder: Path

    def start(self, module: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> Path:
        """Start `python -m <module>`; return its log file."""
        log = self.folder / f"{module.rpartition('.')[2]}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        launch = Launch(
            module=module,
            arguments=arguments,
            environment={**environment, **(extra or {}), "PYTHONUNBUFFERED": "1"},
            folder=REPOSITORY,
            output=log,
        )
        self.supervisor.start_service(module, launch)
        return log

    def wait_for(self, module: str, port: int, log: Path) -> None:
        """Return once something listens on `port`; raise `Mistake` with the log's end if the server ended instead."""
        deadline = time.monotonic() + START_SECONDS
        while not _listening(port):
            if self.supervisor.ended_service() == module:
                raise Mistake(f"{module} ended at start:", *_end_of(log))
            if time.monotonic() > deadline:
                raise Mistake(f"{module} did not listen on port {port} in {START_SECONDS:.0f} s; its log is {log}")
            time.sleep(0.05)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end_of(log: Path) -> list[str]:
    return log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:]


def start_worker(
    supervisor: Supervisor, handler: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start AWS's runtime client for a function: no site packages (-S), and this environment alone."""
    launch = Launch(
        module="awslambdaric", arguments=[handler], environment=environment, folder=folder, flags=["-S", "-s"]
    )
    return supervisor.start(launch)


def check_machine() -> None:
    """Raise `Mistake` where functions cannot run as they do in AWS."""
    if sys.version_info[:2] != (3, 13):
        version = ".".join(map(str, sys.version_info[:3]))
        raise Mistake(f"Python 3.13 is needed, this is {version}; run `make` with python3.13 on the path")
    if sys.platform != "linux":
        raise Mistake(
            "the local stack needs Linux: AWS's runtime client has no wheels elsewhere; use a container or WSL"
        )
