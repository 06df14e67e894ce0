"""Least privilege, read from the roles that a deployment would make; and that each check can fail."""

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from consentry.aws.connections import SUMMARY_ATTRIBUTES
from consentry.aws.grants import EXPORTED_ATTRIBUTES
from consentry.aws.maintenance import READ_ATTRIBUTES
from consentry.aws.sealed import FLOW_ATTRIBUTES, SEALED_ATTRIBUTES
from consentry.model import Connection, ConnectionKey, Grant, Status
from consentry.record import READ_ATTRIBUTES as READ_ATTRIBUTES_OF_A_READER
from consentry.web.manage import shown
from tests.infrastructure.findings import (
    conditions_true_of_none,
    key_named,
    key_uses,
    keys_used_without_a_field,
    managed_policies,
    paths_open_at_the_end,
    wide_statements,
)
from tests.infrastructure.grants import not_as_granted
from tests.infrastructure.iam.asked import LISTED
from tests.infrastructure.iam.denied import DENIED
from tests.infrastructure.iam.judge import Judge
from tests.infrastructure.iam.names import resolver
from tests.infrastructure.transformed import (
    ROOT,
    Template,
    environment,
    listed,
    policy_statements,
    resources,
    role_of,
    role_statements,
    transformed,
)

FUNCTIONS = (
    "AuthorizeFunction",
    "CallbackFunction",
    "ConnectFunction",
    "CredentialsFunction",
    "ManageFunction",
    "RefreshDispatchFunction",
    "RefreshFunction",
    "EscrowFunction",
    "EventsFunction",
    "MaintainFunction",
    "TransferFunction",
    "RekeyFunction",
    "NotifyFunction",
    "TicketsFunction",
    "SurveysFunction",
    "SalesFunction",
)
DECRYPT, NEW_KEY = "kms:Decrypt", "kms:GenerateDataKey"
SEAL_ACCESS_TOKEN = (NEW_KEY, "AccessKey", "access_token")
OPEN_ACCESS_TOKEN = (DECRYPT, "AccessKey", "access_token")
SEAL_GRANT, OPEN_GRANT = (NEW_KEY, "GrantKey", "grant"), (DECRYPT, "GrantKey", "grant")
type KeyUse = tuple[str, str, str]
SEAL_FLOW, OPEN_FLOW = (NEW_KEY, "GrantKey", "flow"), (DECRYPT, "GrantKey", "flow")


@pytest.fixture
def template() -> Template:
    return transformed()


def statement(template: Template, function: str, action: str) -> dict[str, Any]:
    role = role_of(template, function)
    return next(each for name, each in role_statements(template) if name == role and action in listed(each["Action"]))


def actions_on(template: Template, function: str, resource: str) -> set[str]:
    role = role_of(template, function)
    return {
        action
        for name, each in role_statements(template)
        if name == role
        and f'"{resource}"' in json.dumps(each["Resource"]).replace(f"${{{resource}.Arn}}", f'"{resource}"')
        for action in listed(each["Action"])
    }


def test_every_function_has_a_role_of_its_own(template: Template) -> None:
    assert len({role_of(template, function) for function in FUNCTIONS}) == len(FUNCTIONS)


def test_no_role_holds_a_policy_of_somebody_else(template: Template) -> None:
    assert managed_policies(template) == []


def test_nothing_is_allowed_by_a_wildcard(template: Template) -> None:
    assert wide_statements(template) == []


def test_roles_and_policies_allow_what_is_written_down_and_nothing_else(template: Template) -> None:
    assert not_as_granted(template) == []


def test_no_condition_holds_for_a_request_that_lacks_what_it_is_about(template: Template) -> None:
    assert conditions_true_of_none(template) == []


def test_no_route_is_allowed_by_a_wildcard_at_its_end(template: Template) -> None:
    assert paths_open_at_the_end(template) == []


def test_what_must_be_denied_is_denied(template: Template) -> None:
    judge = Judge(template)
    assert [str(each) for each in DENIED if not judge.denies(each.who.principal(judge), each.call)] == []
    assert len(DENIED) > 1000


def test_a_list_is_what_the_api_shows_and_no_more(template: Template) -> None:
    allowed = template["Resources"]["ListPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]["Condition"]
    attributes = set(allowed["ForAllValues:StringEquals"]["dynamodb:Attributes"])
    assert attributes == set(LISTED)
    renamed = {"integration": "connection", "name": "connection", "cause": "status_cause", "generation": "gen"}
    key = ConnectionKey.parse("acme", "hubspot", "default")
    shown_of = shown(
        Connection(key=key, provider="p", grant_type=Grant.AUTHORIZATION_CODE, status=Status.ACTIVE, gen=1, epoch=1)
    )
    assert attributes == {renamed.get(each, each) for each in shown_of} | {"v"}


def test_the_connect_page_reads_what_it_asks_for_and_no_ciphertext(template: Template) -> None:
    condition = statement(template, "ConnectFunction", "dynamodb:Query")["Condition"]
    attributes = condition["ForAllValues:StringEquals"]["dynamodb:Attributes"]
    assert set(attributes) == set(SUMMARY_ATTRIBUTES)
    assert not {"access_token", "grant"} & set(attributes)
    assert actions_on(template, "ConnectFunction", "ConnectionsTable") == {"dynamodb:Query"}


@pytest.mark.parametrize("function", ["ConnectFunction", "CredentialsFunction"])
def test_pages_that_anyone_may_open_see_sessions_and_no_flow(template: Template, function: str) -> None:
    of_pending = [
        each
        for name, each in role_statements(template)
        if name == role_of(template, function) and "PendingTable" in json.dumps(each["Resource"])
    ]
    assert {each["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] for each in of_pending} == {
        "session#*"
    }


def test_a_reader_reads_what_the_layer_asks_for(template: Template) -> None:
    for name in ("ReadPolicy", "ReadTenantPolicy"):
        allowed = template["Resources"][name]["Properties"]["PolicyDocument"]["Statement"][0]["Condition"]
        assert set(allowed["ForAllValues:StringEquals"]["dynamodb:Attributes"]) == set(READ_ATTRIBUTES_OF_A_READER)


def test_each_exported_policy_has_an_output_and_fits_into_one(template: Template) -> None:
    policies = resources(template, "AWS::IAM::ManagedPolicy")
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    assert {name: outputs.get(f"{name}Arn") for name in policies} == {name: {"Ref": name} for name in policies}
    written = {name: json.dumps(resolver(template).resolve(each["PolicyDocument"])) for name, each in policies.items()}
    # 6,144 characters without white space, and names in AWS may be longer than these
    assert [name for name, text in written.items() if len(text.replace(" ", "")) > 4_000] == []


# A policy of another name, path or description is another policy to CloudFormation. It would be made beside the old
# one, which roles of other stacks go on holding. And a name of its own would ask for CAPABILITY_NAMED_IAM.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
EXPORTED = {
    "ReadPolicy": "Consentry, reads access tokens of every tenant; never a grant.",
    "ReadTenantPolicy": (
        "Consentry, reads access tokens of the tenant in the tag consentry-tenant, or of one integration of it."
    ),
    "ListPolicy": "Consentry, lists the connections of every tenant; never a token.",
    "ListTenantPolicy": "Consentry, lists the connections of the tenant in the tag consentry-tenant; never a token.",
    "ConnectPolicy": "Consentry, connects accounts for every tenant.",
    "ConnectTenantPolicy": "Consentry, connects accounts for the tenant in the tag consentry-tenant.",
    "RefreshPolicy": "Consentry, asks for a refresh of any tenant's connection.",
    "RefreshTenantPolicy": ("Consentry, asks for a refresh of a connection of the tenant in the tag consentry-tenant."),
}


def test_an_exported_policy_stays_the_one_that_other_stacks_hold(template: Template) -> None:
    policies = resources(template, "AWS::IAM::ManagedPolicy")
    assert {name: each["Description"] for name, each in policies.items()} == EXPORTED
    assert {name for each in policies.values() for name in each} == {"Description", "PolicyDocument"}


def test_a_deployment_needs_no_capability_but_the_one_that_is_configured(template: Template) -> None:
    named = {
        name
        for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
        for name, each in resources(template, kind).items()
        if each.keys() & {"RoleName", "ManagedPolicyName"}
    }
    assert named == set()
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = {
        environment["deploy"]["parameters"]["capabilities"]
        for name, environment in configured.items()
        if name != "version"
    }
    assert given == {"CAPABILITY_IAM"}


def test_every_use_of_a_key_names_the_field_it_is_for(template: Template) -> None:
    assert keys_used_without_a_field(template) == []


def with_others(uses: set[KeyUse]) -> set[KeyUse]:
    """Whoever opens what the present key sealed opens what a second one did; nobody seals with that."""
    return uses | {(action, f"Other{key}", field) for action, key, field in uses if action == DECRYPT}


def test_each_function_may_do_exactly_this_with_the_keys(template: Template) -> None:
    uses = key_uses(template)
    wanted: dict[str, set[KeyUse]] = {
        "AuthorizeFunction": {SEAL_FLOW},
        "CallbackFunction": {SEAL_FLOW, OPEN_FLOW, SEAL_GRANT, SEAL_ACCESS_TOKEN},
        "ConnectFunction": set(),
        "CredentialsFunction": {SEAL_GRANT, SEAL_ACCESS_TOKEN},
        "ManageFunction": {OPEN_FLOW, SEAL_GRANT, SEAL_ACCESS_TOKEN, OPEN_ACCESS_TOKEN},
        "RefreshDispatchFunction": set(),
        "RefreshFunction": {OPEN_GRANT, SEAL_GRANT, SEAL_ACCESS_TOKEN},
        "EscrowFunction": set(),
        "EventsFunction": set(),
        "NotifyFunction": set(),
        "MaintainFunction": set(),
        "TransferFunction": {OPEN_GRANT, SEAL_GRANT, SEAL_ACCESS_TOKEN},
        "RekeyFunction": {OPEN_GRANT, SEAL_GRANT, OPEN_ACCESS_TOKEN, SEAL_ACCESS_TOKEN},
        "TicketsFunction": {OPEN_ACCESS_TOKEN},
        "SurveysFunction": {OPEN_ACCESS_TOKEN},
        "SalesFunction": {OPEN_ACCESS_TOKEN},
    }
    assert {function: uses.get(role_of(template, function), set()) for function in FUNCTIONS} == {
        function: with_others(each) for function, each in wanted.items()
    }


def test_only_the_functions_that_refresh_export_and_replace_keys_can_open_a_grant(template: Template) -> None:
    able = {
        role for role, uses in key_uses(template).items() if OPEN_GRANT in uses or (DECRYPT, "GrantKey", "any") in uses
    }
    assert able == {role_of(template, f"{name}Function") for name in ("Refresh", "Transfer", "Rekey")}


def test_an_export_goes_through_grants_and_no_access_token(template: Template) -> None:
    condition = statement(template, "TransferFunction", "dynamodb:Scan")["Condition"]
    attributes = set(condition["ForAllValues:StringEquals"]["dynamodb:Attributes"])
    assert attributes == set(EXPORTED_ATTRIBUTES)
    assert "access_token" not in attributes


def test_a_consumer_reads_everything_of_a_connection_but_its_grant(template: Template) -> None:
    condition = statement(template, "TicketsFunction", "dynamodb:GetItem")["Condition"]
    attributes = condition["ForAllValues:StringEquals"]["dynamodb:Attributes"]
    assert "access_token" in attributes
    assert "grant" not in attributes
    assert condition["Null"] == {"dynamodb:Attributes": "false"}
    assert condition["StringEqualsIfExists"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}


def test_the_dispatcher_can_mark_a_connection_as_sent_and_write_nothing_else(template: Template) -> None:
    condition = statement(template, "RefreshDispatchFunction", "dynamodb:UpdateItem")["Condition"]
    assert set(condition["ForAllValues:StringEquals"]["dynamodb:Attributes"]) == {
        "tenant", "connection", "gen", "due_at", "enqueued_until",
    }  # fmt: skip
    assert actions_on(template, "RefreshDispatchFunction", "ConnectionsTable") == {
        "dynamodb:Query",
        "dynamodb:UpdateItem",
    }


def test_only_functions_that_redeem_or_refresh_read_client_secrets(template: Template) -> None:
    able = {
        role
        for role, each in role_statements(template)
        if "secretsmanager:GetSecretValue" in each["Action"] and "/integrations/*" in json.dumps(each["Resource"])
    }
    assert able == {role_of(template, f"{name}Function") for name in ("Callback", "Manage", "Refresh")}


def test_no_function_replaces_a_connection_and_only_the_refresh_function_deletes_one(template: Template) -> None:
    allowed = {function: actions_on(template, function, "ConnectionsTable") for function in FUNCTIONS}
    of_its_stream = allowed.pop("EventsFunction")
    assert of_its_stream == {
        "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
    }  # fmt: skip
    assert set().union(*allowed.values()) == {
        "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem",
    }  # fmt: skip
    assert [function for function in allowed if "dynamodb:DeleteItem" in allowed[function]] == ["RefreshFunction"]


def test_maintenance_goes_through_all_connections_and_touches_no_token(template: Template) -> None:
    conditions = [
        statement(template, "MaintainFunction", action)["Condition"]
        for action in ("dynamodb:Scan", "dynamodb:UpdateItem")
    ]
    read, written = (set(each["ForAllValues:StringEquals"]["dynamodb:Attributes"]) for each in conditions)
    assert read == set(READ_ATTRIBUTES)
    assert "access_token" not in read
    assert not {"access_token", "grant"} & written
    assert actions_on(template, "MaintainFunction", "ConnectionsTable") == {"dynamodb:Scan", "dynamodb:UpdateItem"}


def test_who_replaces_keys_sees_and_writes_ciphertexts_and_nothing_else(template: Template) -> None:
    conditions = [
        statement(template, "RekeyFunction", action)["Condition"] for action in ("dynamodb:Scan", "dynamodb:UpdateItem")
    ]
    for each in conditions:
        assert each["ForAllValues:StringEquals"]["dynamodb:Attributes"] == list(SEALED_ATTRIBUTES)
    of_flows = next(
        each
        for name, each in role_statements(template)
        if name == "RekeyFunctionRole" and "PendingTable" in json.dumps(each["Resource"])
    )
    assert of_flows["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"] == list(FLOW_ATTRIBUTES)
    assert actions_on(template, "RekeyFunction", "ConnectionsTable") == {
        "dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem",
    }  # fmt: skip


KEYS = {
    "stack": "arn:aws:kms:eu-central-1:111122223333:key/stack",
    "named": "arn:aws:kms:eu-central-1:111122223333:key/named",
    "other": "arn:aws:kms:eu-central-1:444455556666:key/other",
}


@pytest.mark.parametrize(
    ("named", "other", "opens", "seals"),
    [
        (False, False, ["stack"], ["stack"]),
        (False, True, ["stack", "other"], ["stack"]),
        (True, False, ["named"], ["named"]),
        (True, True, ["named", "other"], ["named"]),
    ],
)
@pytest.mark.parametrize("kind", ["Access", "Grant"])
def test_the_key_that_is_named_seals_and_the_second_one_is_opened_alone(
    template: Template, kind: str, named: bool, other: bool, opens: list[str], seals: list[str]
) -> None:
    parameters = {f"{kind}KeyArn": KEYS["named"] * named, f"Other{kind}KeyArn": KEYS["other"] * other}
    resolve = resolver(template, **parameters).resolve
    wanted = {DECRYPT: [KEYS.get(each) for each in opens], NEW_KEY: [KEYS.get(each) for each in seals]}
    found = set()
    policies = [each for _, each in policy_statements(template)]
    for each in [*(each for _, each in role_statements(template)), *policies]:
        named_keys = {key_named(key).removeprefix("Other") for key in listed(each["Resource"])}
        for action in listed(each["Action"]) if named_keys == {f"{kind}Key"} else []:
            arns = [KEYS["stack"] if arn.endswith(f"-{kind}Key") else arn for arn in listed(resolve(each["Resource"]))]
            assert arns == wanted[action]
            found.add(action)
    assert found == {DECRYPT, NEW_KEY}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_knows_the_keys_that_its_role_may_use(template: Template, function: str) -> None:
    told = environment(template, function)
    uses = {(action, key) for action, key, _ in key_uses(template).get(role_of(template, function), set())}
    for kind in ("Access", "Grant"):
        present, other = f"CONSENTRY_{kind.upper()}_KEY", f"CONSENTRY_OTHER_{kind.upper()}_KEY"
        assert (present in told) == any(key == f"{kind}Key" for _, key in uses)
        assert (told.get(other) == {"Ref": f"Other{kind}KeyArn"}) == ((DECRYPT, f"Other{kind}Key") in uses)
        assert present not in told or key_named(told[present]) == f"{kind}Key"


@pytest.mark.parametrize("function", ["RefreshFunction", "RefreshDispatchFunction", "MaintainFunction"])
def test_whoever_counts_failures_can_touch_no_registration(template: Template, function: str) -> None:
    writing = [
        each
        for name, each in role_statements(template)
        if name == role_of(template, function)
        and "IntegrationsTable" in json.dumps(each["Resource"])
        and "dynamodb:UpdateItem" in listed(each["Action"])
    ]
    assert [each["Condition"] for each in writing] == [
        {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "*#health"}, "Null": {"dynamodb:LeadingKeys": "false"}}
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_told_of_exactly_what_its_role_lets_it_use(template: Template, function: str) -> None:
    things = {
        name
        for kind in ("AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::SQS::Queue")
        for name in resources(template, kind)
    }
    told = {name for name in things if f'"{name}"' in json.dumps(environment(template, function))}
    polled = {"RefreshFunction": {"RefreshQueue"}, "EventsFunction": {"ConnectionsTable", "IntegrationsTable"}}
    assert told | polled.get(function, set()) == {name for name in things if actions_on(template, function, name)}


def test_the_schedule_can_start_the_dispatcher_alone_and_only_for_this_account(template: Template) -> None:
    trust = template["Resources"]["ScheduleRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust[0]["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    [allowed] = [each for name, each in role_statements(template) if name == "ScheduleRole"]
    assert allowed["Resource"] == {"Fn::GetAtt": ["RefreshDispatchFunction", "Arn"]}


def widen_action(template: Template) -> None:
    statement(template, "TicketsFunction", "dynamodb:GetItem")["Action"] = "dynamodb:*"


def widen_resource(template: Template) -> None:
    statement(template, "RefreshFunction", "dynamodb:UpdateItem")["Resource"] = "*"


def drop_condition(template: Template) -> None:
    del statement(template, "CallbackFunction", DECRYPT)["Condition"]


def loosen_condition(template: Template) -> None:
    statement(template, "ManageFunction", DECRYPT)["Condition"] = {
        "StringEqualsIfExists": {"kms:EncryptionContext:field": "flow"}
    }


def open_the_key(template: Template) -> None:
    for each in template["Resources"]["GrantKey"]["Properties"]["KeyPolicy"]["Statement"]:
        each.pop("Condition", None)


def attach_a_managed_policy(template: Template) -> None:
    role = template["Resources"]["RefreshFunctionRole"]["Properties"]
    role["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"]


@pytest.mark.parametrize(
    ("weaken", "check", "finding"),
    [
        (widen_action, wide_statements, "TicketsFunctionRole allows dynamodb:*"),
        (widen_resource, wide_statements, "on every resource"),
        (drop_condition, keys_used_without_a_field, "CallbackFunctionRole uses kms:Decrypt"),
        (loosen_condition, keys_used_without_a_field, "ManageFunctionRole uses kms:Decrypt"),
        (open_the_key, keys_used_without_a_field, "GrantKey uses"),
        (attach_a_managed_policy, managed_policies, "RefreshFunctionRole"),
    ],
)
def test_a_weakened_role_is_found(
    template: Template,
    weaken: Callable[[Template], None],
    check: Callable[[Template], list[str]],
    finding: str,
) -> None:
    weaken(template)
    assert any(finding in found for found in check(template))
