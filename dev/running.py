"""Starts the local stack for a test or a demonstration, and stops it afterwards."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import IO, Any, Final

from dev.options import REPOSITORY
from dev.ready import Ready
from dev.supervisor import CHILD

READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 15.0


class NotReady(Exception):
    """The stack did not come up; the message holds what it said."""


@contextmanager
def started(options: Mapping[str, str] | None = None, *, ready_seconds: float = READY_SECONDS) -> Iterator[Ready]:
    """Run the stack on free ports for the length of a `with` block; raise `NotReady` if it does not come up.

    `options` are those of `python -m dev run`, by the names of their environment variables, such as `{"TICK": "2"}`.
    """
    environment = {**os.environ, "PORT": "0", **(options or {}), "JSON": "1"}
    with subprocess.Popen(
        # Should this process be killed, the stack must not stay behind.
        [sys.executable, str(CHILD), str(os.getpid()), "dev", "run"],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as runner:
        heard = _Listener(runner)
        try:
            yield heard.ready(ready_seconds)
        finally:
            ended_by_itself = runner.poll() is not None
            _stop(runner)
            heard.end()
            if ended_by_itself:
                print(heard.said, file=sys.stderr)


def workers(ready: Ready) -> dict[str, list[int]]:
    """Return the process ids of each function's workers now, by logical id."""
    found: dict[str, list[int]] = _ask(ready, "GET", "workers")
    return found


def tick(ready: Ready) -> None:
    """Call every scheduled function now, and delete what is past its time to live."""
    _ask(ready, "POST", "tick")


def events(ready: Ready) -> list[dict[str, Any]]:
    """Return the latest events that the bus took, oldest first, as a rule's target sees them."""
    found: list[dict[str, Any]] = _ask(ready, "GET", "events")
    return found


@contextmanager
def taken_away(ready: Ready, service: str, mode: str) -> Iterator[None]:
    """Take an AWS service away from everything that runs, for the length of a `with` block.

    Services and modes are those of `dev.outages`.
    """
    _ask(ready, "POST", "outages", {"service": service, "mode": mode})
    try:
        yield
    finally:
        _ask(ready, "POST", "outages", {"service": service, "mode": None})


def _ask(ready: Ready, method: str, question: str, order: object = None) -> Any:  # noqa: ANN401 - each has its own
    address = urllib.parse.urlsplit(ready.aws_endpoint)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request(method, f"/_local/{question}", None if order is None else json.dumps(order))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class _Listener:
    """Reads both pipes to their end, so that the runner never waits for us."""

    def __init__(self, runner: subprocess.Popen[str]) -> None:
        self._runner = runner
        self._said: list[str] = []
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=_collect, args=(runner.stderr, self._said.append), daemon=True),
            threading.Thread(target=_collect, args=(runner.stdout, self._answers.put), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ready(self, seconds: float) -> Ready:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            line = ""
        if not line:
            _stop(self._runner)
            self.end()
            raise NotReady("the local stack did not start:\n" + self.said)
        return Ready.from_json(line)

    @property
    def said(self) -> str:
        return "".join(self._said)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(STOP_SECONDS)


def _collect(stream: IO[str] | None, keep: Callable[[str], None]) -> None:
    """An empty string marks the end."""
    for line in stream or ():
        keep(line)
    keep("")


def _stop(runner: subprocess.Popen[str]) -> None:
    if runner.poll() is None:
        runner.send_signal(signal.SIGTERM)
    try:
        runner.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        runner.kill()
