"""Calls as the AWS endpoint would have recorded them, for what no run ever does."""

from collections.abc import Iterable
from typing import Final

from consentry.listing import LIST_ATTRIBUTES
from consentry.record import READ_ATTRIBUTES
from dev.recording import Call
from tests.infrastructure.iam.names import API, PLACE, STACK, arn_of

LISTED: Final = LIST_ATTRIBUTES
KEYS: Final = {
    "ConnectionsTable": ("tenant", "connection"),
    "IntegrationsTable": ("integration",),
    "PendingTable": ("id",),
}
PROJECTING: Final = frozenset({"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"})


def call(operation: str, resource: str, **context: str | Iterable[str]) -> Call:
    """`context` holds condition keys, `:` written as `__`, `/` never; texts stand for lists of one."""
    told = {
        key.replace("__", ":"): [value] if isinstance(value, str) else list(value) for key, value in context.items()
    }
    return Call(number=0, caller="", operation=operation, resource=resource, context=told)


def table(
    operation: str, name: str, leading: str = "", attributes: Iterable[str] = (), index: str = "", **more: str
) -> Call:
    """A call to a table; without `attributes` a read wants everything, a write names its key alone."""
    resource = arn_of("AWS::DynamoDB::Table", name) + (f"/index/{index}" if index else "")
    named = sorted({*(KEYS[name] if leading else ()), *attributes})
    told: dict[str, list[str]] = {f"dynamodb:{key}": [value] for key, value in more.items()}
    told |= {"dynamodb:LeadingKeys": [leading]} if leading else {}
    told |= {"dynamodb:Attributes": named} if named else {}
    projected = operation in PROJECTING and bool(tuple(attributes))
    return Call(number=0, caller="", operation=operation, resource=resource, context=told, projected=projected)


def read(tenant: str, attributes: Iterable[str] = READ_ATTRIBUTES) -> Call:
    return table("dynamodb:GetItem", "ConnectionsTable", tenant, attributes)


def listing(tenant: str, attributes: Iterable[str] = LISTED, select: str = "SPECIFIC_ATTRIBUTES") -> Call:
    return table("dynamodb:Query", "ConnectionsTable", tenant, attributes, Select=select)


def key(operation: str, name: str, field: str, tenant: str = "acme", connection: str = "hubspot#default") -> Call:
    """A use of a KMS key under Consentry's context; without `field` under none."""
    context = {"tenant": tenant, "connection": connection, "field": field} if field else {}
    told = {f"kms:EncryptionContext:{name}": [value] for name, value in context.items()}
    resource = arn_of("AWS::KMS::Key", name)
    names = {"kms:EncryptionContextKeys": sorted(context)} if context else {}
    return Call(number=0, caller="", operation=f"kms:{operation}", resource=resource, context={**told, **names})


def opened(tenant: str, connection: str = "hubspot#default", name: str = "AccessKey") -> Call:
    return key("Decrypt", name, "access_token", tenant, connection)


def route(method_and_path: str) -> Call:
    """A signed request to the HTTP API, such as `GET/tenants/acme/connections`."""
    return call("execute-api:Invoke", PLACE.arn("execute-api", f"{API}/$default/{method_and_path}"))


def secret(name: str) -> Call:
    return call("secretsmanager:GetSecretValue", PLACE.arn("secretsmanager", f"secret:{name}-local0"))


def queue(operation: str, name: str) -> Call:
    return call(f"sqs:{operation}", arn_of("AWS::SQS::Queue", name))


def put_events(source: str, bus: str = "default") -> Call:
    return call("events:PutEvents", PLACE.arn("events", f"event-bus/{bus}"), events__source=source)


def stream(operation: str, name: str) -> Call:
    return call(f"dynamodb:{operation}", f"{arn_of('AWS::DynamoDB::Table', name)}/stream/2026-01-01T00:00:00.000")


def function(name: str) -> Call:
    return call("lambda:Invoke", arn_of("AWS::Lambda::Function", name))


def log(operation: str, name: str) -> Call:
    return call(f"logs:{operation}", arn_of("AWS::Logs::LogGroup", name))


MAC_SECRET: Final = secret(f"{STACK}-MacSecret")
CLIENT_SECRET: Final = secret(f"consentry/{STACK}/integrations/hubspot")
FOREIGN_SECRET: Final = secret("consentry/another-stack/integrations/hubspot")
