"""Everything that this deployment allows anybody: one line for each action, what on, and the conditions' keys.

A line here and a line in the template are written together; `not_as_granted` names whatever stands in one of them only.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.infrastructure.findings import key_named
from tests.infrastructure.transformed import Template, listed, policy_statements, resources

_ROUTES: Final = "$default/"


def granted(template: Template) -> dict[str, set[str]]:
    """Return what each role (by policies of its own) and each managed policy allows, as lines."""
    found: dict[str, set[str]] = {}
    for name, statement in (*_own_statements(template), *policy_statements(template)):
        keys = sorted(_conditions(statement))
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                words = [action, _target(resource), *(["if", *keys] if keys else [])]
                found.setdefault(name, set()).add(" ".join(words))
    return found


def not_as_granted(template: Template) -> list[str]:
    """Lines that are in the template and not here, or here and not in the template."""
    found = granted(template)
    wanted = {name: {line.strip() for line in text.strip().splitlines()} for name, text in GRANTS.items()}
    names = sorted(found.keys() | wanted.keys())
    allowed = {name: (found.get(name, set()), wanted.get(name, set())) for name in names}
    return [f"{name} allows {line}" for name in names for line in sorted(allowed[name][0] - allowed[name][1])] + [
        f"{name} lacks {line}" for name in names for line in sorted(allowed[name][1] - allowed[name][0])
    ]


def _own_statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in resources(template, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in listed(policy["PolicyDocument"]["Statement"]):
                yield name, statement


def _conditions(statement: Template) -> Iterator[str]:
    """Yield the keys that decide; that a key must be there at all only completes another condition on it."""
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            if operator != "Null":
                yield _short(key)
            elif wanted == "true":
                yield f"no {_short(key)}"


def _short(key: str) -> str:
    return key.replace("kms:EncryptionContext:", "context:").replace("aws:PrincipalTag/", "tag/")


def _target(resource: Any) -> str:  # noqa: ANN401 - any intrinsic
    """Return a resource in short: its logical id, the end of its ARN, or a route."""
    match resource:
        case {"Fn::If": _}:
            return key_named(resource)
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            return str(name)
        case {"Fn::Sub": text}:
            short = re.sub(r"^.*:(?:secret:|event-bus/)", "", str(text).replace(".Arn}", "}"))
            return short.partition(_ROUTES)[2] if _ROUTES in short else short
        case _:
            return str(resource)


GRANTS: Final = {
    "AuthorizeFunctionRole": """
        dynamodb:GetItem IntegrationsTable
        dynamodb:GetItem PendingTable
        dynamodb:UpdateItem PendingTable
        kms:GenerateDataKey GrantKey if context:field
        logs:CreateLogStream AuthorizeLogGroup
        logs:PutLogEvents AuthorizeLogGroup
        secretsmanager:GetSecretValue MacSecret
    """,
    "CallbackFunctionRole": """
        dynamodb:GetItem ConnectionsTable
        dynamodb:GetItem PendingTable
        dynamodb:UpdateItem ConnectionsTable
        dynamodb:UpdateItem PendingTable
        kms:Decrypt GrantKey if context:field
        kms:Decrypt OtherGrantKey if context:field
        kms:GenerateDataKey AccessKey if context:field
        kms:GenerateDataKey GrantKey if context:field
        logs:CreateLogStream CallbackLogGroup
        logs:PutLogEvents CallbackLogGroup
        secretsmanager:GetSecretValue MacSecret
        secretsmanager:GetSecretValue consentry/${AWS::StackName}/integrations/*
    """,
    "ConnectFunctionRole": """
        dynamodb:GetItem IntegrationsTable
        dynamodb:GetItem PendingTable if dynamodb:LeadingKeys
        dynamodb:Query ConnectionsTable if dynamodb:Attributes dynamodb:Select
        logs:CreateLogStream ConnectLogGroup
        logs:PutLogEvents ConnectLogGroup
        secretsmanager:GetSecretValue MacSecret
    """,
    "CredentialsFunctionRole": """
        dynamodb:GetItem ConnectionsTable
        dynamodb:GetItem IntegrationsTable
        dynamodb:GetItem PendingTable if dynamodb:LeadingKeys
        dynamodb:UpdateItem ConnectionsTable
        dynamodb:UpdateItem PendingTable if dynamodb:Attributes dynamodb:LeadingKeys
        kms:GenerateDataKey AccessKey if context:field
        kms:GenerateDataKey GrantKey if context:field
        logs:CreateLogStream CredentialsLogGroup
        logs:PutLogEvents CredentialsLogGroup
        secretsmanager:GetSecretValue MacSecret
    """,
    "ManageFunctionRole": """
        dynamodb:GetItem ConnectionsTable
        dynamodb:GetItem IntegrationsTable
        dynamodb:GetItem PendingTable
        dynamodb:PutItem PendingTable
        dynamodb:Query ConnectionsTable
        dynamodb:Query ${ConnectionsTable}/index/attention
        dynamodb:Scan IntegrationsTable
        dynamodb:UpdateItem ConnectionsTable
        dynamodb:UpdateItem PendingTable
        kms:Decrypt AccessKey if context:field
        kms:Decrypt OtherAccessKey if context:field
        kms:Decrypt GrantKey if context:field
        kms:Decrypt OtherGrantKey if context:field
        kms:GenerateDataKey AccessKey if context:field
        kms:GenerateDataKey GrantKey if context:field
        lambda:InvokeFunction RefreshFunction
        logs:CreateLogStream ManageLogGroup
        logs:PutLogEvents ManageLogGroup
        secretsmanager:GetSecretValue MacSecret
        secretsmanager:GetSecretValue consentry/${AWS::StackName}/integrations/*
    """,
    "TransferFunctionRole": """
        dynamodb:GetItem ConnectionsTable
        dynamodb:GetItem IntegrationsTable
        dynamodb:Scan ConnectionsTable if dynamodb:Attributes dynamodb:Select
        dynamodb:UpdateItem ConnectionsTable
        kms:Decrypt GrantKey if context:field
        kms:Decrypt OtherGrantKey if context:field
        kms:GenerateDataKey AccessKey if context:field
        kms:GenerateDataKey GrantKey if context:field
        logs:CreateLogStream TransferLogGroup
        logs:PutLogEvents TransferLogGroup
    """,
    "RekeyFunctionRole": """
        dynamodb:GetItem ConnectionsTable if dynamodb:Attributes dynamodb:Select
        dynamodb:Scan ConnectionsTable if dynamodb:Attributes dynamodb:Select
        dynamodb:Scan PendingTable if dynamodb:Attributes dynamodb:Select
        dynamodb:UpdateItem ConnectionsTable if dynamodb:Attributes dynamodb:ReturnValues
        kms:Decrypt AccessKey if context:field
        kms:Decrypt OtherAccessKey if context:field
        kms:Decrypt GrantKey if context:field
        kms:Decrypt OtherGrantKey if context:field
        kms:GenerateDataKey AccessKey if context:field
        kms:GenerateDataKey GrantKey if context:field
        logs:CreateLogStream RekeyLogGroup
        logs:PutLogEvents RekeyLogGroup
        sqs:GetQueueAttributes EscrowDeadLetterQueue
        sqs:GetQueueAttributes EscrowQueue
    """,
    "RefreshDispatchFunctionRole": """
        dynamodb:Query ${ConnectionsTable}/index/due
        dynamodb:Scan IntegrationsTable
        dynamodb:UpdateItem ConnectionsTable if dynamodb:Attributes dynamodb:ReturnValues
        dynamodb:UpdateItem IntegrationsTable if dynamodb:LeadingKeys
        logs:CreateLogStream RefreshDispatchLogGroup
        logs:PutLogEvents RefreshDispatchLogGroup
        sqs:SendMessage RefreshQueue
    """,
    "ScheduleRole": """
        lambda:InvokeFunction RefreshDispatchFunction
    """,
    "RefreshFunctionRole": """
        dynamodb:DeleteItem ConnectionsTable
        dynamodb:Query ${ConnectionsTable}/index/account
        dynamodb:GetItem ConnectionsTable
        dynamodb:GetItem IntegrationsTable if dynamodb:LeadingKeys
        dynamodb:UpdateItem ConnectionsTable
        dynamodb:UpdateItem IntegrationsTable if dynamodb:LeadingKeys
        kms:Decrypt GrantKey if context:field
        kms:Decrypt OtherGrantKey if context:field
        kms:GenerateDataKey AccessKey if context:field
        kms:GenerateDataKey GrantKey if context:field
        logs:CreateLogStream RefreshLogGroup
        logs:PutLogEvents RefreshLogGroup
        secretsmanager:GetSecretValue consentry/${AWS::StackName}/integrations/*
        sqs:DeleteMessage RefreshQueue
        sqs:GetQueueAttributes EscrowDeadLetterQueue
        sqs:GetQueueAttributes EscrowQueue
        sqs:GetQueueAttributes RefreshQueue
        sqs:ReceiveMessage RefreshQueue
        sqs:SendMessage EscrowQueue
    """,
    "EscrowFunctionRole": """
        dynamodb:UpdateItem ConnectionsTable
        logs:CreateLogStream EscrowLogGroup
        logs:PutLogEvents EscrowLogGroup
        sqs:DeleteMessage EscrowQueue
        sqs:GetQueueAttributes EscrowQueue
        sqs:ReceiveMessage EscrowQueue
    """,
    "EventsFunctionRole": """
        dynamodb:DescribeStream ${ConnectionsTable}/stream/*
        dynamodb:DescribeStream ${IntegrationsTable}/stream/*
        dynamodb:GetRecords ${ConnectionsTable}/stream/*
        dynamodb:GetRecords ${IntegrationsTable}/stream/*
        dynamodb:GetShardIterator ${ConnectionsTable}/stream/*
        dynamodb:GetShardIterator ${IntegrationsTable}/stream/*
        dynamodb:ListStreams ${ConnectionsTable}/stream/*
        dynamodb:ListStreams ${IntegrationsTable}/stream/*
        events:PutEvents ${EventBusName} if events:source
        logs:CreateLogStream EventsLogGroup
        logs:PutLogEvents EventsLogGroup
        sqs:SendMessage EventsDeadLetterQueue
    """,
    "NotifyFunctionRole": """
        logs:CreateLogStream NotifyLogGroup
        logs:PutLogEvents NotifyLogGroup
    """,
    "MaintainFunctionRole": """
        dynamodb:GetItem IntegrationsTable if dynamodb:LeadingKeys
        dynamodb:Scan ConnectionsTable if dynamodb:Attributes dynamodb:Select
        dynamodb:UpdateItem ConnectionsTable if dynamodb:Attributes dynamodb:ReturnValues
        dynamodb:UpdateItem IntegrationsTable if dynamodb:LeadingKeys
        logs:CreateLogStream MaintainLogGroup
        logs:PutLogEvents MaintainLogGroup
        sqs:GetQueueAttributes EscrowDeadLetterQueue
        sqs:GetQueueAttributes EscrowQueue
    """,
    "TicketsFunctionRole": """
        logs:CreateLogStream TicketsLogGroup
        logs:PutLogEvents TicketsLogGroup
    """,
    "SurveysFunctionRole": """
        logs:CreateLogStream SurveysLogGroup
        logs:PutLogEvents SurveysLogGroup
    """,
    "SalesFunctionRole": """
        logs:CreateLogStream SalesLogGroup
        logs:PutLogEvents SalesLogGroup
    """,
    "ReadPolicy": """
        dynamodb:GetItem ConnectionsTable if dynamodb:Attributes dynamodb:Select
        kms:Decrypt AccessKey if context:field
        kms:Decrypt OtherAccessKey if context:field
    """,
    "ReadTenantPolicy": """
        dynamodb:GetItem ConnectionsTable if dynamodb:Attributes dynamodb:LeadingKeys dynamodb:Select
        kms:Decrypt AccessKey if context:field context:tenant no tag/consentry-integration
        kms:Decrypt OtherAccessKey if context:field context:tenant no tag/consentry-integration
        kms:Decrypt AccessKey if context:connection context:field context:tenant
        kms:Decrypt OtherAccessKey if context:connection context:field context:tenant
    """,
    "ListPolicy": """
        dynamodb:Query ConnectionsTable if dynamodb:Attributes dynamodb:Select
        execute-api:Invoke GET/connections
        execute-api:Invoke GET/tenants/*/connections
    """,
    "ListTenantPolicy": """
        dynamodb:Query ConnectionsTable if dynamodb:Attributes dynamodb:LeadingKeys dynamodb:Select
        execute-api:Invoke GET/tenants/${!aws:PrincipalTag/consentry-tenant}/connections
    """,
    "ConnectPolicy": """
        execute-api:Invoke GET/integrations
        execute-api:Invoke POST/tenants/*/sessions
        execute-api:Invoke POST/tenants/*/sessions/*/complete
        execute-api:Invoke PUT/tenants/*/connections/*/*/credentials
    """,
    "ConnectTenantPolicy": """
        execute-api:Invoke GET/integrations if tag/consentry-tenant
        execute-api:Invoke POST/tenants/${!aws:PrincipalTag/consentry-tenant}/sessions
        execute-api:Invoke POST/tenants/${!aws:PrincipalTag/consentry-tenant}/sessions/*/complete
        execute-api:Invoke PUT/tenants/${!aws:PrincipalTag/consentry-tenant}/connections/*/*/credentials
    """,
    "RefreshPolicy": """
        execute-api:Invoke POST/tenants/*/connections/*/*/refresh
        lambda:InvokeFunction RefreshFunction
    """,
    "RefreshTenantPolicy": """
        execute-api:Invoke POST/tenants/${!aws:PrincipalTag/consentry-tenant}/connections/*/*/refresh
    """,
}
