"""One cold start: a process with AWS's runtime client, one invocation, and what the process had used by then."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dev.runtime_api import Invocation, RuntimeApi

_ARN: Final = "arn:aws:lambda:eu-central-1:123456789012:function:benchmark"
_PATIENCE_SECONDS: Final = 60.0


class Failed(Exception):
    """The process did not answer as it should; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU and wall time from the start of the process in milliseconds, and the largest resident set in megabytes."""

    cpu_ms: float
    wall_ms: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Started:
    """What an invocation answered, and what it cost."""

    answer: Any
    cost: Cost


def cold_start(folder: Path, environment: Mapping[str, str], event: object) -> Started:
    """Start `app.handler` of `folder`, invoke it once, and end it. Raises `Failed`."""
    answers: list[tuple[bytes, bool, float]] = []
    answered = threading.Event()

    def finished(request_id: str, payload: bytes, *, failed: bool) -> None:  # noqa: ARG001 - there is only one
        answers.append((payload, failed, time.monotonic()))
        answered.set()

    def init_failed(payload: bytes) -> None:
        finished("init", payload, failed=True)

    api = RuntimeApi(taken=lambda: None, finished=finished, init_failed=init_failed)
    deadline = int((time.time() + _PATIENCE_SECONDS) * 1000)
    api.offer(Invocation(str(uuid.uuid4()), _ARN, deadline, json.dumps(event).encode()))
    address = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}"}
    begun = time.monotonic()
    child = _start(["-S", "-s", "-m", "awslambdaric", "app.handler"], folder, {**environment, **address})
    try:
        answered.wait(_PATIENCE_SECONDS)
        memory = _peak_mb(child.pid)
    finally:
        child.kill()
        _, _, used = os.wait4(child.pid, 0)
        child.returncode = 0  # it was waited for just now
        api.close()
    said = child.stdout.read().decode(errors="replace") if child.stdout else ""
    if not answers or answers[0][1]:
        raise Failed(f"{folder.name}: {answers[0][0].decode() if answers else 'no answer'}\n{said}")
    payload, _, at = answers[0]
    return Started(json.loads(payload), _cost(used, at - begun, memory))


def whole_process(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run Python to its end. Raises `Failed` if it does not end well."""
    begun = time.monotonic()
    child = _start(["-S", "-s", *arguments], folder, environment)
    said = child.stdout.read().decode(errors="replace") if child.stdout else ""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise Failed(said)
    return _cost(used, time.monotonic() - begun, 0.0)


def _start(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _peak_mb(pid: int) -> float:
    """Ask the system while the process is there: what `wait4` says afterwards may be the size of the parent."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
    return int(kilobytes) / 1024


def _cost(used: Any, seconds: float, rss_mb: float) -> Cost:  # noqa: ANN401 - resource.struct_rusage has no public type
    return Cost(cpu_ms=(used.ru_utime + used.ru_stime) * 1000, wall_ms=seconds * 1000, rss_mb=rss_mb)
