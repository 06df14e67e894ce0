"""The ARNs of a template's resources in the local stack's account, the same in every run."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from dev.account import REGION
from dev.intrinsics import Resolver
from dev.provision import Place
from dev.ready import Ready
from dev.recording import Call
from tests.infrastructure.transformed import Template

STACK: Final = "consentry-local"
PLACE: Final = Place(stack=STACK, region=REGION, base_url="http://localhost:3000")
API: Final = "local"
_CHOSEN_BY_AWS: Final = re.compile(r"-[A-Za-z0-9]{6}$")


class Names:
    """The `Lookup` of a resolver: an ARN made of the stack's name and the logical id."""

    def __init__(self, template: Template) -> None:
        self._resources = template["Resources"]

    def reference(self, logical_id: str) -> str:
        match self._resources[logical_id]["Type"]:
            case "AWS::SecretsManager::Secret" | "AWS::IAM::ManagedPolicy":
                return arn_of(self._resources[logical_id]["Type"], logical_id)
            case "AWS::ApiGatewayV2::Api":
                return API
            case _:
                return f"{STACK}-{logical_id}"

    def attribute(self, logical_id: str, name: str) -> str:
        return f"http://{API}" if name == "ApiEndpoint" else arn_of(self._resources[logical_id]["Type"], logical_id)


def arn_of(kind: str, logical_id: str) -> str:
    """Return the ARN of a resource by its CloudFormation type; raise `KeyError` for a type not met so far."""
    forms = {
        "AWS::DynamoDB::Table": ("dynamodb", "table/{}"),
        "AWS::KMS::Key": ("kms", "key/{}"),
        "AWS::SQS::Queue": ("sqs", "{}"),
        "AWS::SecretsManager::Secret": ("secretsmanager", "secret:{}-local0"),
        "AWS::Lambda::Function": ("lambda", "function:{}"),
        "AWS::Logs::LogGroup": ("logs", "log-group:{}:*"),
        "AWS::IAM::Role": ("iam", "role/{}"),
        "AWS::IAM::ManagedPolicy": ("iam", "policy/{}"),
    }
    service, form = forms[kind]
    return PLACE.arn(service, form.format(f"{STACK}-{logical_id}"))


# Judged is a deployment whose keys are being replaced: it allows the most.
def parameters_of_the_judged() -> dict[str, str]:
    return {f"{name}Arn": arn_of("AWS::KMS::Key", name) for name in ("OtherAccessKey", "OtherGrantKey")}


def resolver(template: Template, **given: str) -> Resolver:
    """Return what resolves a template, with its parameters as `given`, or else by their defaults."""
    parameters: Mapping[str, Any] = {
        name: given.get(name, declared.get("Default", "")) for name, declared in template.get("Parameters", {}).items()
    }
    made = Resolver(template, parameters, PLACE.pseudo_parameters)
    made.lookup = Names(template)
    return made


def in_these_names(call: Call, ready: Ready) -> Call:
    """Return a recorded call with what AWS chose at random replaced: the ids of keys and the end of secrets' ARNs."""
    keys = {
        ready.keys["access"]: "AccessKey",
        ready.keys["grant"]: "GrantKey",
        ready.keys["other_access"]: "OtherAccessKey",
        ready.keys["other_grant"]: "OtherGrantKey",
    }
    if logical_id := keys.get(call.resource):
        return replace(call, resource=arn_of("AWS::KMS::Key", logical_id))
    if ":secretsmanager:" in call.resource:
        return replace(call, resource=_CHOSEN_BY_AWS.sub("-local0", call.resource))
    return call
