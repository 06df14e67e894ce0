"""Whether AWS would allow a call: identity policies, the key's own policy, and every Deny.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dev.recording import Call
from tests.infrastructure.iam.conditions import Context, holds
from tests.infrastructure.iam.names import arn_of, parameters_of_the_judged, resolver
from tests.infrastructure.iam.statements import Grant, Statement, Tags
from tests.infrastructure.transformed import Template, listed, resources, role_of

READS: Final = frozenset({"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"})
WRITES: Final = frozenset({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"})
IN_TRANSIT: Final = {"aws:SecureTransport": ["true"]}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with identity policies, and the tags of their role."""

    statements: Sequence[Statement]
    tags: Tags = field(default_factory=dict)


class Judge:
    """Decides by the policies of one transformed template."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._resolver = resolver(template, **parameters_of_the_judged())
        self._keys = {
            arn_of("AWS::KMS::Key", name): self._parsed(name, key["KeyPolicy"])
            for name, key in resources(template, "AWS::KMS::Key").items()
        }
        self._queues = [
            statement
            for name, policy in resources(template, "AWS::SQS::QueuePolicy").items()
            for statement in self._parsed(name, policy["PolicyDocument"])
        ]

    def role(self, role: str) -> Principal:
        """Return a role of the template, with the template's managed policies that are attached to it."""
        properties = self._template["Resources"][role]["Properties"]
        attached = [each["Ref"] for each in properties.get("ManagedPolicyArns", [])]
        own = [
            statement
            for policy in properties.get("Policies", [])
            for statement in self._parsed(role, policy["PolicyDocument"])
        ]
        return Principal([*own, *(each for name in attached for each in self.policy(name).statements)])

    def function(self, function: str) -> Principal:
        return self.role(role_of(self._template, function))

    def policy(self, name: str, **tags: str) -> Principal:
        """Return whoever holds one managed policy of the template; `consentry_tenant` is the tag `consentry-tenant`."""
        document = self._template["Resources"][name]["Properties"]["PolicyDocument"]
        written = {tag.replace("_", "-"): value for tag, value in tags.items()}
        return Principal(self._parsed(name, document), written)

    def _parsed(self, where: str, document: Mapping[str, Any]) -> list[Statement]:
        raw = listed(self._resolver.resolve(document)["Statement"])
        return [Statement.parse(f"{where}[{number}]", each) for number, each in enumerate(raw)]

    def allows(self, principal: Principal, call: Call) -> bool:
        """Whether the call is allowed, however AWS fills in what its documentation leaves open."""
        return all(self._decides(principal, call, reading) for reading in readings(call))

    def denies(self, principal: Principal, call: Call) -> bool:
        """Whether the call is denied, however AWS fills in what its documentation leaves open."""
        return not any(self._decides(principal, call, reading) for reading in readings(call))

    def uses(self, principal: Principal, call: Call) -> set[Grant]:
        """Return what allows the call, all readings together."""
        return {
            grant
            for reading in readings(call)
            for statement in principal.statements
            if _applies(statement, call, reading, principal.tags)
            for grant, alone in statement.grants()
            if alone.covers(call.action, call.resource, principal.tags)
        }

    def _decides(self, principal: Principal, call: Call, context: Context) -> bool:
        of_resource = self._keys.get(call.resource, []) or self._queues
        applying = [
            each for each in (*principal.statements, *of_resource) if _applies(each, call, context, principal.tags)
        ]
        if any(each.effect == "Deny" for each in applying):
            return False
        allowed = any(each in applying for each in principal.statements)
        if call.resource in self._keys:  # a key's policy has to let the account's IAM policies have a say
            return allowed and any(each in applying for each in self._keys[call.resource])
        return allowed


def _applies(statement: Statement, call: Call, context: Context, tags: Tags) -> bool:
    return statement.covers(call.action, call.resource, tags) and holds(statement.condition, context, tags)


def readings(call: Call) -> Iterator[Context]:
    """Yield the request contexts that AWS's documentation admits for one call.

    Left open are: whether a default counts as if it had been given; and whether the item that a refused write returns
    counts as ReturnValues. A read that names no attributes asks for all of them, so either Select says so, or there
    are no Attributes (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html).
    """
    context = {**IN_TRANSIT, **call.context}
    if call.action in READS:
        yield from _reads(call, context)
    elif call.action in WRITES:
        yield context
        if "dynamodb:ReturnValues" not in context:
            yield context | {"dynamodb:ReturnValues": ["NONE"]}
        if call.returns_on_refusal:
            yield context | {"dynamodb:ReturnValues": ["ALL_OLD"]}
    else:
        yield context


def _reads(call: Call, context: dict[str, list[str]]) -> Iterator[Context]:
    if "dynamodb:Select" in context:
        yield context
    elif call.projected:
        yield context
        yield context | {"dynamodb:Select": ["SPECIFIC_ATTRIBUTES"]}
    else:
        everything = "ALL_PROJECTED_ATTRIBUTES" if "/index/" in call.resource else "ALL_ATTRIBUTES"
        yield context | {"dynamodb:Select": [everything]}
        yield {name: values for name, values in context.items() if name != "dynamodb:Attributes"}
