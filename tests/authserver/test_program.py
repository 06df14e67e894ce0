import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]


def start(*words: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "dev.authserver", *words]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_program_prints_its_address_and_serves_without_writing_requests_down() -> None:
    with start("--port", "0", "--access-ttl", "5", "--rotation", "none", "--grace", "3") as program:
        try:
            assert program.stdout is not None
            url = json.loads(program.stdout.readline())["url"]
            assert url.startswith("http://localhost:")
            health = requests.get(f"{url}/_control/health", timeout=10)
            assert health.json() == {"status": "ok", "url": url}
            query = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "canary"}
            requests.post(f"{url}/api-sec-vlc.hotmart.com/security/oauth/token", params=query, timeout=10)
        finally:
            program.terminate()
        output, errors = program.communicate(timeout=10)
    assert (program.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize("words", [("--grace", "-1"), ("--rotation", "maybe"), ("--access-ttl", "nan")])
def test_options_that_make_no_sense_are_explained(words: tuple[str, str]) -> None:
    with start("--port", "0", *words) as program:
        _, errors = program.communicate(timeout=20)
    assert program.returncode == 2
    assert words[0].removeprefix("--").replace("-", "_") in errors.replace("-", "_")
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with start("--port", port) as program:
            _, errors = program.communicate(timeout=20)
    assert program.returncode == 2
    assert port in errors
    assert "Traceback" not in errors
