"""Reads a SAM template and turns it into plain CloudFormation with AWS's own translator."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from dev.intrinsics import Resolver
from dev.mistakes import Mistake

LAYER_VERSION: Final = re.compile(r"[0-9a-f]{10}$")  # what the translator puts after a layer's logical id
LOCAL_CODE: Final = "s3://local/"
CODE_PROPERTIES: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as it stands in the transformed template; intrinsics are not resolved yet."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A transformed template: resources whose condition holds, and the resolver of their values.

    `layers` maps the logical ids of layers with a makefile build to their source folders, as written; `outputs` are
    not resolved yet.
    """

    resources: Mapping[str, Resource]
    resolver: Resolver
    layers: Mapping[str, Path]
    outputs: Mapping[str, object] = field(default_factory=dict)

    def layers_of(self, function: Resource) -> tuple[str, ...]:
        """Return the logical ids of a function's layers, as written; raise `Mistake` for one from elsewhere."""
        return tuple(self._layer(named, function) for named in function.properties.get("Layers") or ())

    def _layer(self, named: object, function: Resource) -> str:
        transformed = named.get("Ref", "") if isinstance(named, Mapping) else ""
        written = LAYER_VERSION.sub("", transformed)
        if written not in self.layers:
            line = f"template: {function.logical_id} has a layer that is not in the template ({named})"
            raise Mistake(f"{line}; the local stack runs functions on layers that it can build")
        return written

    def of_type(self, *types: str) -> Iterator[Resource]:
        return (resource for resource in self.resources.values() if resource.type in types)


def load(path: Path, given: Mapping[str, str], pseudo: Mapping[str, object]) -> Template:
    """Transform the template at `path` with those of the `given` parameters that it declares."""
    source = _read(path)
    layers = dict(_layers(source, path.parent))
    parameters = _parameters(source, given)
    _mark_code(source)
    try:
        transformed = transform(source, dict(parameters), _NoManagedPolicies())
    except InvalidDocumentException as wrong:
        raise Mistake(*(f"{path.name}: {cause.message}" for cause in wrong.causes)) from wrong
    resolver = Resolver(transformed, parameters, pseudo)
    resources = {
        logical_id: Resource(logical_id=logical_id, type=raw["Type"], properties=raw.get("Properties") or {})
        for logical_id, raw in transformed["Resources"].items()
        if "Condition" not in raw or resolver.condition(raw["Condition"])
    }
    outputs = {
        name: raw["Value"]
        for name, raw in (transformed.get("Outputs") or {}).items()
        if "Condition" not in raw or resolver.condition(raw["Condition"])
    }
    return Template(resources=resources, resolver=resolver, layers=layers, outputs=outputs)


def code_folder(code: Mapping[str, str], root: Path) -> Path:
    """Return the folder that a function's resolved `Code` was in before the transformation."""
    return (root / code["S3Key"]).resolve()


class _NoManagedPolicies:
    """The translator's map of managed policies: roles do not matter on this machine."""

    def load(self) -> dict[str, str]:
        return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        source = yaml_parse(path.read_text())
    except yaml.YAMLError as wrong:
        raise Mistake(f"{path.name} is not YAML: {' '.join(str(wrong).split())}") from wrong
    if not isinstance(source, dict) or not isinstance(source.get("Resources"), dict):
        raise Mistake(f"{path.name} is not a template: it has no Resources")
    plain: dict[str, Any] = json.loads(json.dumps(source, default=str))
    return plain


def _parameters(source: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, declared in (source.get("Parameters") or {}).items():
        value = given.get(name, declared.get("Default"))
        if value is None:
            raise Mistake(f"template: the parameter {name} needs a default to run locally")
        listed = str(declared.get("Type", "String")).startswith(("CommaDelimitedList", "List<"))
        values[name] = str(value).split(",") if listed else str(value)
    return values


def _layers(source: Mapping[str, Any], root: Path) -> Iterator[tuple[str, Path]]:
    for logical_id, raw in source["Resources"].items():
        if raw.get("Type") == "AWS::Serverless::LayerVersion":
            if (raw.get("Metadata") or {}).get("BuildMethod") != "makefile":
                raise Mistake(f"template: the layer {logical_id} needs BuildMethod: makefile to run locally")
            yield logical_id, (root / raw["Properties"]["ContentUri"]).resolve()


def _mark_code(source: dict[str, Any]) -> None:
    """The translator wants code in S3, as it is after `sam package`; the key remembers the folder."""
    defaults = (source.get("Globals") or {}).get("Function") or {}
    if "CodeUri" in defaults:
        defaults["CodeUri"] = LOCAL_CODE + str(defaults["CodeUri"]).removeprefix("./")
    for raw in source["Resources"].values():
        name = CODE_PROPERTIES.get(raw.get("Type", ""))
        properties = raw.get("Properties") or {}
        if name and name in properties:
            properties[name] = LOCAL_CODE + str(properties[name]).removeprefix("./")
