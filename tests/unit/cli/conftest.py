"""An operator at a terminal, before a deployment in memory and an AWS account in moto."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import pytest
from moto import mock_aws

from consentry.aws.dynamodb import to_item
from consentry.rekey.operate import Rekey
from consentry.rekey.operate import answered as rekeyed
from consentry.transfer.operate import Transfer, answered
from consentry_cli import moving
from consentry_cli.__main__ import main
from consentry_cli.aws import Aws
from consentry_cli.installation import Installation
from consentry_cli.settings import Settings
from consentry_cli.transport import Answer
from dev.routes import Route, find_route
from tests.support.account import session_of
from tests.support.catalogue import FakeCatalogue
from tests.support.deployment import BASE_URL, INTEGRATIONS, Deployment
from tests.support.events import event
from tests.support.logs import recorded
from tests.support.tables import AWS_ENVIRONMENT, REGION, create_tables, template

STACK = "consentry"
LAYERS = [{"Arn": "layer-1"}, {"Arn": "layer-2"}]


class AwsInMoto(Aws):
    """moto, but for functions, which it would want code and roles for."""

    def __init__(self, session: boto3.Session, functions: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(session)
        self.functions = dict(functions)
        self.transfer: Callable[[], Transfer] = lambda: cast("Transfer", None)
        self.rekey: Callable[[], Rekey] = lambda: cast("Rekey", None)
        self.answers: dict[tuple[str, str], Exception] = {}

    def call(self, service: str, operation: str, **arguments: object) -> Mapping[str, Any]:
        if (service, operation) in self.answers:
            raise self.answers[service, operation]
        if operation == "invoke":
            event = json.loads(cast("bytes", arguments["Payload"]))
            is_rekey = str(arguments["FunctionName"]).endswith("RekeyFunctionName")
            told = rekeyed(event, self.rekey) if is_rekey else answered(event, self.transfer)
            return {"Payload": io.BytesIO(json.dumps(told).encode())}
        if operation == "get_function_configuration":
            name = str(arguments["FunctionName"])
            return self.functions[name] if name in self.functions else self._absent(name)
        return super().call(service, operation, **arguments)

    def _absent(self, name: str) -> Mapping[str, Any]:
        return super().call("dynamodb", "describe_table", TableName=name)  # moto's own way to say so


@dataclass
class Answered:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@dataclass
class Operator:
    """Runs commands as a process of its own does; `ahead_seconds` is how far this machine's clock is ahead."""

    deployment: Deployment
    installation: Installation
    aws: AwsInMoto
    ahead_seconds: int = 0
    asked: list[str] = field(default_factory=list)
    turn: Lock = field(default_factory=Lock)  # doctor asks from several threads

    def __call__(self, *words: str, typed: str = "", terminal: bool = False) -> Answered:
        out, err = Screen(terminal=terminal), Screen(terminal=False)
        settings = Settings(find=lambda _settings: self.installation)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(moving, "time", self.deployment.clock.now)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(list(words), settings)
        return Answered(int(code), out.getvalue(), err.getvalue())

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Stand in for API Gateway: routes as the template has them, and a Date header."""
        parts = urlsplit(url)
        date = format_datetime(datetime.now(UTC) - timedelta(seconds=self.ahead_seconds), usegmt=True)
        self.asked.append(f"{method} {parts.path}")
        found = find_route(ROUTES, method, parts.path)
        assert found, f"there is no route {method} {parts.path}"
        route, parameters = found
        if parts.path == "/health":
            return Answer(HTTPStatus.OK, b"", date)
        assert headers["Authorization"].startswith("AWS4-HMAC-SHA256")
        if abs(self.ahead_seconds) > 300:
            return Answer(HTTPStatus.FORBIDDEN, b'{"message":"Forbidden"}', date)
        asked = event(route.key, parameters=parameters, query=parts.query, body=body.decode() or None)
        with self.turn, contextlib.redirect_stdout(io.StringIO()):  # a function's metrics
            response = self.deployment.manage(asked)
        return Answer(response["statusCode"], response["body"].encode(), date)


class Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def _routes() -> list[Route]:
    resources = template()["Resources"].values()
    keys = [each["Properties"] for each in resources if each["Type"] == "AWS::ApiGatewayV2::Route"]
    return [Route(each["RouteKey"], "", signed=each["AuthorizationType"] == "AWS_IAM") for each in keys]


ROUTES = _routes()


def _outputs(tables: Mapping[str, str], made: Mapping[str, str]) -> dict[str, str]:
    names = {f"{logical_id}Name": name for logical_id, name in tables.items()}
    functions = {name: f"{STACK}-{name}" for name in template()["Outputs"] if name.endswith("FunctionName")}
    return {"BaseUrl": BASE_URL, **names, **functions, **made}


def _made(session: boto3.Session) -> tuple[dict[str, str], dict[str, str]]:
    """Create keys, queues and the schedule; return outputs and resources."""
    outputs, resources = {}, {}
    for name in ("AccessKey", "GrantKey"):
        outputs[f"{name}Arn"] = session.client("kms").create_key()["KeyMetadata"]["Arn"]
    for name in ("RefreshDeadLetterQueue", "EscrowQueue", "EscrowDeadLetterQueue", "EventsDeadLetterQueue"):
        outputs[f"{name}Url"] = session.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    resources["RefreshDispatchFunctionEveryMinute"] = "every-minute"
    account = "eu-central-1:123456789012"
    target: Any = {"Arn": f"arn:aws:lambda:{account}:function:x", "RoleArn": "arn:aws:iam::123456789012:role/x"}
    session.client("scheduler").create_schedule(
        Name="every-minute", ScheduleExpression="rate(1 minute)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    resources["MacSecret"] = session.client("secretsmanager").create_secret(Name="mac", SecretString="x")["ARN"]
    return outputs, resources


def _whole(session: boto3.Session, tables: Mapping[str, str]) -> None:
    """Give the tables what the template gives them beside their keys."""
    client = session.client("dynamodb")
    for logical_id in ("ConnectionsTable", "IntegrationsTable"):
        name = tables[logical_id]
        client.update_table(
            TableName=name,
            DeletionProtectionEnabled=True,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    ttl: Any = {"Enabled": True, "AttributeName": "ttl"}
    client.update_time_to_live(TableName=tables["PendingTable"], TimeToLiveSpecification=ttl)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in AWS_ENVIRONMENT.items():
            environment.setenv(name, value)
        environment.delenv("CONSENTRY_STACK", raising=False)
        with mock_aws(), recorded():
            yield _operator(tmp_path)


def _operator(folder: Path) -> Operator:
    session = session_of(AWS_ENVIRONMENT["AWS_ACCESS_KEY_ID"], AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], REGION)
    client = cast("Any", session.client("dynamodb"))
    tables = create_tables(client, "cli")
    for each in INTEGRATIONS:
        client.put_item(TableName=tables["IntegrationsTable"], Item=to_item(each))
    _whole(session, tables)
    for name in ("crm", "crm2", "desk"):
        text = json.dumps({"client_secret": f"CNRY-client-secret-{name}"})
        session.client("secretsmanager").create_secret(Name=f"consentry/{STACK}/integrations/{name}", SecretString=text)
    made, resources = _made(session)
    outputs = _outputs(tables, made)
    epoch = {"Layers": LAYERS, "Environment": {"Variables": {"CONSENTRY_EPOCH": "1"}}}
    functions = {name: epoch for output, name in outputs.items() if output.endswith("FunctionName")}
    aws, deployment = AwsInMoto(session, functions), Deployment(client, tables, FakeCatalogue())
    aws.transfer = deployment.transfer_of
    operator = Operator(deployment, cast("Installation", None), aws)
    operator.installation = Installation(
        stack=STACK,
        region=REGION,
        base_url=BASE_URL,
        aws=aws,
        outputs=outputs,
        resources=resources,
        status="UPDATE_COMPLETE",
        send=operator.send,
        provider_folders=(folder,),
    )
    return operator
