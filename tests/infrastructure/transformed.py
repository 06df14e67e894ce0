"""The template as SAM's own translator turns it into CloudFormation, and the few ways of looking into it."""

import os
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

from samtranslator.translator.transform import transform as translate
from samtranslator.yaml_helper import yaml_parse

type Template = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parents[2]
TEMPLATE: Final = ROOT / "template.yaml"
FIXTURES: Final = Path(__file__).parent / "fixtures"
REGION: Final = "eu-central-1"
_LOCAL_CODE: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


class NoManagedPolicies:
    """Stands in for IAM's list of managed policies: the template names none."""

    def load(self) -> dict[str, str]:
        return {}


def source(path: Path = TEMPLATE) -> Template:
    """The template as written, short intrinsics spelt out."""
    return cast("Template", yaml_parse(path.read_text()))


def transformed(path: Path = TEMPLATE) -> Template:
    """The CloudFormation template that deploying `path` would submit; a copy of its own for each caller."""
    return deepcopy(_transformed(path))


@cache
def _transformed(path: Path) -> Template:
    template = source(path)
    for resource in template["Resources"].values():
        if (code := _LOCAL_CODE.get(resource["Type"])) is not None:
            resource["Properties"][code] = "s3://bucket/key"
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}):
        return cast("Template", translate(template, {}, NoManagedPolicies()))


def resources(template: Template, kind: str) -> dict[str, Template]:
    """Properties by logical id, of one resource type."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def listed(value: object) -> list[Any]:
    """IAM lets a list of one stand without brackets."""
    return value if isinstance(value, list) else [value]


def role_statements(template: Template) -> Iterator[tuple[str, Template]]:
    """What every role may do, by its own policies and by the template's that it holds: (role, statement)."""
    for name, role in resources(template, "AWS::IAM::Role").items():
        documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        documents += [_policy(template, each["Ref"])["PolicyDocument"] for each in held_policies(template, role)]
        for document in documents:
            for statement in listed(document["Statement"]):
                yield name, statement


def held_policies(template: Template, role: Template) -> list[dict[str, str]]:
    """The references of a role to managed policies of this template."""
    own = resources(template, "AWS::IAM::ManagedPolicy")
    return [each for each in role.get("ManagedPolicyArns", []) if isinstance(each, dict) and each.get("Ref") in own]


def policy_statements(template: Template) -> Iterator[tuple[str, Template]]:
    """What every managed policy allows: (logical id of the policy, statement)."""
    for name, policy in resources(template, "AWS::IAM::ManagedPolicy").items():
        for statement in listed(policy["PolicyDocument"]["Statement"]):
            yield name, statement


def _policy(template: Template, name: str) -> Template:
    return cast("Template", template["Resources"][name]["Properties"])


def role_of(template: Template, function: str) -> str:
    """The logical id of a function's role."""
    return cast("str", template["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0])


def environment(template: Template, function: str) -> dict[str, Any]:
    return cast("dict[str, Any]", template["Resources"][function]["Properties"]["Environment"]["Variables"])
