"""`consentry doctor`: a deployment that is well, and each way in which it is not, named."""

from collections.abc import Callable

import pytest

from consentry.aws.dynamodb import to_item
from consentry_cli.failures import Exit, Failure
from tests.unit.cli.conftest import LAYERS, Operator


def codes(operator: Operator) -> set[str]:
    return {each["code"] for each in operator("doctor", "--json").json["findings"]}


def no_secret(operator: Operator) -> None:
    operator.aws.client("secretsmanager").delete_secret(
        SecretId="consentry/consentry/integrations/crm", ForceDeleteWithoutRecovery=True
    )


def secret_ending(operator: Operator) -> None:
    operator.aws.client("secretsmanager").delete_secret(SecretId="consentry/consentry/integrations/crm")


def no_mac_secret(operator: Operator) -> None:
    operator.aws.client("secretsmanager").delete_secret(SecretId="mac", ForceDeleteWithoutRecovery=True)


def key_disabled(operator: Operator) -> None:
    operator.aws.client("kms").disable_key(KeyId=operator.installation.output("GrantKeyArn").rpartition("/")[2])


def key_pending_deletion(operator: Operator) -> None:
    operator.aws.client("kms").schedule_key_deletion(
        KeyId=operator.installation.output("AccessKeyArn").rpartition("/")[2]
    )


def no_schedule(operator: Operator) -> None:
    operator.aws.client("scheduler").delete_schedule(Name="every-minute")


def schedule_disabled(operator: Operator) -> None:
    client = operator.aws.client("scheduler")
    told = client.get_schedule(Name="every-minute")
    kept = {name: told[name] for name in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    client.update_schedule(**kept, State="DISABLED")


def dead_letters(operator: Operator) -> None:
    url = operator.installation.output("RefreshDeadLetterQueueUrl")
    operator.aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")


def escrow_waiting(operator: Operator) -> None:
    url = operator.installation.output("EscrowQueueUrl")
    operator.aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")


def clock_skew(operator: Operator) -> None:
    operator.ahead_seconds = 600


def function_missing(operator: Operator) -> None:
    del operator.aws.functions["consentry-RefreshFunctionName"]


def layer_missing(operator: Operator) -> None:
    told = operator.aws.functions["consentry-ManageFunctionName"]
    operator.aws.functions["consentry-ManageFunctionName"] = {**told, "Layers": LAYERS[:1]}


def function_unusable(operator: Operator) -> None:
    told = operator.aws.functions["consentry-ManageFunctionName"]
    operator.aws.functions["consentry-ManageFunctionName"] = {**told, "LastUpdateStatus": "Failed"}


def no_recovery(operator: Operator) -> None:
    operator.aws.client("dynamodb").update_continuous_backups(
        TableName=operator.deployment.names["ConnectionsTable"],
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
    )


def no_stream(operator: Operator) -> None:
    operator.aws.client("dynamodb").update_table(
        TableName=operator.deployment.names["ConnectionsTable"], StreamSpecification={"StreamEnabled": False}
    )


def unprotected(operator: Operator) -> None:
    operator.aws.client("dynamodb").update_table(
        TableName=operator.deployment.names["IntegrationsTable"], DeletionProtectionEnabled=False
    )


def no_ttl(operator: Operator) -> None:
    operator.aws.client("dynamodb").update_time_to_live(
        TableName=operator.deployment.names["PendingTable"],
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"},
    )


def put(operator: Operator, table: str, **values: object) -> None:
    operator.aws.client("dynamodb").put_item(TableName=operator.deployment.names[table], Item=to_item(values))


def other_epoch(operator: Operator) -> None:
    put(operator, "ConnectionsTable", tenant="acme", connection="crm#default", epoch=7)


def overdue(operator: Operator) -> None:
    put(operator, "ConnectionsTable", tenant="acme", connection="crm#default", epoch=1, due_shard=3, due_at=1)


def reauth_required(operator: Operator) -> None:
    flagged = {"attention": "reauth_required", "attention_since": 1}
    put(operator, "ConnectionsTable", tenant="acme", connection="crm#default", epoch=1, **flagged)


def integration_unusable(operator: Operator) -> None:
    put(operator, "IntegrationsTable", integration="odd", provider="nobody-knows")


def integration_held(operator: Operator) -> None:
    put(operator, "IntegrationsTable", integration="crm#health", hold_until=2**40)


def integration_failing(operator: Operator) -> None:
    put(operator, "IntegrationsTable", integration="crm#health", open_until=2**40, opened=1)


def no_heartbeat(operator: Operator) -> None:
    client = operator.aws.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName="beat", AlarmDescription="The dispatcher has not run for five minutes (docs/runbook/heartbeat.md).",
        Namespace="Consentry", MetricName="Due", Statistic="SampleCount", Period=60, EvaluationPeriods=5, Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )  # fmt: skip
    client.set_alarm_state(AlarmName="beat", StateValue="ALARM", StateReason="x")
    operator.installation.resources["HeartbeatAlarm"] = "beat"  # type: ignore[index]  # a dict underneath


PROBLEMS = (
    no_secret, no_mac_secret, key_disabled, key_pending_deletion, no_schedule, schedule_disabled, dead_letters,
    clock_skew, function_missing, layer_missing, function_unusable, no_recovery, no_stream, other_epoch,
    integration_unusable, integration_held, no_heartbeat,
)  # fmt: skip
WARNINGS = (escrow_waiting, unprotected, no_ttl, overdue, reauth_required, integration_failing)


def test_a_deployment_that_is_well_gives_nothing_to_say(operator: Operator) -> None:
    told = operator("doctor", "--json")
    assert told.json["findings"] == []
    assert (told.code, told.json["healthy"]) == (Exit.OK, True)
    assert "Nothing is wrong" in operator("doctor").out


@pytest.mark.parametrize("broken", PROBLEMS)
def test_what_is_broken_is_named(operator: Operator, broken: Callable[[Operator], None]) -> None:
    broken(operator)
    told = operator("doctor", "--json")
    named = {each["code"] for each in told.json["findings"] if each["level"] == "problem"}
    assert named == {broken.__name__}
    assert (told.code, told.json["healthy"]) == (Exit.PROBLEMS, False)


@pytest.mark.parametrize("doubtful", WARNINGS)
def test_what_may_turn_bad_is_a_warning(operator: Operator, doubtful: Callable[[Operator], None]) -> None:
    doubtful(operator)
    told = operator("doctor", "--json")
    assert {(each["code"], each["level"]) for each in told.json["findings"]} == {(doubtful.__name__, "warning")}
    assert told.code == Exit.OK


@pytest.mark.parametrize("queue", ["RefreshDeadLetterQueue", "EscrowDeadLetterQueue", "EventsDeadLetterQueue"])
def test_dead_letters_of_every_queue_are_seen(operator: Operator, queue: str) -> None:
    operator.aws.client("sqs").send_message(QueueUrl=operator.installation.output(f"{queue}Url"), MessageBody="x")
    assert codes(operator) == {"dead_letters"}
    assert f"{queue} holds 1 message" in operator("doctor").out


def test_a_secret_that_will_be_deleted_counts_as_none(operator: Operator) -> None:
    secret_ending(operator)
    assert codes(operator) == {"no_secret"}


def test_everything_that_is_broken_at_once_is_named(operator: Operator) -> None:
    for broken in (no_secret, key_disabled, no_schedule, dead_letters):
        broken(operator)
    operator.ahead_seconds = -299
    told = operator("doctor")
    for word in ("crm", "GrantKey is disabled", "not there", "RefreshDeadLetterQueue holds 1 message", "behind"):
        assert word in told.out
    assert told.code == Exit.PROBLEMS


def test_a_check_that_may_not_look_says_which_permission_it_lacks_and_stops_no_other(operator: Operator) -> None:
    sentence = "Your credentials may not do this: they lack the permission kms:DescribeKey."
    operator.aws.answers["kms", "describe_key"] = Failure(sentence, Exit.REFUSED, "permission_missing")
    no_recovery(operator)
    told = operator("doctor", "--json")
    assert {(each["level"], each["code"]) for each in told.json["findings"]} == {
        ("unknown", "permission_missing"), ("problem", "no_recovery"),
    }  # fmt: skip


def test_what_could_not_be_looked_at_has_an_exit_code_of_its_own(operator: Operator) -> None:
    operator.aws.answers["kms", "describe_key"] = Failure("No.", Exit.REFUSED, "permission_missing")
    assert operator("doctor").code == Exit.REFUSED
