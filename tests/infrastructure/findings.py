"""What must not stand in a transformed template: each check returns a sentence for everything it finds."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from tests.infrastructure.transformed import (
    ROOT,
    Template,
    held_policies,
    listed,
    policy_statements,
    resources,
    role_statements,
)

PUBLIC_ROUTES: Final = frozenset({
    "ANY /authorize/{integration}", "ANY /callback/{integration}", "ANY /connect", "ANY /connect/{integration}",
    "ANY /connect/{integration}/disconnect", "ANY /connect.js", "ANY /health",
})  # fmt: skip
SIGNED_ROUTES: Final = frozenset(
    {
        "POST /tenants/{tenant}/sessions",
        "POST /tenants/{tenant}/sessions/{session}/complete",
        "GET /tenants/{tenant}/connections",
        "GET /tenants/{tenant}/connections/{integration}/{name}",
        "DELETE /tenants/{tenant}/connections/{integration}/{name}",
        "DELETE /tenants/{tenant}",
        "PUT /tenants/{tenant}/connections/{integration}/{name}/credentials",
        "GET /tenants/{tenant}/connections/{integration}/{name}/token",
        "POST /tenants/{tenant}/connections/{integration}/{name}/refresh",
        "GET /integrations",
        "GET /connections",
    }
)
LOGGED: Final = frozenset(
    {"requestId", "routeKey", "status", "responseLength", "integrationLatency", "identity.sourceIp"}
)
CONTEXT_FIELD: Final = "kms:EncryptionContext:field"
KEPT_TABLES: Final = ("ConnectionsTable", "IntegrationsTable")
ACCOUNT: Final = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
SERVICES: Final = {"lambda.amazonaws.com": False, "scheduler.amazonaws.com": True}  # whether it must name our account
OPENING: Final = frozenset(
    {"AWS::Lambda::Url", "AWS::Lambda::LayerVersionPermission", "AWS::SecretsManager::ResourcePolicy"}
)
WILDCARDS_ALLOWED: Final = frozenset({"KeyPolicy"})  # in a key's own policy, "*" is how AWS spells this key


def wide_statements(template: Template) -> list[str]:
    """Allowed actions that are not spelt out in roles, and resources that are everything."""
    found: list[str] = []
    for name, where, statement in _statements(template):
        if statement["Effect"] != "Allow":
            continue
        actions = [action for action in listed(statement["Action"]) if action == "*" or action.endswith(":*")]
        if where == "Policies":
            actions += [action for action in listed(statement["Action"]) if "*" in action]
        found += [f"{name} allows {action}" for action in dict.fromkeys(actions)]
        if where not in WILDCARDS_ALLOWED and "*" in listed(statement.get("Resource", [])):
            found.append(f"{name} allows {statement['Action']} on every resource")
        found += [f"{name} uses {key}" for key in ("NotAction", "NotResource", "NotPrincipal") if key in statement]
    return found


def managed_policies(template: Template) -> list[str]:
    """Roles that hold somebody else's policy."""
    return [
        name
        for name, role in resources(template, "AWS::IAM::Role").items()
        if len(role.get("ManagedPolicyArns", [])) > len(held_policies(template, role))
    ]


def conditions_true_of_none(template: Template) -> list[str]:
    """Conditions that a request without the key would meet: ForAllValues is true of none."""
    return [
        f"{name} allows {', '.join(listed(statement['Action']))} without any {key}"
        for name, _, statement in _statements(template)
        for operator, keys in statement.get("Condition", {}).items()
        for key in keys
        if operator.startswith("ForAllValues:")
        and statement["Condition"].get("Null", {}).get(key) != "false"
        and statement["Effect"] == "Allow"
    ]


def open_to_others(template: Template) -> list[str]:
    """Whoever is let in by the resources themselves: trust, keys, queues and functions name whom they serve."""
    found = [
        f"{name} lets in by {resource['Type']}"
        for name, resource in template["Resources"].items()
        if resource["Type"] in OPENING or "ResourcePolicy" in resource.get("Properties", {})
    ]
    for name, where, statement in _statements(template):
        principal = statement.get("Principal")
        allowed = {
            "Policies": principal is None,
            "AssumeRolePolicyDocument": _is_service(principal, statement),
            "KeyPolicy": principal == ACCOUNT,
            "PolicyDocument": statement["Effect"] == "Deny",
        }
        if not allowed[where]:
            found.append(f"{name} lets in {json.dumps(principal)}")
    for name, permission in resources(template, "AWS::Lambda::Permission").items():
        if not _is_known_caller(template, permission):
            source = json.dumps(permission.get("SourceArn"))
            found.append(f"{name} lets in {permission['Principal']} from {source}")
    return found


def _is_known_caller(template: Template, permission: Template) -> bool:
    """Whether it is our API, or a rule of this template."""
    match permission.get("SourceArn"):
        case {"Fn::GetAtt": [rule, "Arn"]}:
            is_ours = rule in resources(template, "AWS::Events::Rule")
            return bool(is_ours and permission["Principal"] == "events.amazonaws.com")
        case {"Fn::Sub": path}:
            return bool(permission["Principal"] == "apigateway.amazonaws.com" and "${HttpApi}/" in str(path))
        case _:
            return False


def _is_service(principal: object, statement: Template) -> bool:
    name = principal.get("Service", "") if isinstance(principal, dict) and len(principal) == 1 else ""
    condition = statement.get("Condition", {}).get("StringEquals", {})
    return name in SERVICES and (not SERVICES[name] or condition.get("aws:SourceAccount") == {"Ref": "AWS::AccountId"})


def paths_open_at_the_end(template: Template) -> list[str]:
    """Routes that a policy allows by a wildcard at the end: it would match whatever follows, slashes included."""
    return [
        f"{name} allows {path}"
        for name, statement in policy_statements(template)
        for resource in listed(statement["Resource"])
        for path in [json.dumps(resource).strip('"}')]
        if "execute-api" in path and path.endswith("*")
    ]


def keys_used_without_a_field(template: Template) -> list[str]:
    """KMS statements of roles, and of keys for use, that name no field of the encryption context."""
    return [
        f"{name} uses {', '.join(listed(statement['Action']))} without naming a field"
        for name, _, statement in _statements(template)
        if statement["Effect"] == "Allow" and _uses_a_key(statement) and not fields(statement)
    ]


def fields(statement: Template) -> frozenset[str]:
    """The fields that a KMS statement is limited to; empty if it is not limited."""
    limit = statement.get("Condition", {}).get("StringEquals", {}).get(CONTEXT_FIELD, [])
    return frozenset(field for field in listed(limit) if "*" not in field)


def key_uses(template: Template) -> dict[str, set[tuple[str, str, str]]]:
    """What every role may do with keys: role -> {(action, key, field)}."""
    uses: dict[str, set[tuple[str, str, str]]] = {}
    for role, statement in role_statements(template):
        for action in listed(statement["Action"]):
            if action.startswith("kms:"):
                keys = [key_named(each) for each in listed(statement["Resource"])]
                uses.setdefault(role, set()).update(
                    (action, key, field) for key in keys for field in fields(statement) or {"any"}
                )
    return uses


def key_named(resource: object) -> str:
    """Name the key that a statement or variable means: `GrantKey` is the present one, `OtherGrantKey` the second.

    Whatever mixes them up is returned as it is written.
    """
    for kind in ("AccessKey", "GrantKey"):
        present = {"Fn::If": [f"Own{kind}", {"Fn::GetAtt": [kind, "Arn"]}, {"Ref": f"{kind}Arn"}]}
        other = {"Fn::If": [f"HasOther{kind}", {"Ref": f"Other{kind}Arn"}, {"Ref": "AWS::NoValue"}]}
        if resource == present:
            return kind
        if resource == other:
            return f"Other{kind}"
    return json.dumps(resource)


def routes_not_as_declared(template: Template) -> list[str]:
    """Routes that are neither among the public ones nor signed, and routes that are missing."""
    routes = {
        route["RouteKey"]: route.get("AuthorizationType", "NONE")
        for route in resources(template, "AWS::ApiGatewayV2::Route").values()
    }
    wanted = dict.fromkeys(PUBLIC_ROUTES, "NONE") | dict.fromkeys(SIGNED_ROUTES, "AWS_IAM")
    return [
        f"{key} is {routes.get(key, 'missing')}, not {wanted.get(key, 'wanted')}"
        for key in sorted(routes.keys() | wanted.keys())
        if routes.get(key) != wanted.get(key)
    ]


def logs_kept_forever(template: Template) -> list[str]:
    """Log groups without retention, and functions or stages that write to no declared log group."""
    groups = resources(template, "AWS::Logs::LogGroup")
    found = [f"{name} has no retention" for name, group in groups.items() if "RetentionInDays" not in group]
    for name, function in resources(template, "AWS::Lambda::Function").items():
        if function.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref") not in groups:
            found.append(f"{name} writes to a log group that is not declared")
    for name, stage in resources(template, "AWS::ApiGatewayV2::Stage").items():
        destination = stage.get("AccessLogSettings", {}).get("DestinationArn", {}).get("Fn::GetAtt", [None])
        if destination[0] not in groups:
            found.append(f"{name} writes to a log group that is not declared")
    return found


def access_logs_that_tell(template: Template) -> list[str]:
    """Access log variables beyond the allow-list: paths and queries carry tickets, codes and states."""
    found: list[str] = []
    for name, stage in resources(template, "AWS::ApiGatewayV2::Stage").items():
        values = json.loads(stage["AccessLogSettings"]["Format"]).values()
        found += [f"{name} logs {value}" for value in values if value.removeprefix("$context.") not in LOGGED]
    return found


def tables_unprotected(template: Template) -> list[str]:
    """Tables that hold grants or configuration and could be lost, and tables that are not encrypted."""
    found: list[str] = []
    for name, table in resources(template, "AWS::DynamoDB::Table").items():
        wanted: dict[str, bool] = {"encryption": table.get("SSESpecification", {}).get("SSEEnabled", False)}
        if name in KEPT_TABLES:
            wanted |= {
                "recovery": table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False),
                "deletion protection": table.get("DeletionProtectionEnabled", False),
                "a stream": table.get("StreamSpecification", {}).get("StreamViewType") == "NEW_AND_OLD_IMAGES",
                "Retain": _retained(template, name),
            }
        found += [f"{name} lacks {what}" for what, present in wanted.items() if not present]
    return found


def keys_unprotected(template: Template) -> list[str]:
    """Keys that do not rotate or would go with the stack."""
    found: list[str] = []
    for name, key in resources(template, "AWS::KMS::Key").items():
        wanted = {"rotation": key.get("EnableKeyRotation", False), "Retain": _retained(template, name)}
        found += [f"{name} lacks {what}" for what, present in wanted.items() if not present]
    return found


def queues_unprotected(template: Template) -> list[str]:
    """Queues without encryption at rest, or that may be reached without TLS."""
    encrypted_in_transit = {
        queue["Ref"]
        for policy in resources(template, "AWS::SQS::QueuePolicy").values()
        for statement in listed(policy["PolicyDocument"]["Statement"])
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for queue in policy["Queues"]
    }
    queues = resources(template, "AWS::SQS::Queue")
    found = [f"{name} lacks encryption" for name, queue in queues.items() if not queue.get("SqsManagedSseEnabled")]
    return found + [f"{name} is reachable without TLS" for name in queues if name not in encrypted_in_transit]


def routes_unthrottled(template: Template) -> list[str]:
    """Public routes that anybody may call as often as the signed ones, and stages without any limit."""
    found: list[str] = []
    for name, stage in resources(template, "AWS::ApiGatewayV2::Stage").items():
        default = stage.get("DefaultRouteSettings", {}).get("ThrottlingRateLimit")
        if not default:
            found.append(f"{name} has no throttle")
        for route in sorted(PUBLIC_ROUTES):
            limit = stage.get("RouteSettings", {}).get(route, {}).get("ThrottlingRateLimit")
            if not limit or (default and limit >= default):
                found.append(f"{name} does not throttle {route}")
    return found


def alarms_without_a_page(template: Template) -> list[str]:
    """Alarms that name no page of the runbook, or one that does not exist, and alarms that tell nobody."""
    found: list[str] = []
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        named = re.findall(r"\((docs/runbook/[a-z-]+\.md)\)", alarm.get("AlarmDescription", ""))
        if len(named) != 1 or not (ROOT / named[0]).is_file():
            found.append(f"{name} has no page in docs/runbook")
        if "AlarmTopicArn" not in json.dumps(alarm.get("AlarmActions")):
            found.append(f"{name} tells nobody")
    return found


def _uses_a_key(statement: Template) -> bool:
    used = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncrypt", "kms:CreateGrant")
    return any(action.startswith(used) for action in listed(statement["Action"]))


def _retained(template: Template, name: str) -> bool:
    resource = template["Resources"][name]
    return bool(resource.get("DeletionPolicy") == resource.get("UpdateReplacePolicy") == "Retain")


def _statements(template: Template) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every policy statement: (logical id, the property it stands in, statement)."""
    for name, statement in (*role_statements(template), *policy_statements(template)):
        yield name, "Policies", statement
    for name, role in resources(template, "AWS::IAM::Role").items():
        for statement in listed(role["AssumeRolePolicyDocument"]["Statement"]):
            yield name, "AssumeRolePolicyDocument", statement
    for name, key in resources(template, "AWS::KMS::Key").items():
        for statement in listed(key["KeyPolicy"]["Statement"]):
            yield name, "KeyPolicy", statement
    for name, queue in resources(template, "AWS::SQS::QueuePolicy").items():
        for statement in listed(queue["PolicyDocument"]["Statement"]):
            yield name, "PolicyDocument", statement
