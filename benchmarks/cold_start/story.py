"""A connection's life, one cold start at a time: each function does what it does in earnest, against moto."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from benchmarks.cold_start.endpoint import Endpoint, Tape
from benchmarks.cold_start.functions import Functions
from benchmarks.cold_start.process import Failed
from dev.account import Account
from dev.backend import serialised
from dev.options import REPOSITORY

INTEGRATION: Final = "benchmark"
RETURN_URL: Final = "https://app.example.com/connected"

type Json = dict[str, Any]


class _Quiet(MotoRequestHandler):
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line per request would bury what matters."""


def start_backend() -> int:
    """Serve moto on a free loopback port; return the port."""
    application = serialised(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, name="moto", daemon=True).start()
    return int(server.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One invocation that can be repeated: which function, with what event, and all that it said to AWS."""

    name: str
    function: str
    event: Json
    tape: Tape
    answer: Any


class Story:
    """Tells the life of a new tenant's connection at each call of `tell`."""

    def __init__(self, endpoint: Endpoint, functions: Functions, account: Account) -> None:
        self._endpoint = endpoint
        self._functions = functions
        self._account = account
        self._tenants = 0
        self._scenes: list[Scene] = []

    def register(self) -> None:
        """Make the integration known, as an operator does."""
        told = self._functions.environment("RefreshFunction")
        item = {"integration": {"S": INTEGRATION}, "provider": {"S": "benchmark"}, "client_id": {"S": "client"}}
        self._account.client("dynamodb").put_item(TableName=told["CONSENTRY_INTEGRATIONS_TABLE"], Item=item)
        secret = json.dumps({"client_secret": "benchmark-client-secret"})
        name = told["CONSENTRY_SECRETS_PREFIX"] + INTEGRATION
        self._account.client("secretsmanager").create_secret(Name=name, SecretString=secret)

    def tell(self) -> list[Scene]:
        """Return a scene for each function; raise `Failed` where an answer is not what the story needs."""
        self._tenants += 1
        self._scenes = []
        tenant = f"tenant{self._tenants}"
        self._consent(tenant, "direct", "callback, code redeemed")
        self._consent(tenant, "confirm", "callback, code parked")
        wanted = {"tenant": tenant, "integration": INTEGRATION}
        self._play("reader", "reader", wanted, {"generation": 1})
        self._play("tickets, the example consumer", "TicketsFunction", wanted, {"pages": 1})
        self._make_due(tenant)
        self._play("refresh_dispatch", "RefreshDispatchFunction", {}, {"dispatched": 1})
        hint = {"v": 1, "tenant": tenant, "connection": f"{INTEGRATION}#default", "gen": 1}
        self._play("refresh", "RefreshFunction", _batch("refresh", hint), {"batchItemFailures": []})
        commit = {**_body("escrow"), **hint, "expected_gen": 2}
        self._play("escrow", "EscrowFunction", _batch("escrow", commit), {"batchItemFailures": []})
        self._forget(tenant)
        return self._scenes

    def _consent(self, tenant: str, completion: str, name: str) -> None:
        first = completion == "direct"
        wanted = {"user_ref": "u", "integrations": [INTEGRATION], "completion": completion, "return_url": RETURN_URL}
        event = _sample("manage") | {"pathParameters": {"tenant": tenant}, "body": json.dumps(wanted)}
        created = self._play("manage, session created" if first else "", "ManageFunction", event, {"statusCode": 201})
        session = parse_qs(urlsplit(json.loads(created["body"])["connect_url"]).query)["session"][0]
        path = {"pathParameters": {"integration": INTEGRATION}}
        event = _sample("authorize") | path | {"rawQueryString": f"session={session}"}
        left = self._play("authorize" if first else "", "AuthorizeFunction", event, {"statusCode": 302})
        state = parse_qs(urlsplit(left["headers"]["Location"]).query)["state"][0]
        cookies = [each.partition(";")[0] for each in left["cookies"]]
        event = _sample("callback") | path | {"rawQueryString": f"code=benchmark&state={state}", "cookies": cookies}
        self._play(name, "CallbackFunction", event, {"statusCode": 303})

    def _play(self, name: str, function: str, event: Json, expected: Mapping[str, object]) -> Json:
        tape = self._endpoint.record()
        answer: Json = self._functions.start(function, event).answer
        if any(answer.get(field) != value for field, value in expected.items()):
            raise Failed(f"{function} answered {answer}, expected {expected}")
        if name:
            self._scenes.append(Scene(name=name, function=function, event=event, tape=tape, answer=answer))
        return answer

    def _make_due(self, tenant: str) -> None:
        self._account.client("dynamodb").update_item(
            **self._row(tenant),
            UpdateExpression="SET due_at = :now",
            ExpressionAttributeValues={":now": {"N": str(int(time.time()) - 5)}},
        )

    def _forget(self, tenant: str) -> None:
        """The next sweep is to find one due connection again."""
        self._account.client("dynamodb").delete_item(**self._row(tenant))

    def _row(self, tenant: str) -> dict[str, Any]:
        table = self._functions.environment("RefreshFunction")["CONSENTRY_CONNECTIONS_TABLE"]
        return {"TableName": table, "Key": {"tenant": {"S": tenant}, "connection": {"S": f"{INTEGRATION}#default"}}}


def _sample(name: str) -> Json:
    event: Json = json.loads((REPOSITORY / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return event


def _body(name: str) -> Json:
    body: Json = json.loads(_sample(name)["Records"][0]["body"])
    return body


def _batch(name: str, body: Json) -> Json:
    return {"Records": [{**_sample(name)["Records"][0], "body": json.dumps(body)}]}
