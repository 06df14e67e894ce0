"""Creates a template's resources at the AWS endpoint, on first use, and answers for them afterwards."""

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dev.mistakes import Mistake
from dev.payloads import ACCOUNT
from dev.template import Resource, Template

type Client = Any  # boto3 makes its clients at run time

SKIPPED: Final = frozenset({
    # Nothing on this machine asks for these; they may be referred to all the same.
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::QueryDefinition",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::SecretsManager::ResourcePolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
})  # fmt: skip
TABLE_PROPERTIES: Final = (
    "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes",
    "BillingMode", "ProvisionedThroughput", "DeletionProtectionEnabled",
)  # fmt: skip
QUEUE_PROPERTIES: Final = (
    "VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds", "ReceiveMessageWaitTimeSeconds",
    "MaximumMessageSize", "FifoQueue", "ContentBasedDeduplication",
)  # fmt: skip
SCHEDULE_PROPERTIES: Final = ("ScheduleExpression", "FlexibleTimeWindow", "Target", "State", "Description")


@dataclass(frozen=True, slots=True)
class Created:
    """What Ref and GetAtt answer for a resource."""

    reference: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the stack stands: its name, its region, and the address of its HTTP API."""

    stack: str
    region: str
    base_url: str

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{rest}"

    @property
    def pseudo_parameters(self) -> dict[str, object]:
        return {
            "AWS::AccountId": ACCOUNT,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": self.arn("cloudformation", f"stack/{self.stack}/local"),
            "AWS::StackName": self.stack,
            "AWS::URLSuffix": "amazonaws.com",
        }


class Provisioner:
    """The `Lookup` of a template's resolver; `client` makes a boto3 client for a service by name."""

    def __init__(self, template: Template, place: Place, client: Callable[[str], Client]) -> None:
        self._template = template
        self._place = place
        self._client = client
        self._created: dict[str, Created] = {}
        self._under_way: list[str] = []
        self.tables_with_ttl: list[tuple[str, str]] = []
        self._creators: Mapping[str, Callable[[Resource, Mapping[str, Any]], Created]] = {
            "AWS::DynamoDB::Table": self._table,
            "AWS::KMS::Key": self._key,
            "AWS::KMS::Alias": self._alias,
            "AWS::SecretsManager::Secret": self._secret,
            "AWS::SQS::Queue": self._queue,
            "AWS::ApiGatewayV2::Api": self._api,
            "AWS::Scheduler::Schedule": self._schedule,
        }
        template.resolver.lookup = self

    def create_all(self) -> None:
        """Create everything; raise `Mistake` for a type that is neither created nor skipped on purpose."""
        for resource in self._template.resources.values():
            if resource.type in self._creators:
                self._get(resource.logical_id)
            elif resource.type not in SKIPPED:
                line = f"template: {resource.logical_id} is an {resource.type}, which the local stack neither creates"
                raise Mistake(f"{line} nor skips; teach dev/provision.py about it")

    def reference(self, logical_id: str) -> str:
        return self._get(logical_id).reference

    def attribute(self, logical_id: str, name: str) -> str:
        attributes = self._get(logical_id).attributes
        if name not in attributes:
            raise Mistake(f"template: the local stack has no attribute {name} of {logical_id}; see dev/provision.py")
        return attributes[name]

    def names(self) -> dict[str, str]:
        """Return what Ref answers for each resource, by logical id."""
        return {logical_id: self.reference(logical_id) for logical_id in self._template.resources}

    def outputs(self) -> dict[str, str]:
        return {name: str(self._resolve(value)) for name, value in self._template.outputs.items()}

    def name_of(self, resource: Resource, name_property: str) -> str:
        return str(
            self._resolve(resource.properties.get(name_property)) or f"{self._place.stack}-{resource.logical_id}"
        )

    def _resolve(self, value: object) -> Any:  # noqa: ANN401 - a template's values have any shape
        return self._template.resolver.resolve(value)

    def _get(self, logical_id: str) -> Created:
        if logical_id in self._created:
            return self._created[logical_id]
        resource = self._template.resources.get(logical_id)
        if resource is None:
            raise Mistake(f"template: there is no resource or parameter {logical_id}, or its condition does not hold")
        if logical_id in self._under_way:
            raise Mistake(f"template: {' -> '.join([*self._under_way, logical_id])} is a circle")
        self._under_way.append(logical_id)
        creator = self._creators.get(resource.type)
        created = creator(resource, self._resolve(dict(resource.properties))) if creator else self._named(resource)
        self._created[logical_id] = created
        self._under_way.pop()
        return created

    def _named(self, resource: Resource) -> Created:
        """What is not created still has a name and an ARN."""
        if resource.type == "AWS::Lambda::Function":
            name = self.name_of(resource, "FunctionName")
            return Created(name, {"Arn": self._place.arn("lambda", f"function:{name}")})
        name = f"{self._place.stack}-{resource.logical_id}"
        service = resource.type.split("::")[1].lower()
        arn = self._place.arn(service, name)
        return Created(name, {"Arn": arn, "TopicArn": arn, "RoleId": name, "Name": name})

    def _table(self, resource: Resource, properties: Mapping[str, Any]) -> Created:
        dynamodb = self._client("dynamodb")
        name = self.name_of(resource, "TableName")
        wanted = {key: properties[key] for key in TABLE_PROPERTIES if key in properties}
        if "StreamSpecification" in properties:
            wanted["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
        described = dynamodb.create_table(TableName=name, **wanted)["TableDescription"]
        ttl = properties.get("TimeToLiveSpecification") or {}
        if ttl.get("Enabled"):
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
            self.tables_with_ttl.append((name, ttl["AttributeName"]))
        if recovery := properties.get("PointInTimeRecoverySpecification"):
            dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
        return Created(name, {"Arn": described["TableArn"], "StreamArn": described.get("LatestStreamArn", "")})

    def _key(self, _resource: Resource, properties: Mapping[str, Any]) -> Created:
        wanted = {"KeySpec", "KeyUsage", "Description"} & properties.keys()
        described = self._client("kms").create_key(**{key: properties[key] for key in wanted})["KeyMetadata"]
        return Created(described["KeyId"], {"Arn": described["Arn"], "KeyId": described["KeyId"]})

    def _alias(self, _resource: Resource, properties: Mapping[str, Any]) -> Created:
        name = properties["AliasName"]
        self._client("kms").create_alias(AliasName=name, TargetKeyId=properties["TargetKeyId"])
        return Created(name)

    def _secret(self, resource: Resource, properties: Mapping[str, Any]) -> Created:
        wanted = properties.get("GenerateSecretString")
        if wanted and "SecretStringTemplate" in wanted:
            raise Mistake(f"template: {resource.logical_id}: SecretStringTemplate is not supported locally")
        value = _generated(wanted) if wanted is not None else str(properties.get("SecretString", ""))
        name = self.name_of(resource, "Name")
        created = self._client("secretsmanager").create_secret(Name=name, SecretString=value)
        return Created(created["ARN"], {"Id": created["ARN"]})

    def _queue(self, resource: Resource, properties: Mapping[str, Any]) -> Created:
        sqs = self._client("sqs")
        attributes = {key: _attribute(properties[key]) for key in QUEUE_PROPERTIES if key in properties}
        if "RedrivePolicy" in properties:
            attributes["RedrivePolicy"] = _attribute(properties["RedrivePolicy"])
        name = self.name_of(resource, "QueueName")
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return Created(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})

    def _schedule(self, resource: Resource, properties: Mapping[str, Any]) -> Created:
        """Only for the record: the runner's own scheduler calls what stands here, as long as it stands here."""
        name = self.name_of(resource, "Name")
        wanted = {key: properties[key] for key in SCHEDULE_PROPERTIES if key in properties}
        self._client("scheduler").create_schedule(Name=name, **wanted)
        return Created(name, {"Arn": self._place.arn("scheduler", f"schedule/default/{name}")})

    def _api(self, resource: Resource, properties: Mapping[str, Any]) -> Created:
        if "Body" in properties:
            raise Mistake(f"template: {resource.logical_id}: declare each route as an AWS::ApiGatewayV2::Route")
        return Created("local", {"ApiEndpoint": self._place.base_url, "ApiId": "local"})


def _attribute(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _generated(wanted: Mapping[str, Any]) -> str:
    """A secret as Secrets Manager generates it: 32 characters unless told otherwise."""
    alphabet = string.ascii_letters
    if not _true(wanted.get("ExcludeNumbers")):
        alphabet += string.digits
    if not _true(wanted.get("ExcludePunctuation")):
        alphabet += string.punctuation
    allowed = [letter for letter in alphabet if letter not in str(wanted.get("ExcludeCharacters", ""))]
    return "".join(secrets.choice(allowed) for _ in range(int(wanted.get("PasswordLength", 32))))


def _true(value: object) -> bool:
    return str(value).lower() == "true"
