"""Intrinsic functions and conditions, and the templates that cannot run here."""

from pathlib import Path
from typing import Any

import pytest

from dev.intrinsics import Resolver
from dev.mistakes import Mistake
from dev.provision import Place, Provisioner
from dev.template import load


class Fixed:
    """A lookup that answers with what it was asked."""

    def reference(self, logical_id: str) -> object:
        return f"ref-{logical_id}"

    def attribute(self, logical_id: str, name: str) -> object:
        return f"{logical_id}-{name}"


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SAM translator asks boto3 for it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def resolver() -> Resolver:
    template = {
        "Conditions": {
            "Yes": {"Fn::Equals": [{"Ref": "Stage"}, "live"]},
            "No": {"Fn::Not": [{"Condition": "Yes"}]},
            "Both": {"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]},
            "Either": {"Fn::Or": [{"Condition": "Yes"}, {"Condition": "No"}]},
        },
        "Mappings": {"Sizes": {"live": {"memory": 512}}},
    }
    made = Resolver(template, {"Stage": "live", "Hosts": ["a", "b"]}, {"AWS::Region": "here"})
    made.lookup = Fixed()
    return made


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "Stage"}, "live"),
        ({"Ref": "Thing"}, "ref-Thing"),
        ({"Fn::GetAtt": ["Thing", "Arn"]}, "Thing-Arn"),
        ({"Fn::GetAtt": "Thing.Nested.Arn"}, "Thing-Nested.Arn"),
        (
            {"Fn::Sub": "${Stage}/${Thing}/${Thing.Arn}/${AWS::Region}/${!Literal}"},
            "live/ref-Thing/Thing-Arn/here/${Literal}",
        ),
        ({"Fn::Sub": ["${Own}-${Stage}", {"Own": {"Ref": "Thing"}}]}, "ref-Thing-live"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}]]}, "a-live"),
        ({"Fn::Select": [1, {"Ref": "Hosts"}]}, "b"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::If": ["Yes", "one", "other"]}, "one"),
        ({"Fn::If": ["Both", "one", "other"]}, "other"),
        ({"Fn::If": ["Either", "one", "other"]}, "one"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "memory"]}, 512),
        ({"Fn::Base64": "x"}, "eA=="),
        ({"kept": 1, "left": {"Ref": "AWS::NoValue"}}, {"kept": 1}),
        ([{"Fn::If": ["No", "x", {"Ref": "AWS::NoValue"}]}, "y"], ["y"]),
    ],
)
def test_an_intrinsic_has_the_value_that_cloudformation_gives_it(
    resolver: Resolver, value: object, resolved: object
) -> None:
    assert resolver.resolve(value) == resolved


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Fn::ImportValue": "x"}, "does not know Fn::ImportValue"),
        ({"Fn::If": ["Unheard", 1, 2]}, "no condition Unheard"),
        ({"Fn::FindInMap": ["Sizes", "x", "y"]}, "no Sizes.x.y under Mappings"),
        ({"Ref": "AWS::Unheard"}, "cannot resolve !Ref AWS::Unheard"),
    ],
)
def test_what_cannot_be_resolved_is_a_clear_mistake(resolver: Resolver, value: object, said: str) -> None:
    with pytest.raises(Mistake, match=said):
        resolver.resolve(value)


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (
            "  Thing: {Type: 'AWS::EC2::Instance'}",
            "Thing is an AWS::EC2::Instance, which the local stack neither creates",
        ),
        ("  Api: {Type: 'AWS::ApiGatewayV2::Api', Properties: {Body: {}}}", "declare each route"),
        ("  Key: {Type: 'AWS::KMS::Alias', Properties: {AliasName: !Ref Key}}", "Key -> Key is a circle"),
        ("  Key: {Type: 'AWS::KMS::Alias', Properties: {AliasName: !Ref Nothing}}", "no resource or parameter Nothing"),
    ],
)
def test_a_template_that_cannot_run_here_says_why(tmp_path: Path, resources: str, said: str) -> None:
    with pytest.raises(Mistake, match=said):
        _provision(tmp_path, f"Resources:\n{resources}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "template.yaml is not YAML"),
        ("Outputs: {}", "it has no Resources"),
        ("Parameters: {Needed: {Type: String}}\nResources: {}", "the parameter Needed needs a default"),
        (
            "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: f}}}",
            r"template.yaml: .*\[F\] is invalid",
        ),
    ],
)
def test_a_file_that_is_no_template_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Mistake, match=said):
        _provision(tmp_path, text)


def _provision(folder: Path, text: str) -> None:
    file = folder / "template.yaml"
    file.write_text(text)
    place = Place(stack="s", region="eu-central-1", base_url="http://localhost:1")
    template = load(file, {}, place.pseudo_parameters)
    Provisioner(template, place, _no_client).create_all()


def _no_client(service: str) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
    message = f"these templates must fail before {service} is called"
    raise AssertionError(message)
