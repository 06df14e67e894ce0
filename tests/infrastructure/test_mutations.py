"""The gates, tried: whatever is taken away from the template or widened in it is found, and called by its name."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.infrastructure.findings import (
    access_logs_that_tell,
    alarms_without_a_page,
    conditions_true_of_none,
    keys_unprotected,
    keys_used_without_a_field,
    logs_kept_forever,
    managed_policies,
    open_to_others,
    paths_open_at_the_end,
    queues_unprotected,
    routes_not_as_declared,
    routes_unthrottled,
    tables_unprotected,
    wide_statements,
)
from tests.infrastructure.grants import GRANTS, not_as_granted
from tests.infrastructure.iam.denied import DENIED
from tests.infrastructure.iam.judge import Judge
from tests.infrastructure.transformed import Template, listed, resources, transformed

GATES: tuple[Callable[[Template], list[str]], ...] = (
    access_logs_that_tell,
    alarms_without_a_page,
    conditions_true_of_none,
    keys_unprotected,
    keys_used_without_a_field,
    logs_kept_forever,
    managed_policies,
    not_as_granted,
    open_to_others,
    paths_open_at_the_end,
    queues_unprotected,
    routes_not_as_declared,
    routes_unthrottled,
    tables_unprotected,
    wide_statements,
)
# What a wildcard or a dropped condition is found by, besides the table of what must be denied.
BY_RULE = (wide_statements, keys_used_without_a_field, conditions_true_of_none)
SCHEDULE = "ScheduleRole"


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def statements(template: Template, name: str) -> list[dict[str, Any]]:
    """The statements of a role's own policy, or of a managed one, to be changed in place."""
    found = properties(template, name)
    document = found["PolicyDocument"] if "PolicyDocument" in found else found["Policies"][0]["PolicyDocument"]
    own: list[dict[str, Any]] = document["Statement"]
    return own


def of_action(template: Template, name: str, action: str) -> dict[str, Any]:
    return next(each for each in statements(template, name) if action in listed(each["Action"]))


def allow_one_action_more(template: Template) -> None:
    of_action(template, "EscrowFunctionRole", "dynamodb:UpdateItem")["Action"] = [
        "dynamodb:UpdateItem",
        "dynamodb:GetItem",
    ]


def allow_every_action(template: Template) -> None:
    of_action(template, "RefreshFunctionRole", "kms:Decrypt")["Action"] = "kms:*"


def allow_every_resource(template: Template) -> None:
    of_action(template, "CallbackFunctionRole", "secretsmanager:GetSecretValue")["Resource"] = "*"


def forget_a_permission(template: Template) -> None:
    statements(template, "RefreshFunctionRole").remove(of_action(template, "RefreshFunctionRole", "kms:Decrypt"))


def drop_a_condition(template: Template) -> None:
    del of_action(template, "ReadTenantPolicy", "dynamodb:GetItem")["Condition"]["ForAllValues:StringEquals"][
        "dynamodb:LeadingKeys"
    ]


def drop_a_context(template: Template) -> None:
    del of_action(template, "CallbackFunctionRole", "kms:Decrypt")["Condition"]


def take_none_for_all(template: Template) -> None:
    del of_action(template, "RefreshDispatchFunctionRole", "dynamodb:UpdateItem")["Condition"]["Null"]


def open_a_path(template: Template) -> None:
    written, _ = of_action(template, "ListPolicy", "execute-api:Invoke")["Resource"]
    written["Fn::Sub"] = written["Fn::Sub"].removesuffix("/connections")


def attach_a_policy_of_aws(template: Template) -> None:
    properties(template, "TicketsFunctionRole")["ManagedPolicyArns"].append("arn:aws:iam::aws:policy/ReadOnlyAccess")


def keep_a_log_forever(template: Template) -> None:
    del properties(template, "RefreshLogGroup")["RetentionInDays"]


def leave_a_table_unencrypted(template: Template) -> None:
    del properties(template, "PendingTable")["SSESpecification"]


def let_a_table_be_deleted(template: Template) -> None:
    properties(template, "ConnectionsTable")["DeletionProtectionEnabled"] = False


def lose_recovery(template: Template) -> None:
    del properties(template, "IntegrationsTable")["PointInTimeRecoverySpecification"]


def stop_rotating_a_key(template: Template) -> None:
    del properties(template, "GrantKey")["EnableKeyRotation"]


def throttle_nothing(template: Template) -> None:
    del properties(template, "HttpApiStage")["DefaultRouteSettings"]


def throttle_a_public_route_no_more(template: Template) -> None:
    del properties(template, "HttpApiStage")["RouteSettings"]["ANY /callback/{integration}"]


def log_the_query(template: Template) -> None:
    properties(template, "HttpApiStage")["AccessLogSettings"]["Format"] = '{"path":"$context.path$context.queryString"}'


def alarm_without_a_page(template: Template) -> None:
    properties(template, "EscrowAlarm")["AlarmDescription"] = "A new token waits in escrow (docs/runbook/nowhere.md)."


def alarm_nobody(template: Template) -> None:
    del properties(template, "RotationLostAlarm")["AlarmActions"]


def leave_a_queue_unencrypted(template: Template) -> None:
    properties(template, "EscrowQueue")["SqsManagedSseEnabled"] = False


def unsign_a_route(template: Template) -> None:
    properties(template, "ReadTokenRoute")["AuthorizationType"] = "NONE"


def trust(template: Template, role: str) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, role)["AssumeRolePolicyDocument"]["Statement"][0]
    return found


def let_everybody_take_a_role(template: Template) -> None:
    trust(template, "RefreshFunctionRole")["Principal"] = {"AWS": "*"}


def let_the_scheduler_of_others_in(template: Template) -> None:
    del trust(template, SCHEDULE)["Condition"]


def open_a_key_to_everybody(template: Template) -> None:
    properties(template, "GrantKey")["KeyPolicy"]["Statement"][1]["Principal"] = "*"


def let_everybody_send_hints(template: Template) -> None:
    properties(template, "RefreshQueuePolicy")["PolicyDocument"]["Statement"].append(
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "sqs:SendMessage",
            "Resource": {"Fn::GetAtt": ["RefreshQueue", "Arn"]},
        }
    )


def let_any_api_call_a_function(template: Template) -> None:
    del properties(template, "ManageTenantsPermission")["SourceArn"]


def let_any_rule_call_a_function(template: Template) -> None:
    del properties(template, "NotifyPermission")["SourceArn"]


def let_a_rule_call_the_api_s_function(template: Template) -> None:
    properties(template, "NotifyPermission")["SourceArn"] = {"Fn::GetAtt": ["HttpApi", "Arn"]}


def tell_in_anybodys_name(template: Template) -> None:
    del of_action(template, "EventsFunctionRole", "events:PutEvents")["Condition"]


def give_a_function_an_address(template: Template) -> None:
    template["Resources"]["Door"] = {"Type": "AWS::Lambda::Url", "Properties": {"AuthType": "NONE"}}


MUTATIONS: dict[Callable[[Template], None], str] = {
    allow_one_action_more: "EscrowFunctionRole allows dynamodb:GetItem ConnectionsTable",
    allow_every_action: "RefreshFunctionRole allows kms:*",
    allow_every_resource: "CallbackFunctionRole allows secretsmanager:GetSecretValue on every resource",
    forget_a_permission: "RefreshFunctionRole lacks kms:Decrypt GrantKey",
    drop_a_condition: "ReadTenantPolicy lacks dynamodb:GetItem ConnectionsTable if dynamodb:Attributes dynamodb:Lead",
    drop_a_context: "CallbackFunctionRole uses kms:Decrypt without naming a field",
    take_none_for_all: "RefreshDispatchFunctionRole allows dynamodb:UpdateItem without any dynamodb:Attributes",
    open_a_path: "GET/tenants/*",
    attach_a_policy_of_aws: "TicketsFunctionRole",
    keep_a_log_forever: "RefreshLogGroup has no retention",
    leave_a_table_unencrypted: "PendingTable lacks encryption",
    let_a_table_be_deleted: "ConnectionsTable lacks deletion protection",
    lose_recovery: "IntegrationsTable lacks recovery",
    stop_rotating_a_key: "GrantKey lacks rotation",
    throttle_nothing: "HttpApiStage has no throttle",
    throttle_a_public_route_no_more: "HttpApiStage does not throttle ANY /callback/{integration}",
    log_the_query: "HttpApiStage logs $context.path$context.queryString",
    alarm_without_a_page: "EscrowAlarm has no page in docs/runbook",
    alarm_nobody: "RotationLostAlarm tells nobody",
    leave_a_queue_unencrypted: "EscrowQueue lacks encryption",
    unsign_a_route: "/token is NONE, not AWS_IAM",
    let_everybody_take_a_role: 'RefreshFunctionRole lets in {"AWS": "*"}',
    let_the_scheduler_of_others_in: "ScheduleRole lets in",
    open_a_key_to_everybody: 'GrantKey lets in "*"',
    let_everybody_send_hints: 'RefreshQueuePolicy lets in "*"',
    let_any_api_call_a_function: "ManageTenantsPermission lets in apigateway.amazonaws.com from null",
    let_any_rule_call_a_function: "NotifyPermission lets in events.amazonaws.com from null",
    let_a_rule_call_the_api_s_function: "NotifyPermission lets in events.amazonaws.com from",
    tell_in_anybodys_name: "EventsFunctionRole lacks events:PutEvents ${EventBusName} if events:source",
    give_a_function_an_address: "Door lets in by AWS::Lambda::Url",
}


def found_in(template: Template) -> list[str]:
    return [finding for gate in GATES for finding in gate(template)]


@pytest.fixture(scope="module")
def whole() -> Template:
    return transformed()


def test_the_template_passes_every_gate(whole: Template) -> None:
    assert found_in(whole) == []


@pytest.mark.parametrize(("mutate", "finding"), MUTATIONS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_template_that_was_weakened_is_found_by_name(
    whole: Template, mutate: Callable[[Template], None], finding: str
) -> None:
    template = deepcopy(whole)
    mutate(template)
    assert any(finding in each for each in found_in(template))


def widened(template: Template, name: str) -> Iterator[tuple[str, Template]]:
    """Each statement with any action, on any resource, and without each condition: (what was done, template)."""
    for number, statement in enumerate(statements(template, name)):
        service = str(listed(statement["Action"])[0]).partition(":")[0]
        for what, change in (("any action", {"Action": f"{service}:*"}), ("any resource", {"Resource": "*"})):
            copy = deepcopy(template)
            statements(copy, name)[number].update(change)
            yield f"{name}[{number}] with {what}", copy
        for operator, keys in statement.get("Condition", {}).items():
            for key in keys:
                copy = deepcopy(template)
                del statements(copy, name)[number]["Condition"][operator][key]
                yield f"{name}[{number}] without {operator} {key}", copy


def holders(template: Template, name: str) -> set[str]:
    """Who is judged by a role or policy: the functions of the role, the policy itself, functions that hold it."""
    functions = {
        function: each["Role"]["Fn::GetAtt"][0]
        for function, each in resources(template, "AWS::Lambda::Function").items()
    }
    holding = {
        role
        for role, each in resources(template, "AWS::IAM::Role").items()
        if {"Ref": name} in each.get("ManagedPolicyArns", [])
    }
    return {function for function, role in functions.items() if role in {name, *holding}} | {name}


@pytest.mark.parametrize("name", [name for name in GRANTS if name != SCHEDULE])
def test_a_statement_that_is_widened_allows_what_must_be_denied(whole: Template, name: str) -> None:
    concerned = [each for each in DENIED if each.who.name in holders(whole, name)]
    unnoticed = []
    for what, template in widened(whole, name):
        judge = Judge(template)
        principals = {each.who.name + str(each.who): each.who.principal(judge) for each in concerned}
        allowed = any(not judge.denies(principals[each.who.name + str(each.who)], each.call) for each in concerned)
        if not allowed and not any(rule(template) for rule in BY_RULE):
            unnoticed.append(what)
    assert unnoticed == []


def test_the_schedules_role_widened_is_found_too(whole: Template) -> None:
    for _, template in widened(whole, SCHEDULE):
        assert wide_statements(template)


@pytest.mark.parametrize("name", GRANTS)
def test_a_statement_that_is_taken_away_is_missed(whole: Template, name: str) -> None:
    for number in range(len(statements(whole, name))):
        template = deepcopy(whole)
        del statements(template, name)[number]
        assert any(each.startswith(f"{name} lacks ") for each in not_as_granted(template))
