"""Functions, the schedule, alarms, and the clock."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from consentry_cli.api import MOST_SKEW_SECONDS, skew_seconds
from consentry_cli.doctor.finding import Finding, Level, or_absent
from consentry_cli.installation import Installation
from consentry_cli.transport import Answer

SCHEDULE: Final = "RefreshDispatchFunctionEveryMinute"
_NAMED: Final = "FunctionName"
EXAMPLES: Final = frozenset({"TicketsFunction", "SurveysFunction", "SalesFunction", "NotifyFunction"})  # one layer
_OWN_LAYERS: Final = 2
_SOME_SKEW_SECONDS: Final = 30
_OVERDUE_SECONDS: Final = 900
_SHARDS: Final = 8


def functions(installation: Installation) -> Iterator[Finding]:
    for output, name in sorted(installation.outputs.items()):
        if output.endswith(_NAMED):
            yield from _function(installation, output.removesuffix("Name"), name)


def _function(installation: Installation, logical_id: str, name: str) -> Iterator[Finding]:
    told = or_absent(lambda: installation.aws.call("lambda", "get_function_configuration", FunctionName=name))
    if told is None:
        yield Finding("function_missing", f"{logical_id} is not there ({name}).", "Deploy the stack again.")
        return
    if told.get("State", "Active") not in {"Active", "Inactive"} or told.get("LastUpdateStatus") == "Failed":
        why = told.get("StateReason") or told.get("LastUpdateStatusReason") or told.get("State")
        yield Finding("function_unusable", f"{logical_id} cannot run: {why}.", "Deploy the stack again.")
    if len(told.get("Layers", ())) < (1 if logical_id in EXAMPLES else _OWN_LAYERS):
        what = f"{logical_id} lacks a layer: it cannot import what it needs."
        yield Finding("layer_missing", what, "Build and deploy again; set no layers by hand.")


def schedule(installation: Installation) -> Iterator[Finding]:
    effect, remedy = "Nothing is refreshed on time", "Deploy the stack again"
    name, told = installation.resources.get(SCHEDULE, ""), _schedule(installation)
    if told is None:
        yield Finding("no_schedule", f"The schedule of the dispatcher is not there. {effect}.", f"{remedy}.")
    elif told["State"] != "ENABLED":
        what = f"The schedule of the dispatcher is disabled. {effect}."
        yield Finding("schedule_disabled", what, f"Enable {name} in EventBridge Scheduler.")


def refreshing(installation: Installation) -> bool:
    """Whether the dispatcher is scheduled."""
    told = _schedule(installation)
    return told is not None and told["State"] == "ENABLED"


def _schedule(installation: Installation) -> Mapping[str, Any] | None:
    name = installation.resources.get(SCHEDULE, "")
    return or_absent(lambda: installation.aws.call("scheduler", "get_schedule", Name=name)) if name else None


def overdue(installation: Installation) -> Iterator[Finding]:
    """See whether due work moves: what the heartbeat's alarm sees in metrics, the index shows by itself."""
    late = max((_oldest(installation, shard) for shard in range(_SHARDS)), default=0)
    if late > _OVERDUE_SECONDS:
        what = f"A connection has been due for {late // 60} minutes."
        remedy = "Unless its integration is held or failing (see below), follow docs/runbook/overdue.md."
        yield Finding("overdue", what, remedy, Level.WARNING)


def _oldest(installation: Installation, shard: int) -> int:
    page = installation.aws.call(
        "dynamodb",
        "query",
        TableName=installation.output("ConnectionsTableName"),
        IndexName="due",
        Limit=1,
        KeyConditionExpression="due_shard = :shard",
        ExpressionAttributeValues={":shard": {"N": str(shard)}},
    )
    return max((int(time.time()) - int(each["due_at"]["N"]) for each in page["Items"]), default=0)


def alarms(installation: Installation) -> Iterator[Finding]:
    """Repeat what CloudWatch says; `HeartbeatAlarm` is the dispatcher that does not run."""
    ours = {name: logical_id for logical_id, name in installation.resources.items() if logical_id.endswith("Alarm")}
    told = installation.aws.pages("cloudwatch", "describe_alarms", StateValue="ALARM")
    for alarm in (each for page in told for each in page["MetricAlarms"] if each["AlarmName"] in ours):
        logical_id, description = ours[alarm["AlarmName"]], alarm.get("AlarmDescription", "")
        what, _, page = description.partition(" (")
        remedy = f"Follow {page.rstrip(').')}." if page else "Look at it in CloudWatch."
        code = "no_heartbeat" if logical_id == "HeartbeatAlarm" else "alarm"
        yield Finding(code, f"{logical_id}: {what or 'is in alarm'}.", remedy)


def clock(installation: Installation, now: datetime | None = None) -> Iterator[Finding]:
    """Ask without a signature: a request that is signed by a wrong clock is refused."""
    skew = skew_seconds(_health(installation).date, now or datetime.now(UTC))
    if skew is not None and abs(skew) > _SOME_SKEW_SECONDS:
        ahead = "ahead of" if skew > 0 else "behind"
        serious = abs(skew) > MOST_SKEW_SECONDS
        effect = "AWS refuses what this machine signs" if serious else "AWS refuses it from five minutes on"
        what = f"This machine's clock is {abs(skew):.0f} seconds {ahead} AWS's: {effect}."
        yield Finding("clock_skew", what, "Set it (NTP).", Level.PROBLEM if serious else Level.WARNING)


def api(installation: Installation) -> Iterator[Finding]:
    status = _health(installation).status
    if status != HTTPStatus.OK:
        what = f"{installation.base_url}/health answers {status}: customers cannot connect."
        yield Finding("api_trouble", what, "Follow docs/runbook/api-trouble.md.")


def _health(installation: Installation) -> Answer:
    return installation.send("GET", f"{installation.base_url}/health", headers={}, body=b"")
