"""Authlib's `OAuth2Session` as its documentation shows it: automatic refresh, and `update_token` writing a table.

https://docs.authlib.org/en/latest/oauth2/client/http/index.html#refresh-auto-update-token
Two worker processes share one SQLite file. The documentation leaves locking to the user, and so there is none here.
"""

import importlib.metadata
import importlib.util
import itertools
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from dev.mistakes import Mistake
from torture.application import Application, Grant
from torture.store import Refused, Store

REPLICAS: Final = 2
PATIENCE_SECONDS: Final = 90
LEEWAY_SECONDS: Final = 60  # OAuth2Session's default
TABLE: Final = """
CREATE TABLE token (name TEXT PRIMARY KEY, token_endpoint TEXT, client_id TEXT, client_secret TEXT,
                    access_token TEXT, refresh_token TEXT, expires_at INTEGER)
"""


def open_store(_applications: Sequence[Application]) -> "AuthlibSessions":
    if importlib.util.find_spec("authlib") is None:
        raise Mistake("Authlib is not installed here: install the package `authlib` (1.9 was tried) to torture it")
    return AuthlibSessions()


class AuthlibSessions(Store):
    early_seconds = LEEWAY_SECONDS
    settle_seconds = 2
    lanes = 4

    def __init__(self) -> None:
        self.name = f"Authlib {importlib.metadata.version('authlib')}, OAuth2Session"
        self._folder = tempfile.TemporaryDirectory(prefix="torture-authlib-")
        self._file = Path(self._folder.name) / "tokens.sqlite"
        with closing(sqlite3.connect(self._file)) as table, table:
            table.execute(TABLE)
        self._workers = [Worker(self._file) for _ in range(REPLICAS)]

    def connect(self, grant: Grant) -> None:
        tokens, client = grant.tokens(), grant.application
        row = (
            *(grant.connection, client.token_url, client.client_id, client.client_secret),
            *(tokens.access_token, tokens.refresh_token, int(time.time()) + tokens.expires_in),
        )
        with closing(sqlite3.connect(self._file)) as table, table:
            table.execute("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def read(self, connection: str, replica: int) -> str:
        return self._workers[replica].ask({"do": "read", "name": connection})

    def renew(self, connection: str, replica: int, token: str) -> None:
        self._workers[replica].ask({"do": "renew", "name": connection, "rejected": token})

    def restart(self) -> None:
        self.kill()
        self._workers = [Worker(self._file) for _ in range(REPLICAS)]

    def kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    @contextmanager
    def storage_down(self) -> Iterator[None]:
        """Hold the file's exclusive lock: whoever wants to read or write waits five seconds and then fails."""
        with closing(sqlite3.connect(self._file, isolation_level=None)) as table:
            table.execute("BEGIN EXCLUSIVE")
            yield
            table.execute("ROLLBACK")

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()


class Worker:
    """One process; questions and answers are lines of JSON, answered in any order."""

    def __init__(self, file: Path) -> None:
        command = [sys.executable, "-m", "torture.stores.authlib_worker", str(file)]
        self._process = subprocess.Popen(  # noqa: S603 - the kit's own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def ask(self, question: dict[str, str]) -> str:
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            self._send({**question, "number": number})
        found = answer.result(PATIENCE_SECONDS)
        if "token" in found:
            return str(found["token"])
        raise Refused(found["cause"], reconnect=found["reconnect"])

    def _send(self, question: dict[str, Any]) -> None:
        try:
            if self._process.stdin:
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError):
            raise Refused("process_ended") from None

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            answer = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(answer["number"])
            waiting.set_result(answer)
        with self._lock:
            orphans, self._waiting = self._waiting, {}
        for waiting in orphans.values():
            waiting.set_result({"cause": "process_ended", "reconnect": False})

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        with self._lock:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe and not pipe.closed:
                    _close(pipe)


def _close(pipe: Any) -> None:  # noqa: ANN401 - either pipe of a text process
    try:
        pipe.close()
    except BrokenPipeError:
        return
