"""Routes, logs, tables, keys and queues as a deployment would make them; and that each check can fail."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from consentry.events.tell import LEAVING_SECONDS
from consentry.pages.look import ACCENT
from consentry.refresh.policy import FUNCTION
from consentry.web import work
from consentry_cli.doctor.running import EXAMPLES
from dev.intrinsics import Resolver
from tests.infrastructure.findings import (
    access_logs_that_tell,
    keys_unprotected,
    logs_kept_forever,
    queues_unprotected,
    routes_not_as_declared,
    tables_unprotected,
)
from tests.infrastructure.transformed import ROOT, Template, environment, resources, source, transformed

type Check = Callable[[Template], list[str]]

CHECKS: tuple[Check, ...] = (
    routes_not_as_declared,
    logs_kept_forever,
    access_logs_that_tell,
    tables_unprotected,
    keys_unprotected,
    queues_unprotected,
)
EVERYWHERE = {
    "AWS_CA_BUNDLE", "CONSENTRY_STACK",
    "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_LOG_LEVEL",
}  # fmt: skip
PROVIDERS = {"CONSENTRY_PROVIDER_FILES", "CONSENTRY_INSECURE_PROVIDER_ORIGINS"}
FLOW = {"CONSENTRY_PENDING_TABLE", "CONSENTRY_INTEGRATIONS_TABLE", "CONSENTRY_GRANT_KEY", "CONSENTRY_MAC_SECRET"}
ENGINE = {
    "CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_INTEGRATIONS_TABLE", "CONSENTRY_ACCESS_KEY", "CONSENTRY_GRANT_KEY",
    "CONSENTRY_SECRETS_PREFIX", "CONSENTRY_EPOCH", "CONSENTRY_MIN_REFRESH_SECONDS",
}  # fmt: skip
RETURN = {"CONSENTRY_RETURN_URLS"}
COMPANY = {"CONSENTRY_COMPANY_NAME", "CONSENTRY_ACCENT_COLOR", "CONSENTRY_COMPANY_LOGO"}
CONSUMER = {
    "CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_ACCESS_KEY", "CONSENTRY_OTHER_ACCESS_KEY", "CONSENTRY_REFRESH_FUNCTION",
}  # fmt: skip
OTHER_GRANT = {"CONSENTRY_OTHER_GRANT_KEY"}
ENVIRONMENTS = {
    "AuthorizeFunction": FLOW | PROVIDERS | COMPANY | {"CONSENTRY_PUBLIC_BASE_URL"},
    "CallbackFunction": (FLOW | ENGINE) - {"CONSENTRY_INTEGRATIONS_TABLE"} | RETURN | PROVIDERS | COMPANY | OTHER_GRANT,
    "ConnectFunction": (FLOW - {"CONSENTRY_GRANT_KEY"}) | RETURN | PROVIDERS | COMPANY
    | {"CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_PUBLIC_BASE_URL"},
    "CredentialsFunction": (FLOW | ENGINE) - {"CONSENTRY_SECRETS_PREFIX"} | RETURN | PROVIDERS | COMPANY
    | {"CONSENTRY_PUBLIC_BASE_URL"},
    "ManageFunction": FLOW | ENGINE | RETURN | PROVIDERS | OTHER_GRANT
    | {"CONSENTRY_PUBLIC_BASE_URL", "CONSENTRY_REFRESH_FUNCTION", "CONSENTRY_OTHER_ACCESS_KEY"},
    "RefreshDispatchFunction": {
        "CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_INTEGRATIONS_TABLE", "CONSENTRY_REFRESH_QUEUE", *PROVIDERS,
    },
    "RefreshFunction": ENGINE | PROVIDERS | OTHER_GRANT
    | {"CONSENTRY_ESCROW_QUEUE", "CONSENTRY_ESCROW_DEAD_LETTER_QUEUE"},
    "EscrowFunction": {"CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_ESCROW_QUEUE"},
    "TransferFunction": {
        "CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_INTEGRATIONS_TABLE", "CONSENTRY_ACCESS_KEY", "CONSENTRY_GRANT_KEY",
        "CONSENTRY_EPOCH", *PROVIDERS, *OTHER_GRANT,
    },
    "RekeyFunction": {
        "CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_PENDING_TABLE", "CONSENTRY_ACCESS_KEY", "CONSENTRY_GRANT_KEY",
        "CONSENTRY_OTHER_ACCESS_KEY", "CONSENTRY_OTHER_GRANT_KEY", "CONSENTRY_ESCROW_QUEUE",
        "CONSENTRY_ESCROW_DEAD_LETTER_QUEUE",
    },
    "EventsFunction": {"CONSENTRY_EVENT_BUS", "CONSENTRY_EVENTS_DEAD_LETTER_QUEUE"},
    "NotifyFunction": set(),
    "MaintainFunction": {
        "CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_INTEGRATIONS_TABLE", "CONSENTRY_ESCROW_QUEUE", "CONSENTRY_EPOCH",
        "CONSENTRY_ESCROW_DEAD_LETTER_QUEUE", *PROVIDERS,
    },
    "TicketsFunction": CONSUMER | {"HUBSPOT_API_BASE"},
    "SurveysFunction": CONSUMER | {"HOTJAR_API_BASE"},
    "SalesFunction": CONSUMER | {"HOTMART_API_BASE"},
}  # fmt: skip


@pytest.fixture
def template() -> Template:
    return transformed()


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


@pytest.mark.parametrize("check", CHECKS)
def test_the_template_is_as_it_should_be(template: Template, check: Check) -> None:
    assert check(template) == []


@pytest.mark.parametrize(("function", "wanted"), ENVIRONMENTS.items())
def test_a_function_gets_the_variables_it_needs_and_no_others(
    template: Template, function: str, wanted: set[str]
) -> None:
    assert set(environment(template, function)) == EVERYWHERE | wanted


def test_every_function_runs_python_on_the_chosen_architecture_and_logs_json(template: Template) -> None:
    functions = resources(template, "AWS::Lambda::Function").values()
    assert {function["Runtime"] for function in functions} == {"python3.13"}
    assert {function["Handler"] for function in functions} == {"app.handler"}
    assert all(function["Architectures"] == [{"Ref": "Architecture"}] for function in functions)
    assert {function["LoggingConfig"]["LogFormat"] for function in functions} == {"JSON"}


def test_functions_end_before_whoever_waits_for_them(template: Template) -> None:
    timeouts = {name: function["Timeout"] for name, function in resources(template, "AWS::Lambda::Function").items()}
    assert timeouts == {
        "AuthorizeFunction": 29,
        "CallbackFunction": 29,
        "ConnectFunction": 29,
        "CredentialsFunction": 29,
        "ManageFunction": 29,
        "RefreshDispatchFunction": 50,
        "RefreshFunction": FUNCTION,
        "EscrowFunction": 30,
        "EventsFunction": 50,
        "NotifyFunction": 29,
        "MaintainFunction": 55,
        "TransferFunction": 55,
        "RekeyFunction": 55,
        "TicketsFunction": 29,
        "SurveysFunction": 29,
        "SalesFunction": 29,
    }
    assert properties(template, "RefreshQueue")["VisibilityTimeout"] == 6 * timeouts["RefreshFunction"]
    assert properties(template, "EscrowQueue")["VisibilityTimeout"] == 6 * timeouts["EscrowFunction"]


def test_connections_have_the_three_sparse_indexes(template: Template) -> None:
    indexes = {
        index["IndexName"]: (
            [key["AttributeName"] for key in index["KeySchema"]],
            index["Projection"].get("NonKeyAttributes", []),
        )
        for index in properties(template, "ConnectionsTable")["GlobalSecondaryIndexes"]
    }
    assert indexes == {
        "due": (["due_shard", "due_at"], ["gen", "enqueued_until"]),
        "attention": (["attention", "attention_since"], ["status_cause", "provider", "label"]),
        "account": (["client_account", "connection"], []),
    }


def test_pending_items_expire_by_themselves(template: Template) -> None:
    pending = properties(template, "PendingTable")
    assert pending["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


def test_a_hint_that_fails_five_times_waits_for_two_weeks_and_raises_the_alarm(template: Template) -> None:
    assert properties(template, "RefreshQueue")["RedrivePolicy"]["maxReceiveCount"] == 5
    assert properties(template, "RefreshDeadLetterQueue")["MessageRetentionPeriod"] == 14 * 86_400
    alarm = properties(template, "RefreshDeadLetterAlarm")
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["RefreshDeadLetterQueue", "QueueName"]}


def test_hints_come_in_batches_of_ten_and_fail_one_by_one(template: Template) -> None:
    mapping = properties(template, "RefreshFunctionHints")
    assert mapping["BatchSize"] == 10
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "RefreshConcurrency"}}


def test_what_waits_in_escrow_stays_for_a_day_and_then_raises_the_alarm(template: Template) -> None:
    queue = properties(template, "EscrowQueue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] == 86_400
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    assert properties(template, "EscrowFunctionKept")["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    alarm = properties(template, "EscrowAlarm")
    watched = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    assert [each["MetricName"].removeprefix("ApproximateNumberOfMessages") for each in watched] == [
        "Visible",
        "NotVisible",
    ]
    queues = [each["Dimensions"][0]["Value"] for each in watched]
    assert queues == [{"Fn::GetAtt": ["EscrowQueue", "QueueName"]}] * 2
    last = properties(template, "EscrowDeadLetterAlarm")
    assert last["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["EscrowDeadLetterQueue", "QueueName"]}


@pytest.mark.parametrize("stream", ["Connections", "Integrations"])
def test_a_change_that_cannot_be_told_gives_way_while_it_can_still_be_read(template: Template, stream: str) -> None:
    mapping = properties(template, f"EventsFunction{stream}")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [f"{stream}Table", "StreamArn"]}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["DestinationConfig"]["OnFailure"] == {
        "Destination": {"Fn::GetAtt": ["EventsDeadLetterQueue", "Arn"]}
    }
    patience = properties(template, "EventsFunction")["Timeout"] - LEAVING_SECONDS
    assert mapping["MaximumRetryAttempts"] * patience > 3600  # an hour without EventBridge costs no event
    assert mapping["MaximumRecordAgeInSeconds"] == 6 * 3600  # of the day for which a stream keeps it


def test_whoever_watches_events_hears_of_this_stack_alone(template: Template) -> None:
    rule = properties(template, "NotifyRule")
    assert rule["EventPattern"]["source"] == [{"Fn::Sub": "consentry.${AWS::StackName}"}]
    assert rule["EventBusName"] == {"Ref": "EventBusName"}


def test_a_bus_that_does_not_exist_stops_the_deployment_and_one_that_does_stays(template: Template) -> None:
    """EventBridge takes events for a bus that is not there, and drops them; a rule it refuses."""
    rule = template["Resources"]["BusRule"]
    assert "Condition" not in rule
    assert rule["Properties"]["EventBusName"] == {"Ref": "EventBusName"}
    assert "Targets" not in rule["Properties"]


@pytest.mark.parametrize(
    ("partition", "chosen", "told"),
    [
        ("aws", "true", "/opt/amazon-roots.pem"),
        ("aws", "false", None),
        ("aws-cn", "true", None),
        ("aws-us-gov", "true", None),
    ],
)
def test_amazons_roots_alone_are_trusted_unless_the_operator_says_otherwise(
    template: Template, partition: str, chosen: str, told: str | None
) -> None:
    resolver = Resolver(template, {"AmazonRootsOnly": chosen}, {"AWS::Partition": partition})
    for name in resources(template, "AWS::Lambda::Function"):
        only = {"AWS_CA_BUNDLE": environment(template, name)["AWS_CA_BUNDLE"]}
        assert resolver.resolve(only).get("AWS_CA_BUNDLE") == told


def test_a_layer_that_a_consumer_names_outlives_the_next_deployment(template: Template) -> None:
    kept = {
        name.rstrip("0123456789abcdef"): layer["DeletionPolicy"]
        for name, layer in template["Resources"].items()
        if layer["Type"] == "AWS::Lambda::LayerVersion"
    }
    assert kept == {"ConsentryLayer": "Retain", "FunctionsLayer": "Delete"}


def test_the_example_consumers_have_the_consumers_layer_alone(template: Template) -> None:
    layers = {name: len(each["Layers"]) for name, each in resources(template, "AWS::Lambda::Function").items()}
    assert {name: count for name, count in layers.items() if count != 2} == dict.fromkeys(EXAMPLES, 1)


ON_REQUEST = {
    "ExamplesAreDeployed": EXAMPLES,
    "TransferIsDeployed": {"TransferFunction"},
    "KeysAreReplaced": {"RekeyFunction"},
}
OTHER_KEYS = {f"Other{kind}KeyArn": f"HasOther{kind}Key" for kind in ("Access", "Grant")}
RULE_OF_NOTIFY = {"NotifyRule", "NotifyPermission"}


def test_what_opens_grants_for_export_and_the_examples_are_deployed_on_request_alone(template: Template) -> None:
    conditional = {
        name: each["Condition"]
        for name, each in template["Resources"].items()
        if "Condition" in each and name not in RULE_OF_NOTIFY and each["Type"] != "AWS::Lambda::EventInvokeConfig"
    }
    assert conditional == {
        f"{name.removesuffix('Function')}{part}": condition
        for condition, names in ON_REQUEST.items()
        for name in names
        for part in ("Function", "FunctionRole", "LogGroup")
    }
    outputs = {name: each["Condition"] for name, each in template["Outputs"].items() if "Condition" in each}
    on_request = {f"{name}Name": condition for condition, names in ON_REQUEST.items() for name in names}
    assert outputs == on_request | OTHER_KEYS
    assert all(template["Resources"][each]["Condition"] == "ExamplesAreDeployed" for each in RULE_OF_NOTIFY)
    assert all(template["Parameters"][each]["Default"] == "false" for each in ("DeployExamples", "DeployTransfer"))


def test_every_alarm_notifies_the_topic_where_there_is_one(template: Template) -> None:
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    wanted = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert [alarm["AlarmActions"] for alarm in alarms] == [wanted] * len(alarms)


def test_lambda_repeats_no_refresh_and_keeps_no_event_with_tokens(template: Template) -> None:
    configured = resources(template, "AWS::Lambda::EventInvokeConfig").values()
    retries = {config["FunctionName"]["Ref"]: config["MaximumRetryAttempts"] for config in configured}
    assert retries == {"RefreshFunction": 0, "RefreshDispatchFunction": 0, "TransferFunction": 0}


def test_the_dispatcher_starts_each_minute(template: Template) -> None:
    [schedule] = resources(template, "AWS::Scheduler::Schedule").values()
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["Target"]["Input"] == "{}"
    assert "Name" not in schedule


def test_functions_speak_payload_version_two(template: Template) -> None:
    integrations = resources(template, "AWS::ApiGatewayV2::Integration").values()
    assert {integration["PayloadFormatVersion"] for integration in integrations} == {"2.0"}


def test_public_routes_are_throttled_below_the_rest(template: Template) -> None:
    stage = properties(template, "HttpApiStage")
    limit = stage["DefaultRouteSettings"]["ThrottlingRateLimit"]
    assert {route for route, settings in stage["RouteSettings"].items() if settings["ThrottlingRateLimit"] < limit} == {
        "ANY /authorize/{integration}",
        "ANY /callback/{integration}",
        "ANY /connect",
        "ANY /connect/{integration}",
        "ANY /connect/{integration}/disconnect",
        "ANY /connect.js",
        "ANY /health",
    }


def test_only_this_api_may_invoke_the_functions_and_a_rule_its_example(template: Template) -> None:
    permissions = resources(template, "AWS::Lambda::Permission")
    rule = permissions.pop("NotifyPermission")
    assert (rule["FunctionName"], rule["SourceArn"]) == (
        {"Ref": "NotifyFunction"},
        {"Fn::GetAtt": ["NotifyRule", "Arn"]},
    )
    assert all("${HttpApi}/*/" in permission["SourceArn"]["Fn::Sub"] for permission in permissions.values())


def test_the_contracts_parameters_and_their_defaults() -> None:
    assert {name: parameter.get("Default") for name, parameter in source()["Parameters"].items()} == {
        "Architecture": "arm64",
        "PublicBaseUrl": "",
        "ReturnUrls": "",
        "CompanyName": "",
        "AccentColor": ACCENT,
        "CompanyLogo": "",
        "Epoch": 1,
        "MinRefreshSeconds": 60,
        "EventBusName": "default",
        "AlarmTopicArn": "",
        "InsecureProviderOrigins": "",
        "ProviderFiles": "/opt/providers",
        "DeployExamples": "false",
        "DeployTransfer": "false",
        "AccessKeyArn": "",
        "GrantKeyArn": "",
        "OtherAccessKeyArn": "",
        "OtherGrantKeyArn": "",
        "HubSpotApiBase": "https://api.hubapi.com",
        "HotjarApiBase": "https://api.hotjar.io",
        "HotmartApiBase": "https://developers.hotmart.com",
        "LogRetentionDays": 90,
        "RefreshConcurrency": 5,
        "AmazonRootsOnly": "true",
    }


@pytest.mark.parametrize(
    ("parameter", "taken", "refused"),
    [
        ("PublicBaseUrl", ["", "https://connect.example.com", "http://localhost:3000"], "https://connect.example.com/"),
        ("PublicBaseUrl", ["https://localhost:3000"], "http://connect.example.com"),
        (
            "ReturnUrls",
            ["", "https://a.example/return,https://b.example/return"],
            "https://a.example, https://b.example",
        ),
        *(
            (
                f"{which}KeyArn",
                ["", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
                "arn:aws:kms:eu-central-1:111122223333:alias/grant",
            )
            for which in ("Access", "Grant", "OtherAccess", "OtherGrant")
        ),
        ("EventBusName", ["default", "partner/acme-1"], "arn:aws:events:eu-central-1:123456789012:event-bus/default"),
        ("CompanyName", ["", "Acme", "Acme Ltda. São Paulo"], "<b>Acme</b>"),
        ("AccentColor", ["#1f5f8b", "#FFFFFF"], "red; } body { display: none"),
        ("CompanyLogo", ["", "M2 2h20v20H2z", "M1.5,2 L-3 4Z"], 'M0 0" onload="x'),
        ("InsecureProviderOrigins", ["", "*", "http://localhost:4000,http://127.0.0.1:1"], "http://provider.example"),
        (
            "HubSpotApiBase",
            ["https://api.hubapi.com", "http://localhost:4000/api.hubapi.com"],
            "https://api.hubapi.com/",
        ),
    ],
)
def test_a_parameter_takes_what_works_and_refuses_what_would_not(
    parameter: str, taken: list[str], refused: str
) -> None:
    pattern = re.compile(source()["Parameters"][parameter]["AllowedPattern"])
    assert all(pattern.fullmatch(value) for value in taken)
    assert not pattern.fullmatch(refused)


def unsign_a_route(template: Template) -> None:
    properties(template, "ReadTokenRoute")["AuthorizationType"] = "NONE"


def forget_a_route(template: Template) -> None:
    del template["Resources"]["RequestRefreshRoute"]


def add_a_route(template: Template) -> None:
    template["Resources"]["ExtraRoute"] = {
        "Type": "AWS::ApiGatewayV2::Route",
        "Properties": {"RouteKey": "GET /debug", "AuthorizationType": "AWS_IAM"},
    }


def keep_a_log_forever(template: Template) -> None:
    del properties(template, "TicketsLogGroup")["RetentionInDays"]


def let_lambda_make_the_log(template: Template) -> None:
    del properties(template, "ManageFunction")["LoggingConfig"]["LogGroup"]


def log_the_path(template: Template) -> None:
    properties(template, "HttpApiStage")["AccessLogSettings"]["Format"] = '{"path":"$context.path"}'


def lose_recovery(template: Template) -> None:
    del properties(template, "ConnectionsTable")["PointInTimeRecoverySpecification"]


def delete_with_the_stack(template: Template) -> None:
    template["Resources"]["GrantKey"]["DeletionPolicy"] = "Delete"


def stop_rotation(template: Template) -> None:
    properties(template, "AccessKey")["EnableKeyRotation"] = False


def allow_plain_http(template: Template) -> None:
    del template["Resources"]["RefreshQueuePolicy"]


@pytest.mark.parametrize(
    ("weaken", "check", "finding"),
    [
        (unsign_a_route, routes_not_as_declared, "/token is NONE, not AWS_IAM"),
        (forget_a_route, routes_not_as_declared, "/refresh is missing"),
        (add_a_route, routes_not_as_declared, "GET /debug is AWS_IAM, not wanted"),
        (keep_a_log_forever, logs_kept_forever, "TicketsLogGroup"),
        (let_lambda_make_the_log, logs_kept_forever, "ManageFunction"),
        (log_the_path, access_logs_that_tell, "$context.path"),
        (lose_recovery, tables_unprotected, "ConnectionsTable lacks recovery"),
        (delete_with_the_stack, keys_unprotected, "GrantKey lacks Retain"),
        (stop_rotation, keys_unprotected, "AccessKey lacks rotation"),
        (allow_plain_http, queues_unprotected, "RefreshQueue is reachable without TLS"),
    ],
)
def test_a_weakened_template_is_found(
    template: Template, weaken: Callable[[Template], None], check: Check, finding: str
) -> None:
    weaken(template)
    assert any(finding in found for found in check(template))


# Dashboard


@pytest.fixture
def widgets(template: Template) -> list[dict[str, Any]]:
    body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    return list(json.loads(body)["widgets"])


def test_the_dashboard_shows_every_alarm(template: Template, widgets: list[dict[str, Any]]) -> None:
    (shown,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert {f"${{{name}.Arn}}" for name in resources(template, "AWS::CloudWatch::Alarm")} == set(shown)


def test_the_dashboard_shows_every_metric_that_is_counted(widgets: list[dict[str, Any]]) -> None:
    layer = "".join(path.read_text() for path in (ROOT / "layers/consentry/consentry").rglob("*.py"))
    counted = {*re.findall(r'log\.count\("(\w+)"', layer), *work._METRICS.values()}
    assert len(counted) > 8
    assert [metric for metric in counted if f'"{metric}"' not in json.dumps(widgets).replace("\\", "")] == []


def test_a_stack_of_the_same_name_in_another_region_has_a_dashboard_of_its_own(template: Template) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html: they are global
    name = template["Resources"]["Dashboard"]["Properties"]["DashboardName"]
    assert name == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}


def test_the_dashboard_s_widgets_do_not_overlap(widgets: list[dict[str, Any]]) -> None:
    cells = [
        (x, y)
        for each in widgets
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_throttles_of_every_function_but_the_examples_raise_the_alarm(template: Template) -> None:
    watched = [
        each["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"]
        for each in template["Resources"]["ThrottledAlarm"]["Properties"]["Metrics"]
        if "MetricStat" in each
    ]
    on_request = set().union(*ON_REQUEST.values())
    assert sorted(watched) == sorted(set(resources(template, "AWS::Lambda::Function")) - on_request)
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html: metrics of one alarm
    assert len(watched) <= 10
