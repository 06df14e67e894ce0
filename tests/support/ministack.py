"""ministack, a second emulator of AWS, as one process on a loopback port.

Its DynamoDB, SQS and Secrets Manager are used; its KMS is not, since it encrypts with XOR.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from dev.supervisor import CHILD
from tests.support.own_environment import OwnEnvironment
from tests.support.tables import REGION

ENVIRONMENT: Final = OwnEnvironment("ministack")
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3  # a free port may be taken by another before ministack binds it


@contextmanager
def serving(python: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run ministack on a free loopback port, with all its files in `folder`, and yield its URL.

    `settings` are more environment variables for it. It ends with the block, or with this process. Raises
    `RuntimeError` with its last words if it does not come up.
    """
    for _ in range(_ATTEMPTS):
        port = _free_port()
        server = _started(python, folder, port, settings or {})
        try:
            if _answers(server, port):
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            _stop(server)
    words = (folder / "ministack.log").read_text(encoding="utf-8", errors="replace")
    message = f"ministack did not come up in {_ATTEMPTS} attempts: {words[-500:]}"
    raise RuntimeError(message)


def _started(python: Path, folder: Path, port: int, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # the only other listener, which binds every address
        "DOCKER_HOST": f"unix://{folder}/no-docker",  # it would look for containers of its own, and remove them
        "MINISTACK_REGION": REGION,
        "SERVICES": "dynamodb,secretsmanager,sqs",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    command = [str(python), str(CHILD), str(os.getpid()), "ministack"]
    with (folder / "ministack.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server is ready; return False if it has ended or the time is over."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/_ministack/ready")
            if connection.getresponse().status == 200:
                return True
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
