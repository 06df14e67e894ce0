"""Least privilege, proved on what really happens; and what each operation costs in calls.

A stack of its own is led through everything that the functions do. What its AWS endpoint recorded is held against the
roles of the transformed template: every call is allowed, and whatever is allowed is needed.
"""

import tomllib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.recording import Call
from dev.running import started
from tests.infrastructure.grants import GRANTS
from tests.infrastructure.iam.denied import FUNCTIONS, Who
from tests.infrastructure.iam.judge import Judge, Principal
from tests.infrastructure.iam.names import arn_of
from tests.infrastructure.iam.statements import Grant
from tests.infrastructure.test_mutations import holders, statements
from tests.infrastructure.transformed import Template, resources, transformed
from tests.stack.calls import Calls
from tests.stack.operations import Operations
from tests.stack.tour import Tour
from tests.support.person import RETURN_URL, Company

pytestmark = pytest.mark.stack
# The scheduler sleeps: it ticks when the tour says so.
OPTIONS = {
    "HTTPS": "1", "TICK": "3600", "ACCESS_TTL": "600", "ROTATION": "rotates", "GRACE": "0", "RETURN_URLS": RETURN_URL,
}  # fmt: skip
# The sweeps of the dispatcher are counted elsewhere (test_dispatch_calls.py): there, no refresh follows.
COSTS = {
    name: cost
    for name, cost in tomllib.loads(Path(__file__).with_name("calls.toml").read_text(encoding="utf-8")).items()
    if "calls" in cost
}
# What stands in a role for what AWS itself does with it, and no run on one machine can show.
BY_AWS = {
    ("logs:CreateLogStream", ""): "Lambda writes each function's log under its role; here a file takes it",
    ("logs:PutLogEvents", ""): "as logs:CreateLogStream",
    (
        "sqs:GetQueueAttributes",
        "RefreshFunctionRole[8]",
    ): "Lambda's pollers look at the length of the queue they take from",
    ("sqs:GetQueueAttributes", "EscrowFunctionRole[1]"): "as for the queue of hints",
    (
        "dynamodb:ListStreams",
        "EventsFunctionRole[1]",
    ): "Lambda wants it when the mapping is made, besides what it polls with",
    (
        "lambda:InvokeFunction",
        "ScheduleRole[0]",
    ): "EventBridge Scheduler takes this role; the local one calls by itself",
}


POLLING = frozenset({
    "sqs:ReceiveMessage", "sqs:DeleteMessage",
    "dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords",
})  # fmt: skip
ASKS_NOBODY = "NotifyFunction"  # a rule's target: its event is all that it needs


@dataclass(frozen=True)
class Evidence:
    """Who asked for what, each different request once; and the calls of each operation."""

    asked: dict[Who, list[Call]]
    operations: dict[str, list[str]]
    template: Template

    def allowing(self, template: Template) -> Iterator[tuple[Who, Principal, Call, Judge]]:
        judge = Judge(template)
        for who, calls in self.asked.items():
            principal = who.principal(judge)
            yield from ((who, principal, call, judge) for call in calls)

    def denied_by(self, template: Template, concerned: set[str]) -> list[str]:
        """The calls that would fail; only those of the functions and policies that are concerned."""
        return [
            f"{who}: {call.action} {call.resource}"
            for who, principal, call, judge in self.allowing(template)
            if who.name in concerned and not judge.allows(principal, call)
        ]


def who(caller: str) -> Who:
    """`ReadTenantPolicy-acme-hotjar`: the policy, and the tags of the role that holds it."""
    name, *tags = caller.split("-")
    return Who(name, dict(zip(("consentry_tenant", "consentry_integration"), tags, strict=False)))


def polled(template: Template, call: Call) -> str:
    """Return the function in whose name a poller took a message or read a stream; the runner stands in for Lambda."""
    if call.caller or call.action not in POLLING:
        return call.caller
    for mapping in resources(template, "AWS::Lambda::EventSourceMapping").values():
        source = mapping["EventSourceArn"]["Fn::GetAtt"][0]
        table = arn_of("AWS::DynamoDB::Table", source)
        if call.resource == arn_of("AWS::SQS::Queue", source) or call.resource.startswith(f"{table}/stream/"):
            return str(mapping["FunctionName"]["Ref"])
    return ""


def different(template: Template, calls: list[Call]) -> dict[Who, list[Call]]:
    found: dict[str, dict[str, Call]] = {}
    for call in calls:
        if caller := polled(template, call):
            alike = f"{call.operation} {call.resource} {call.context} {call.projected} {call.returns_on_refusal}"
            found.setdefault(caller, {})[alike] = call
    return {who(caller): list(each.values()) for caller, each in found.items()}


@pytest.fixture(scope="module")
def evidence() -> Iterator[Evidence]:
    template = transformed()
    with started(OPTIONS) as ready:
        company, calls = Company(ready, ready.authorization_server_url or ""), Calls(ready)
        tour = Tour(company, calls)
        operations = Operations(company, calls, tour).measure()
        tour.walk()
        signed = [call for consumer in tour.consumers.values() for call in consumer.signed]
        yield Evidence(different(template, calls.since(0) + signed), operations, template)


def test_every_function_and_every_exported_policy_took_part(evidence: Evidence) -> None:
    policies = set(resources(evidence.template, "AWS::IAM::ManagedPolicy"))
    assert {who.name for who in evidence.asked} == {*FUNCTIONS, *policies} - {ASKS_NOBODY}


def test_every_call_is_allowed_by_the_role_of_whoever_makes_it(evidence: Evidence) -> None:
    assert evidence.denied_by(evidence.template, {who.name for who in evidence.asked}) == []


def granted(judge: Judge, template: Template) -> set[Grant]:
    """Every action on every resource that a role or an exported policy allows."""
    roles = [judge.role(name) for name in resources(template, "AWS::IAM::Role")]
    policies = [judge.policy(name) for name in resources(template, "AWS::IAM::ManagedPolicy")]
    allowed = [statement for each in (*roles, *policies) for statement in each.statements]
    return {grant for statement in allowed for grant, _ in statement.grants()}


def test_whatever_is_allowed_is_used_or_left_to_aws(evidence: Evidence) -> None:
    judge = Judge(evidence.template)
    used = {
        grant
        for _, principal, call, judge in evidence.allowing(evidence.template)
        for grant in judge.uses(principal, call)
    }
    unused = granted(judge, evidence.template) - used
    unexplained = {
        (where, action) for where, action, _ in unused if not {(action, where), (action, "")} & BY_AWS.keys()
    }
    assert unexplained == set()
    explained = {
        reason for where, action, _ in unused for reason in ((action, where), (action, "")) if reason in BY_AWS
    }
    assert explained == BY_AWS.keys(), "a reason is given for what is used after all"


@pytest.mark.parametrize("name", [name for name in GRANTS if name != "ScheduleRole"])
def test_a_statement_that_is_taken_away_is_missed_by_a_call(evidence: Evidence, name: str) -> None:
    concerned = holders(evidence.template, name)
    unmissed = []
    for number, statement in enumerate(statements(evidence.template, name)):
        template = deepcopy(evidence.template)
        del statements(template, name)[number]
        if not evidence.denied_by(template, concerned):
            unmissed.append((number, statement["Action"]))
    log = [(0, ["logs:CreateLogStream", "logs:PutLogEvents"])] if name.endswith("FunctionRole") else []
    assert unmissed == log


@pytest.mark.parametrize("operation", COSTS)
def test_an_operation_makes_exactly_these_calls(evidence: Evidence, operation: str) -> None:
    wanted: dict[str, Any] = COSTS[operation]
    assert evidence.operations[operation] == wanted["calls"]


def test_every_operation_that_is_measured_is_written_down(evidence: Evidence) -> None:
    assert set(evidence.operations) == set(COSTS)
