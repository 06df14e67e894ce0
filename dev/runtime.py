"""Runs functions as AWS does: a worker process per concurrent invocation behind AWS's Runtime API.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from dev.runtime_api import Invocation, RuntimeApi

INIT_SECONDS: Final = 30.0  # AWS grants 10; a busy laptop may need more
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """A function as its template resource describes it; `layers` by their logical ids."""

    logical_id: str
    name: str
    arn: str
    handler: str
    folder: Path
    environment: Mapping[str, str]
    layers: tuple[str, ...] = ()
    timeout_seconds: float = 3.0
    memory_mb: int = 128
    max_workers: int = 8
    log_format: str = "Text"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an invocation came to; `failed` is what AWS says with the header X-Amz-Function-Error."""

    payload: bytes
    failed: bool = False

    @classmethod
    def failure(cls, error_type: str, message: str) -> "Answer":
        return cls(json.dumps({"errorType": error_type, "errorMessage": message}).encode(), failed=True)


class Log(Protocol):
    def write_line(self, name: str, line: str) -> None: ...


type StartWorker = Callable[[FunctionSpec, int], subprocess.Popen[bytes]]
"""Starts a process for a function, told the port of its Runtime API; its output is a pipe."""


class WorkerGone(Exception):
    """The worker ended before it took the invocation; another one may have it."""


@dataclass(slots=True)
class _Running:
    """The invocation that a worker has now."""

    invocation: Invocation
    answer: Future[Answer] = field(default_factory=Future)
    taken: bool = False


class Worker:
    """One process and its Runtime API; handles one invocation at a time."""

    def __init__(self, spec: FunctionSpec, start: StartWorker, log: Log) -> None:
        self.spec = spec
        self._log = log
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._running: _Running | None = None
        self._api = RuntimeApi(taken=self._taken, finished=self._finished, init_failed=self._init_failed)
        self.init_failure: Answer | None = None
        self.usable = True
        self.child = start(spec, self._api.port)
        threading.Thread(target=self._follow, name=f"worker-{self.child.pid}", daemon=True).start()

    def run(self, payload: bytes) -> Answer:
        """Hand `payload` to the function; raise `WorkerGone` if the process ended before it could take it."""
        if not self._api.polled.wait(INIT_SECONDS):
            self.init_failure = Answer.failure("Sandbox.Timedout", f"Init timed out after {INIT_SECONDS:.2f} seconds")
            self.kill()
        timeout = self.spec.timeout_seconds
        invocation = Invocation(str(uuid.uuid4()), self.spec.arn, int((time.time() + timeout) * 1000), payload)
        with self._lock:
            if not self.usable or self.child.poll() is not None:
                raise WorkerGone
            running = self._running = _Running(invocation)
        self._api.offer(invocation)
        try:
            return running.answer.result(timeout)
        except TimeoutError:
            self.kill()
            return self._failed(invocation, "Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds")

    def kill(self) -> None:
        self.usable = False
        if self.child.poll() is None:
            self.child.kill()

    def _taken(self) -> None:
        with self._lock:
            if self._running:
                self._running.taken = True

    def _finished(self, request_id: str, payload: bytes, *, failed: bool) -> None:
        with self._lock:
            running = self._running
            if running and running.invocation.request_id == request_id and not running.answer.done():
                running.answer.set_result(Answer(payload, failed=failed))

    def _init_failed(self, payload: bytes) -> None:
        self.init_failure = Answer(payload, failed=True)

    def _follow(self) -> None:
        """Copy the output to the log until the process ends, then fail what it was doing."""
        if self.child.stdout is not None:
            for line in self.child.stdout:
                self._log.write_line(self.spec.logical_id, line.decode(errors="replace").rstrip("\n"))
            self.child.stdout.close()
        code = self.child.wait()
        with self._lock:
            self.usable = False
            running = self._running
        if running and not running.answer.done():
            self._fail_running(running, code)
        self._api.close()

    def _fail_running(self, running: _Running, code: int) -> None:
        if running.taken:
            reason = f"signal {-code}" if code < 0 else f"exit status {code}"
            answer = self._failed(running.invocation, "Runtime.ExitError", f"Runtime exited with error: {reason}")
            running.answer.set_result(answer)
        else:
            running.answer.set_exception(WorkerGone())

    def _failed(self, invocation: Invocation, error_type: str, message: str) -> Answer:
        sentence = f"RequestId: {invocation.request_id} Error: {message}"
        self._log.write_line(self.spec.logical_id, sentence)
        return Answer.failure(error_type, sentence)


class Pool:
    """The workers of one function, started on demand; more invocations than workers wait their turn."""

    def __init__(self, spec: FunctionSpec, start: StartWorker, log: Log) -> None:
        self.spec = spec
        self._start = start
        self._log = log
        self._changed = threading.Condition()
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._starting = 0

    def invoke(self, payload: bytes) -> Answer:
        for _ in range(ATTEMPTS):
            worker = self._acquire()
            try:
                return worker.run(payload)
            except WorkerGone:
                if worker.init_failure:
                    return worker.init_failure
            finally:
                self._release(worker)
        return Answer.failure("Runtime.ExitError", "Runtime exited during init; see the functions' log")

    def configure(self, environment: Mapping[str, str]) -> None:
        """Tell workers that start from now on something else; those that are busy end with what they do."""
        with self._changed:
            self.spec = replace(self.spec, environment=dict(environment))
            idle, self._idle = self._idle, []
            self._workers.difference_update(idle)
        for worker in idle:
            worker.kill()

    def pids(self) -> list[int]:
        with self._changed:
            return sorted(worker.child.pid for worker in self._workers if worker.usable)

    def _acquire(self) -> Worker:
        with self._changed:
            while True:
                while self._idle:
                    worker = self._idle.pop()
                    if worker.usable:
                        return worker
                    self._workers.discard(worker)
                if len(self._workers) + self._starting < self.spec.max_workers:
                    self._starting += 1
                    break
                self._changed.wait()
        return self._add_worker()

    def _add_worker(self) -> Worker:
        worker: Worker | None = None
        try:
            worker = Worker(self.spec, self._start, self._log)
            return worker
        finally:
            with self._changed:
                self._starting -= 1
                if worker:
                    self._workers.add(worker)
                self._changed.notify()

    def _release(self, worker: Worker) -> None:
        with self._changed:
            if worker.spec is not self.spec:
                worker.kill()
            if worker.usable:
                self._idle.append(worker)
            else:
                self._workers.discard(worker)
            self._changed.notify()


class Functions:
    """Every function of the stack, by name or ARN."""

    def __init__(self, pools: list[Pool]) -> None:
        self._pools = {pool.spec.name: pool for pool in pools}

    def find(self, name_or_arn: str) -> Pool | None:
        return self._pools.get(name_or_arn.partition(":function:")[2].partition(":")[0] or name_or_arn)

    def invoke(self, name_or_arn: str, payload: bytes) -> Answer:
        """Run one invocation to its end; raise `KeyError` if there is no such function."""
        pool = self.find(name_or_arn)
        if pool is None:
            raise KeyError(name_or_arn)
        return pool.invoke(payload)

    def pids(self) -> dict[str, list[int]]:
        return {pool.spec.logical_id: pool.pids() for pool in self._pools.values()}
