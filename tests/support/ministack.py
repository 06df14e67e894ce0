"""ministack, a second emulator of AWS, in an environment of its own: its packages never mix with ours.

It is installed once, from hashes (`ministack.lock`), and runs as one process on a loopback port. Its DynamoDB, SQS and
Secrets Manager are used; its KMS is not, since it encrypts with XOR.
"""

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from dev.supervisor import CHILD
from tests.support.tables import REGION

LOCK: Final = Path(__file__).with_name("ministack.lock")
ENVIRONMENT: Final = Path(__file__).parents[2] / ".venv-ministack"
_INSTALL_SECONDS: Final = 60.0
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3  # a free port may be taken by another before ministack binds it


class NotInstalled(Exception):
    """ministack is not here and could not be fetched; the message is the reason."""


def installed(environment: Path = ENVIRONMENT, uv_settings: Mapping[str, str] | None = None) -> Path:
    """Return the Python of ministack's environment, made now if it is missing or older than the lock.

    `uv_settings` are environment variables for uv alone. Processes wait for each other. Raises `NotInstalled`.
    """
    python, stamp, wanted = environment / "bin" / "python", environment / "installed", _wanted()
    environment.mkdir(exist_ok=True)
    with (environment / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not python.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            _install(environment, python, uv_settings or {})
            stamp.write_text(wanted, encoding="utf-8")
    return python


def _wanted() -> str:
    """Return what an environment must be made of: these packages, this Python."""
    return f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {sys.version} {sys.base_prefix}"


def _install(environment: Path, python: Path, settings: Mapping[str, str]) -> None:
    search = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    uv = shutil.which("uv", path=search)
    if uv is None:
        raise NotInstalled("uv is not there (make .venv/synced installs it)")
    make = [uv, "venv", "--quiet", "--allow-existing", "--no-python-downloads", "--python", sys.executable]
    fill = [uv, "pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:", "--python", str(python)]
    told = {**os.environ, "UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "15", **settings}
    try:
        for command in ([*make, str(environment)], [*fill, str(LOCK)]):
            subprocess.run(command, env=told, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError):
        raise NotInstalled("its packages could not be installed (is the package index reachable?)") from None


@contextmanager
def serving(python: Path, folder: Path) -> Iterator[str]:
    """Run ministack on a free loopback port, with all its files in `folder`, and yield its URL.

    It ends with the block, or with this process. Raises `RuntimeError` with its last words if it does not come up.
    """
    for _ in range(_ATTEMPTS):
        port = _free_port()
        server = _started(python, folder, port)
        try:
            if _answers(server, port):
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            _stop(server)
    words = (folder / "ministack.log").read_text(encoding="utf-8", errors="replace")
    message = f"ministack did not come up in {_ATTEMPTS} attempts: {words[-500:]}"
    raise RuntimeError(message)


def _started(python: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
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
