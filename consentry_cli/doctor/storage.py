"""Tables, keys and queues."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from consentry_cli.doctor.finding import RUNBOOK, Finding, Level, or_absent
from consentry_cli.installation import Installation

_INDEXES: Final = ("due", "attention", "account")
_KEPT: Final = {"ConnectionsTable": _INDEXES, "IntegrationsTable": ()}
_KEYS: Final = {"AccessKey": "Nobody can read a token", "GrantKey": "Nothing can be refreshed or connected"}
_DEAD: Final = {
    "RefreshDeadLetterQueue": ("a refresh hint failed five times", "dead-letters.md"),
    "EscrowDeadLetterQueue": ("a new token could not be written for a day", "escrow.md"),
    "EventsDeadLetterQueue": ("changes of connections were not told as events", "events.md"),
}
_SAMPLE: Final = 200


def tables(installation: Installation) -> Iterator[Finding]:
    for logical_id, indexes in _KEPT.items():
        name = installation.output(f"{logical_id}Name")
        found = or_absent(partial(installation.aws.call, "dynamodb", "describe_table", TableName=name))
        if found is None:
            yield Finding("table_missing", f"The table {name} is not there.", "Deploy the stack again, or restore it.")
            continue
        yield from _described(name, found["Table"], indexes)
        yield from _recoverable(installation, name)
    yield from _expiring(installation)


def _described(name: str, found: Mapping[str, Any], indexes: tuple[str, ...]) -> Iterator[Finding]:
    if not found.get("StreamSpecification", {}).get("StreamEnabled"):
        yield Finding("no_stream", f"The table {name} has no stream: no event is sent.", "Deploy the stack again.")
    if not found.get("DeletionProtectionEnabled"):
        remedy = "Switch its deletion protection on again, as the template has it."
        yield Finding("unprotected", f"The table {name} may be deleted by mistake.", remedy, Level.WARNING)
    there = {each["IndexName"] for each in found.get("GlobalSecondaryIndexes", ())}
    for index in indexes:
        if index not in there:
            yield Finding("no_index", f"The table {name} lacks the index {index}.", "Deploy the stack again.")


def _recoverable(installation: Installation, name: str) -> Iterator[Finding]:
    told = installation.aws.call("dynamodb", "describe_continuous_backups", TableName=name)
    recovery = told["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        what = f"The table {name} has no point-in-time recovery: what is lost stays lost."
        yield Finding("no_recovery", what, "Switch it on, as the template has it.")


def _expiring(installation: Installation) -> Iterator[Finding]:
    name = installation.output("PendingTableName")
    told = installation.aws.call("dynamodb", "describe_time_to_live", TableName=name)["TimeToLiveDescription"]
    if told.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        what = f"The table {name} keeps sessions for ever: its time to live is off."
        yield Finding("no_ttl", what, "Switch it on for the attribute ttl.", Level.WARNING)


def keys(installation: Installation) -> Iterator[Finding]:
    for logical_id, effect in _KEYS.items():
        arn = installation.output(f"{logical_id}Arn")
        told = or_absent(partial(installation.aws.call, "kms", "describe_key", KeyId=arn))
        yield from _state(logical_id, effect, told["KeyMetadata"] if told else {"KeyState": "missing", "Arn": arn})


def _state(logical_id: str, effect: str, key: Mapping[str, Any]) -> Iterator[Finding]:
    state = key["KeyState"]
    if state == "PendingDeletion":
        remedy = "Cancel it now (kms cancel-key-deletion, then enable-key): what a deleted key sealed is lost."
        what = f"The key {logical_id} will be deleted on {key['DeletionDate']:%Y-%m-%d}. {effect} meanwhile."
        yield Finding("key_pending_deletion", what, remedy)
    elif state == "Disabled":
        remedy = f"Enable it: aws kms enable-key --key-id {key['Arn']}"
        yield Finding("key_disabled", f"The key {logical_id} is disabled. {effect}.", remedy)
    elif state != "Enabled":
        yield Finding("key_unusable", f"The key {logical_id} is {state}. {effect}.", "Look at it in KMS.")


def queues(installation: Installation) -> Iterator[Finding]:
    for logical_id, (why, page) in _DEAD.items():
        if count := _waiting(installation, logical_id):
            what = f"{logical_id} holds {count} message{'s' * (count > 1)}: {why}."
            yield Finding("dead_letters", what, f"Follow {RUNBOOK}/{page}.")
    if count := _waiting(installation, "EscrowQueue"):
        what = f"{count} new token{'s' * (count > 1)} could not be written yet, and wait in escrow."
        yield Finding("escrow_waiting", what, f"If it lasts, follow {RUNBOOK}/escrow.md.", Level.WARNING)


def _waiting(installation: Installation, logical_id: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = installation.output(f"{logical_id}Url")
    told = installation.aws.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(told[name]) for name in names)


def epochs(installation: Installation) -> Iterator[Finding]:
    """Look at some records: after a restore, all of them are of the older epoch."""
    name = installation.output("RefreshFunctionName")
    told = installation.aws.call("lambda", "get_function_configuration", FunctionName=name)
    epoch = told.get("Environment", {}).get("Variables", {}).get("CONSENTRY_EPOCH", "")
    page = installation.aws.call(
        "dynamodb",
        "scan",
        TableName=installation.output("ConnectionsTableName"),
        Limit=_SAMPLE,
        ProjectionExpression="#epoch",
        ExpressionAttributeNames={"#epoch": "epoch"},
    )
    others = [each["epoch"]["N"] for each in page["Items"] if each.get("epoch", {}).get("N", epoch) != epoch]
    if others:
        what = (
            f"{len(others)} of {len(page['Items'])} records looked at are of another epoch than the stack's {epoch}: "
            "they are not refreshed."
        )
        yield Finding("other_epoch", what, f"Reconcile them: {RUNBOOK}/restored-table.md.")


def stack_status(installation: Installation) -> Iterator[Finding]:
    if installation.status and not re.fullmatch(r"(CREATE|UPDATE|IMPORT)_COMPLETE", installation.status):
        what = f"CloudFormation says {installation.status} of the stack."
        yield Finding("stack_unfinished", what, "Look at its events, and deploy again.", Level.WARNING)
