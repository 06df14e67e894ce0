"""A second opinion on the roles: ministack's own IAM, asked by real requests under each role, against our evaluator.

Compared are actions and resources of DynamoDB, SQS and Secrets Manager, and of reads the conditions on attributes and
Select. Not compared is what ministack 1.5 is known to decide wrongly: conditions on `kms:EncryptionContext` (always
denied, so no key is used), on `dynamodb:LeadingKeys`, and on the attributes that a write names (it sees none of them).
`make test-iam` runs this alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError

from consentry.aws.maintenance import READ_ATTRIBUTES
from dev.payloads import ACCOUNT
from dev.recording import Call
from tests.infrastructure.iam.asked import CLIENT_SECRET, KEYS, MAC_SECRET, listing, queue, read, table
from tests.infrastructure.iam.denied import DENIED, FUNCTIONS, Denied, Who
from tests.infrastructure.iam.judge import WRITES, Judge
from tests.infrastructure.iam.names import STACK, resolver
from tests.infrastructure.transformed import Template, resources, role_of, role_statements, transformed
from tests.support import ministack as second
from tests.support.own_environment import NotInstalled
from tests.support.tables import REGION, create_tables

type Json = dict[str, Any]
type Client = Any  # boto3 makes clients at run time

PRINCIPALS: Final = (*FUNCTIONS, "ReadPolicy", "ListPolicy")
SECRETS: Final = {
    call.resource: call.resource.partition("secret:")[2].removesuffix("-local0")
    for call in (MAC_SECRET, CLIENT_SECRET, *(each.call for each in DENIED if "another stack" in each.what))
}
INDEX_KEYS: Final = {
    "due": ("due_shard", {"N": "0"}),
    "attention": ("attention", {"S": "reauth_required"}),
    "account": ("client_account", {"S": "client#account"}),
}
CONNECTIONS: Final = "ConnectionsTable"
ALLOWED: Final = (
    Denied(Who("AuthorizeFunction"), "reads the MAC key", MAC_SECRET),
    Denied(Who("AuthorizeFunction"), "reads a session", table("dynamodb:GetItem", "PendingTable", "session#1")),
    Denied(Who("CallbackFunction"), "reads a client secret", CLIENT_SECRET),
    Denied(Who("CallbackFunction"), "writes a connection", table("dynamodb:UpdateItem", CONNECTIONS, "acme", ["v"])),
    Denied(Who("ManageFunction"), "lists connections", table("dynamodb:Query", CONNECTIONS, "acme")),
    Denied(Who("ManageFunction"), "begins a session", table("dynamodb:PutItem", "PendingTable", "session#1")),
    Denied(Who("RefreshDispatchFunction"), "sees what is due", table("dynamodb:Query", CONNECTIONS, "0", index="due")),
    Denied(Who("RefreshDispatchFunction"), "sends hints", queue("SendMessage", "RefreshQueue")),
    Denied(Who("RefreshFunction"), "puts into escrow", queue("SendMessage", "EscrowQueue")),
    Denied(Who("RefreshFunction"), "reads a connection", table("dynamodb:GetItem", CONNECTIONS, "acme")),
    Denied(Who("EscrowFunction"), "takes from escrow", queue("ReceiveMessage", "EscrowQueue")),
    Denied(Who("EscrowFunction"), "writes tokens", table("dynamodb:UpdateItem", CONNECTIONS, "acme", ["grant"])),
    Denied(
        Who("MaintainFunction"),
        "goes through all connections",
        table("dynamodb:Scan", CONNECTIONS, attributes=READ_ATTRIBUTES, Select="SPECIFIC_ATTRIBUTES"),
    ),
    Denied(Who("MaintainFunction"), "looks into escrow", queue("GetQueueAttributes", "EscrowDeadLetterQueue")),
    Denied(Who("TicketsFunction"), "reads", read("acme")),
    Denied(Who("ReadPolicy"), "reads", read("acme")),
    Denied(Who("ListPolicy"), "lists", listing("acme")),
)


@dataclass
class Account:
    """ministack with the template's tables, queues and secrets, and a role for each principal."""

    url: str
    template: Template
    roles: dict[str, boto3.Session] = field(default_factory=dict)
    clients: dict[tuple[str, str], Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = boto3.Session(ACCOUNT, "test", region_name=REGION)  # an account's number is its root's key here

    def client(self, service: str, session: boto3.Session | None = None) -> Client:
        maker: Any = session or self.root
        return maker.client(service, endpoint_url=self.url)

    def furnish(self) -> None:
        create_tables(self.client("dynamodb"), STACK)
        for name in resources(self.template, "AWS::SQS::Queue"):
            self.client("sqs").create_queue(QueueName=f"{STACK}-{name}")
        made = {
            arn: self.client("secretsmanager").create_secret(Name=name, SecretString="{}")["ARN"]
            for arn, name in SECRETS.items()
        }
        for name in PRINCIPALS:
            self.roles[name] = self._role(name, made)

    def _role(self, name: str, secrets: Mapping[str, str]) -> boto3.Session:
        policy = {"Version": "2012-10-17", "Statement": self._allowed(name)}
        document = json.dumps(resolver(self.template).resolve(policy))
        for expected, real in secrets.items():
            document = document.replace(expected, real)
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        iam, written = self.client("iam"), json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=written)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document)
        lent = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="second")["Credentials"]
        return boto3.Session(lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"], region_name=REGION)

    def _allowed(self, name: str) -> list[Json]:
        if name in FUNCTIONS:
            role = role_of(self.template, name)
            return [statement for holder, statement in role_statements(self.template) if holder == role]
        statements: list[Json] = self.template["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]
        return statements

    def allows(self, row: Denied) -> bool:
        """Ask for real. Whatever else is found wrong with a request: whoever made it was allowed to."""
        service, operation = row.call.operation.split(":")
        client = self._client_of(row.who.name, service)
        try:
            client._make_api_call(operation, request(row.call))
        except ClientError as error:
            return not error.response["Error"]["Code"].startswith("AccessDenied")
        return True

    def _client_of(self, name: str, service: str) -> Client:
        if (name, service) not in self.clients:
            self.clients[name, service] = self.client(service, self.roles[name])
        return self.clients[name, service]


def request(call: Call) -> Json:
    """Return the parameters of a request that would be recorded as this call."""
    service, operation = call.operation.split(":")
    name = call.resource.rpartition(":")[2]
    if service == "sqs":
        url = {"QueueUrl": f"http://localhost/{ACCOUNT}/{name}"}
        more = {"SendMessage": {"MessageBody": "x"}, "DeleteMessage": {"ReceiptHandle": "x"}}
        return url | more.get(operation, {})
    if service == "secretsmanager":
        return {"SecretId": SECRETS.get(call.resource, name)} | ({"SecretString": "{}"} if "Put" in operation else {})
    return _of_table(operation, name.removeprefix("table/"), call)


def _of_table(operation: str, place: str, call: Call) -> Json:
    name, _, index = place.partition("/index/")
    keys = KEYS[name.removeprefix(f"{STACK}-")]
    leading = call.context.get("dynamodb:LeadingKeys", [""])[0]
    key = {keys[0]: {"S": leading}} | {each: {"S": "hubspot#default"} for each in keys[1:]}
    others = [each for each in call.context.get("dynamodb:Attributes", []) if each not in keys]
    asked: Json = {"TableName": name, **({"IndexName": index} if index else {})}
    for parameter in ("Select", "ReturnValues"):
        if given := call.context.get(f"dynamodb:{parameter}"):
            asked[parameter] = given[0]
    match operation:
        case "Query":
            partition, value = INDEX_KEYS.get(index, (keys[0], {"S": leading}))
            wanted: Json = {"KeyConditionExpression": f"{partition} = :p", "ExpressionAttributeValues": {":p": value}}
        case "Scan" | "DeleteTable":
            wanted = {}
        case "PutItem":
            wanted = {"Item": key | {each: {"S": "x"} for each in others}}
        case "BatchGetItem":
            asked, wanted = {}, {"RequestItems": {name: {"Keys": [key]}}}
        case _:
            wanted = {"Key": key}
    if operation == "UpdateItem" and others:
        wanted |= _setting(others)
    if call.projected:
        wanted |= _projecting(others if operation == "GetItem" else [*keys, *others])
    return asked | wanted


def _projecting(names: Sequence[str]) -> Json:
    expression = ", ".join(f"#{each}" for each in names)
    return {"ProjectionExpression": expression, "ExpressionAttributeNames": {f"#{each}": each for each in names}}


def _setting(names: Sequence[str]) -> Json:
    return {
        "UpdateExpression": "SET " + ", ".join(f"#{each} = :x" for each in names),
        "ExpressionAttributeNames": {f"#{each}": each for each in names},
        "ExpressionAttributeValues": {":x": {"S": "x"}},
    }


def comparable(judge: Judge, row: Denied) -> bool:
    """Whether ministack has the means to decide, and is not known to decide wrongly."""
    service, operation = row.call.operation.split(":")
    if row.who.name not in PRINCIPALS or row.who.tags or service not in {"dynamodb", "sqs", "secretsmanager"}:
        return False
    if operation.startswith("PartiQL") or "/stream/" in row.call.resource:  # a statement, another service's operation
        return False
    unseen = {"dynamodb:LeadingKeys"} | ({"dynamodb:Attributes"} if row.call.action in WRITES else set())
    return not any(
        unseen & keys.keys() and each.covers(row.call.action, row.call.resource, {})
        for each in row.who.principal(judge).statements
        for keys in each.condition.values()
    )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    try:
        python = second.ENVIRONMENT.python()
    except NotInstalled as reason:
        pytest.skip(f"MINISTACK IS NOT HERE, ONLY MOTO WAS ASKED: {reason}")
    settings = {"AUTH": "true", "SERVICES": "dynamodb,iam,secretsmanager,sqs,sts"}
    with second.serving(python, tmp_path_factory.mktemp("judge"), settings) as url:
        made = Account(url, transformed())
        made.furnish()
        yield made


def different(rows: Iterator[Denied]) -> list[Denied]:
    """The same request by the same principal is made once."""
    by_request = {f"{row.who} {row.call.operation} {row.call.resource} {row.call.context}": row for row in rows}
    return list(by_request.values())


def test_both_deny_what_must_be_denied(account: Account) -> None:
    judge = Judge(account.template)
    rows = different(row for row in DENIED if comparable(judge, row))
    assert len(rows) > 200
    assert [str(row) for row in rows if account.allows(row)] == []


@pytest.mark.parametrize("row", ALLOWED, ids=str)
def test_both_allow_what_each_function_is_there_for(account: Account, row: Denied) -> None:
    judge = Judge(account.template)
    assert judge.allows(row.who.principal(judge), row.call)
    assert account.allows(row)
