"""Starts, watches and stops the processes of the local stack."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

CHILD: Final = Path(__file__).with_name("child.py")
PATIENCE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A Python module to run as a process of its own, with this environment and no other."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    flags: Sequence[str] = ()
    output: Path | None = field(default=None)

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self.flags, str(CHILD), str(os.getpid()), self.module, *self.arguments]
        if self.output is None:
            return self._popen(command, subprocess.PIPE)
        with self.output.open("ab") as log:
            return self._popen(command, log)

    def _popen(self, command: Sequence[str], output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Supervisor:
    """Owns every process it started.

    All of them are started by one thread that lives as long as the supervisor: Linux sends the death signal of a
    parent when the *thread* that started the child ends (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Launch, Future[subprocess.Popen[bytes]]] | None] = queue.SimpleQueue()
        self._children: list[subprocess.Popen[bytes]] = []
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        threading.Thread(target=self._take_orders, name="starter", daemon=True).start()

    def start(self, launch: Launch) -> subprocess.Popen[bytes]:
        """Start a process; raise `RuntimeError` once the supervisor is stopping."""
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((launch, answer))
        return answer.result()

    def start_service(self, name: str, launch: Launch) -> subprocess.Popen[bytes]:
        """Start a process without which the stack cannot go on."""
        child = self._services[name] = self.start(launch)
        return child

    def ended_service(self) -> str:
        """Name a service that ended by itself; empty while all are well."""
        return next((name for name, child in self._services.items() if child.poll() is not None), "")

    def stop(self) -> None:
        """Ask every process to end, and kill those that have not ended after a moment."""
        with self._lock:
            self._stopping = True
            children = [child for child in self._children if child.poll() is None]
        for child in children:
            child.terminate()
        timer = threading.Timer(PATIENCE_SECONDS, _kill, (children,))
        timer.start()
        for child in children:
            child.wait()
        timer.cancel()
        self._orders.put(None)

    def _take_orders(self) -> None:
        while (order := self._orders.get()) is not None:
            launch, answer = order
            try:
                answer.set_result(self._start_now(launch))
            except (OSError, RuntimeError) as failure:
                answer.set_exception(failure)

    def _start_now(self, launch: Launch) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopping:
                raise RuntimeError("the local stack is stopping")
            self._children = [child for child in self._children if child.poll() is None]
            child = launch.start()
            self._children.append(child)
            return child


def _kill(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.kill()
