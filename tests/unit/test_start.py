"""What a function's process has loaded, and when: facts of a fresh process, without a clock."""

import json
import os
import subprocess
import sys
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = (
    "authorize",
    "callback",
    "connect",
    "credentials",
    "escrow",
    "events",
    "maintain",
    "manage",
    "refresh",
    "refresh_dispatch",
    "rekey",
    "transfer",
)
WITH_A_PROVIDER = {"refresh"}
NOWHERE = "http://127.0.0.1:9"
LAMBDA = {
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/q"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/0b5fa8ce-8a4e-4f53-8d1c-3d6a6b2f1f6a"
NAMES = ("CONNECTIONS_TABLE", "PENDING_TABLE", "INTEGRATIONS_TABLE", "MAC_SECRET", "SECRETS_PREFIX", "REFRESH_FUNCTION")
TOLD = {
    **{f"CONSENTRY_{name}": "named" for name in (*NAMES, "PUBLIC_BASE_URL", "EVENT_BUS", "STACK")},
    **{f"CONSENTRY_{name}": QUEUE for name in ("REFRESH_QUEUE", "ESCROW_QUEUE", "EVENTS_DEAD_LETTER_QUEUE")},
    **{f"CONSENTRY_{name}": KEY for name in ("GRANT_KEY", "ACCESS_KEY")},
}
PROGRAM = """
import gc, json, sys
import app
OURS = ("consentry", "boto3", "botocore", "cryptography", "requests", "urllib3", "aws_lambda_powertools")
process = app.wiring.__globals__["_process"]
class Context:
    get_remaining_time_in_millis = staticmethod(lambda: 29_000)
before = set(sys.modules)
answered = app.handler(json.loads(sys.argv[1]), Context()) if sys.argv[1] else None
told = {
    "answered": answered,
    "modules": sorted(sys.modules),
    "new": sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in OURS),
    "wirings": process.cache_info().currsize,
    "clients": sorted({name for attempts in (1, 2) for name in process(attempts)._clients}),
    "frozen": gc.get_freeze_count(),
    "gc": gc.isenabled(),
}
print(json.dumps(told))
"""


def sample(function: str) -> str:
    return (ROOT / "events" / f"{function}.json").read_text(encoding="utf-8")


class Aws(BaseHTTPRequestHandler):
    """Knows the deployment's MAC key, and no record."""

    mac_key = b'{"SecretString": "CNRY-mac-key"}'

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.mac_key
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing is logged."""


class AwsWithABinaryKey(Aws):
    """Somebody has stored the MAC key by `--secret-binary`."""

    mac_key = b'{"SecretBinary": "Q05SWS1tYWMta2V5"}'


@cache
def aws_endpoint(kind: type[Aws] = Aws) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


@cache
def started(function: str, *, on_lambda: bool, told: bool = True, aws: str = "", event: str = "") -> dict[str, Any]:
    """Import a function's `app` in a process of its own; return what that process then consists of."""
    given = {**(TOLD if told else {}), **(LAMBDA if on_lambda else {}), "AWS_ENDPOINT_URL": aws or aws_endpoint()}
    path = os.pathsep.join(str(each) for each in (ROOT / "functions" / function, ROOT / "layers" / "consentry"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, event],
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def modules(function: str, *, on_lambda: bool) -> set[str]:
    return set(started(function, on_lambda=on_lambda)["modules"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_importing_a_handler_loads_no_aws_client_no_http_client_and_no_parser_of_provider_files(function: str) -> None:
    heavy = {"boto3", "botocore", "requests", "aws_lambda_powertools", "tomllib", "consentry.http", "pytest"}
    assert not modules(function, on_lambda=False) & heavy


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"maintain", "rekey", "transfer"}))
def test_a_process_of_lambda_has_its_clients_and_its_logger_before_the_first_invocation(function: str) -> None:
    assert {"boto3", "aws_lambda_powertools"} <= modules(function, on_lambda=True)


@pytest.mark.parametrize(
    ("function", "services"),
    [
        ("authorize", ["dynamodb", "kms", "secretsmanager"]),
        ("callback", ["dynamodb", "kms", "secretsmanager"]),
        ("connect", ["dynamodb", "secretsmanager"]),
        ("credentials", ["dynamodb", "kms", "secretsmanager"]),
        ("refresh", ["dynamodb", "kms", "secretsmanager", "sqs"]),
        ("refresh_dispatch", ["dynamodb", "sqs"]),
        ("escrow", ["dynamodb", "sqs"]),
        ("events", ["events", "sqs"]),
        ("manage", ["dynamodb"]),
    ],
)
def test_init_makes_clients_of_the_services_that_the_function_calls_and_of_no_others(
    function: str, services: list[str]
) -> None:
    assert set(started(function, on_lambda=True)["clients"]) == set(services)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_what_calls_a_provider_at_each_invocation_loads_an_http_client_at_init(function: str) -> None:
    loaded = {"requests", "consentry.http"} & modules(function, on_lambda=True)
    assert loaded == ({"requests", "consentry.http"} if function in WITH_A_PROVIDER else set())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_process_loads_a_framework_or_a_tracer(function: str) -> None:
    unwanted = {"pydantic", "jinja2", "flask", "httpx", "aws_xray_sdk", "aws_encryption_sdk", "authlib", "oauthlib"}
    assert not modules(function, on_lambda=True) & unwanted


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"maintain", "rekey", "transfer"}))
def test_after_init_the_collector_runs_again_and_leaves_alone_what_init_made(function: str) -> None:
    told = started(function, on_lambda=True)
    assert told["gc"]
    assert told["frozen"] > 0


def test_outside_lambda_the_collector_is_left_as_it_was() -> None:
    told = started("authorize", on_lambda=False)
    assert (told["gc"], told["frozen"]) == (True, 0)


@pytest.mark.parametrize("function", ["authorize", "refresh"])
def test_a_deployment_without_its_variables_still_starts_and_says_so_when_it_is_asked(function: str) -> None:
    assert started(function, on_lambda=True, told=False)["gc"]


def test_a_function_starts_while_aws_does_not_answer() -> None:
    assert started("authorize", on_lambda=True, aws=NOWHERE)["gc"]


@pytest.mark.parametrize("function", ["authorize", "callback"])
@pytest.mark.parametrize("aws", ["a binary key", "not an address"])
def test_whatever_goes_wrong_at_init_is_answered_by_the_invocation(function: str, aws: str) -> None:
    endpoint = aws_endpoint(AwsWithABinaryKey) if aws == "a binary key" else "nowhere"
    told = started(function, on_lambda=True, aws=endpoint, event=sample(function))
    assert (told["answered"]["statusCode"], told["gc"]) == (503, True)


@pytest.mark.parametrize(
    ("function", "event", "answered"),
    [
        ("authorize", sample("authorize"), {"statusCode": 410}),
        ("callback", sample("callback"), {"statusCode": 410}),
        ("connect", sample("connect"), {"statusCode": 410}),
        ("credentials", sample("credentials"), {"statusCode": 410}),
        ("refresh", sample("refresh"), {"batchItemFailures": []}),
    ],
)
def test_the_first_invocation_uses_what_init_made_and_loads_nothing_more(
    function: str, event: str, answered: dict[str, object]
) -> None:
    told = started(function, on_lambda=True, event=event)
    assert {name: told["answered"][name] for name in answered} == answered
    assert told["new"] == []
    assert told["wirings"] == 1, "init and the invocation share one wiring, and so its clients"
