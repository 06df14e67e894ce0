"""What a template deploys, resolved: functions, routes, queues and streams that feed functions, schedules, rules."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dev.bus import Rule
from dev.mistakes import Mistake
from dev.provision import Provisioner
from dev.routes import Route
from dev.runtime import FunctionSpec
from dev.template import Resource, Template, code_folder

FUNCTION_ARN: Final = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+")
QUEUE_WORKERS: Final = 4  # processes for a function that a queue or stream feeds
API_WORKERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSource:
    """A queue or stream whose records go to a function in batches.

    Of streams alone: how often a failed batch is tried again (None: until it succeeds), whether it is cut in two when
    the function failed, and where is told what was given up.
    """

    source_arn: str
    function_arn: str
    batch_size: int
    partial_failures: bool
    concurrency: int
    retries: int | None = None
    bisects: bool = False
    dead_letters_arn: str = ""

    @property
    def service(self) -> str:
        return self.source_arn.split(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A function to be called with `payload` on every tick."""

    name: str
    function_arn: str
    payload: bytes
    recorded_as: str = ""
    """Its name at the AWS endpoint, if it is recorded there: who deletes or disables it there ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Everything that runs. `environment` is what all functions together are told."""

    functions: list[FunctionSpec]
    routes: list[Route]
    event_sources: list[EventSource]
    schedules: list[Schedule]
    rules: list[Rule]

    @property
    def environment(self) -> Mapping[str, str]:
        return {name: value for spec in self.functions for name, value in spec.environment.items()}


def read_deployment(template: Template, provisioner: Provisioner, root: Path) -> Deployment:
    """Resolve what the template says; `root` is the folder that code paths in it start from."""
    reader = _Reader(template, provisioner, root)
    sources = list(reader.event_sources())
    fed = {source.function_arn for source in sources}
    return Deployment(
        functions=list(reader.functions(fed)),
        routes=list(reader.routes()),
        event_sources=sources,
        schedules=list(reader.schedules()),
        rules=list(reader.rules()),
    )


class _Reader:
    def __init__(self, template: Template, provisioner: Provisioner, root: Path) -> None:
        self._template = template
        self._provisioner = provisioner
        self._root = root

    def _properties(self, resource: Resource) -> dict[str, Any]:
        resolved: dict[str, Any] = self._template.resolver.resolve(dict(resource.properties))
        return resolved

    def functions(self, fed: set[str]) -> Iterator[FunctionSpec]:
        for resource in self._template.of_type("AWS::Lambda::Function"):
            properties = self._properties(resource)
            folder = code_folder(properties["Code"], self._root)
            if not folder.is_dir():
                raise Mistake(
                    f"template: {resource.logical_id}: there is no folder {folder}; write it, or correct CodeUri"
                )
            arn = self._provisioner.attribute(resource.logical_id, "Arn")
            variables = (properties.get("Environment") or {}).get("Variables") or {}
            logging = properties.get("LoggingConfig") or {}
            yield FunctionSpec(
                logical_id=resource.logical_id,
                name=self._provisioner.reference(resource.logical_id),
                arn=arn,
                handler=properties["Handler"],
                folder=folder,
                environment={name: _text(value) for name, value in variables.items()},
                layers=self._template.layers_of(resource),
                timeout_seconds=float(properties.get("Timeout", 3)),
                memory_mb=int(properties.get("MemorySize", 128)),
                max_workers=QUEUE_WORKERS if arn in fed else API_WORKERS,
                log_format=str(logging.get("LogFormat", "Text")),
            )

    def routes(self) -> Iterator[Route]:
        integrations = {
            self._provisioner.reference(resource.logical_id): self._properties(resource)
            for resource in self._template.of_type("AWS::ApiGatewayV2::Integration")
        }
        for resource in self._template.of_type("AWS::ApiGatewayV2::Route"):
            properties = self._properties(resource)
            integration = integrations[properties["Target"].removeprefix("integrations/")]
            yield Route(
                properties["RouteKey"],
                _function_arn(integration["IntegrationUri"], resource),
                signed=_signed(properties, resource),
                timeout_seconds=float(integration.get("TimeoutInMillis", 30_000)) / 1000,
            )

    def event_sources(self) -> Iterator[EventSource]:
        for resource in self._template.of_type("AWS::Lambda::EventSourceMapping"):
            properties = self._properties(resource)
            if "FilterCriteria" in properties:
                raise Mistake(f"template: {resource.logical_id}: FilterCriteria is not supported by the local stack")
            if _text(properties.get("Enabled", True)) == "true":
                yield self._event_source(resource, properties)

    def _event_source(self, resource: Resource, properties: Mapping[str, Any]) -> EventSource:
        function = _text(properties["FunctionName"]).rpartition(":")[2]
        scaling = properties.get("ScalingConfig") or {}
        source = EventSource(
            source_arn=properties["EventSourceArn"],
            function_arn=self._function_by_name(function, resource),
            batch_size=int(properties.get("BatchSize", 10)),
            partial_failures="ReportBatchItemFailures" in (properties.get("FunctionResponseTypes") or []),
            concurrency=min(int(scaling.get("MaximumConcurrency", QUEUE_WORKERS)), QUEUE_WORKERS),
            retries=_retries(properties),
            bisects=_text(properties.get("BisectBatchOnFunctionError", False)) == "true",
            dead_letters_arn=str(
                (properties.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination", "")
            ),
        )
        if source.service not in {"sqs", "dynamodb"}:
            raise Mistake(
                f"template: {resource.logical_id}: the local stack polls queues and streams, not {source.service}"
            )
        return source

    def _function_by_name(self, name: str, resource: Resource) -> str:
        for function in self._template.of_type("AWS::Lambda::Function"):
            if self._provisioner.reference(function.logical_id) == name:
                return self._provisioner.attribute(function.logical_id, "Arn")
        raise Mistake(f"template: {resource.logical_id} names a function {name} that is not in the template")

    def schedules(self) -> Iterator[Schedule]:
        for resource in self._template.of_type("AWS::Scheduler::Schedule", "AWS::Events::Rule"):
            properties = self._properties(resource)
            if "ScheduleExpression" not in properties or properties.get("State", "ENABLED") == "DISABLED":
                continue
            for target in [properties["Target"]] if "Target" in properties else properties.get("Targets", []):
                payload = str(target.get("Input") or "{}").encode()
                arn = _function_arn(target["Arn"], resource)
                recorded = resource.type == "AWS::Scheduler::Schedule"
                recorded_as = self._provisioner.reference(resource.logical_id) if recorded else ""
                yield Schedule(name=resource.logical_id, function_arn=arn, payload=payload, recorded_as=recorded_as)

    def rules(self) -> Iterator[Rule]:
        for resource in self._template.of_type("AWS::Events::Rule"):
            properties = self._properties(resource)
            if "EventPattern" in properties and properties.get("State", "ENABLED") == "ENABLED":
                functions = [_function_arn(target["Arn"], resource) for target in properties.get("Targets", [])]
                bus = str(properties.get("EventBusName", "default")).rpartition("/")[2]
                yield Rule(resource.logical_id, bus, properties["EventPattern"], functions)


def _retries(properties: Mapping[str, Any]) -> int | None:
    wanted = int(properties.get("MaximumRetryAttempts", -1))
    return wanted if wanted >= 0 else None


def _signed(properties: Mapping[str, Any], resource: Resource) -> bool:
    kind = properties.get("AuthorizationType", "NONE")
    if kind not in {"NONE", "AWS_IAM"}:
        raise Mistake(f"template: {resource.logical_id}: the local stack knows AWS_IAM and NONE, not {kind}")
    return bool(kind == "AWS_IAM")


def _function_arn(text: str, resource: Resource) -> str:
    found = FUNCTION_ARN.search(text)
    if not found:
        raise Mistake(f"template: {resource.logical_id} leads to {text}, which is no function")
    return found[0]


def _text(value: object) -> str:
    """CloudFormation's text of a scalar."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
