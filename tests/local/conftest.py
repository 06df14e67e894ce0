"""The miniature stack, started once, and ways to talk to it."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dev.ready import Ready
from dev.running import started
from tests.support.account import client_of, session_of
from tests.support.lasting import Lasting

MINIATURE = Path(__file__).with_name("miniature") / "template.yaml"
PATIENCE_SECONDS = 20.0

type Client = Any  # boto3 makes its clients at run time


@dataclass(frozen=True)
class Stack:
    """What a test may ask of the running miniature."""

    ready: Ready

    def client(self, service: str) -> Client:
        session = session_of(self.ready.access_key_id, self.ready.secret_access_key, self.ready.region)
        return client_of(session, service, self.ready.aws_endpoint)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        url = self.ready.base_url + path
        return requests.get(url, headers=headers, timeout=30, verify=self.ready.ca_bundle or True)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        url = self.ready.base_url + path
        return requests.post(url, data=body, headers=headers, timeout=30, verify=self.ready.ca_bundle or True)

    def signature(self, path: str, body: bytes, secret: str = "") -> dict[str, str]:
        """Return the headers that sign a POST of `body`."""
        request = AWSRequest("POST", self.ready.base_url + path, {"Content-Type": "application/json"}, body)
        credentials = Credentials(self.ready.access_key_id, secret or self.ready.secret_access_key)
        SigV4Auth(credentials, "execute-api", self.ready.region).add_auth(request)
        return dict(request.headers.items())

    def context(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.get("/public/context").json()
        return answer

    def invoke(self, function: str, event: object) -> tuple[dict[str, Any], str]:
        """Return the answer and what AWS says about it: `Unhandled` or nothing."""
        name = self.ready.functions[function]
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read()), answer.get("FunctionError", "")

    def note(self, note: str) -> dict[str, Any] | None:
        table = self.ready.tables["pending"]
        item: dict[str, Any] | None = (
            self.client("dynamodb").get_item(TableName=table, Key={"id": {"S": note}}).get("Item")
        )
        return item

    def wait_for_note(self, note: str) -> dict[str, Any]:
        return wait_for(lambda: self.note(note), note)

    def log(self) -> str:
        return Path(self.ready.log_file).read_text()


def wait_for[Found](look: Callable[[], Found | None], what: str) -> Found:
    """Look until there is something; fail after a while. What is waited for always comes, on a slow machine late."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what}"
        threading.Event().wait(0.1)
    return found


LASTING = Lasting()


@contextmanager
def _stack() -> Iterator[Stack]:
    with started({"TEMPLATE": str(MINIATURE), "BARE": "1", "TICK": "1", "HTTPS": "1"}) as ready:
        yield Stack(ready)


@pytest.fixture(scope="module")
def stack() -> Stack:
    return LASTING.of(_stack)


@pytest.hookimpl(trylast=True)  # after the fixtures of the last module
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    LASTING.left(item, nextitem)
