"""The sample events through the functions as they are deployed: their handlers, their wiring, their environment."""

import importlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from consentry import bootstrap
from consentry.aws.dynamodb import to_item
from tests.support.deployment import body_of, query_of
from tests.support.logs import Log
from tests.support.tables import AWS_ENVIRONMENT, REGION, create_tables, template

EVENTS = Path(__file__).parents[3] / "events"
FUNCTIONS = {
    "authorize": "AuthorizeFunction",
    "callback": "CallbackFunction",
    "connect": "ConnectFunction",
    "credentials": "CredentialsFunction",
    "manage": "ManageFunction",
    "refresh_dispatch": "RefreshDispatchFunction",
    "maintain": "MaintainFunction",
    "transfer": "TransferFunction",
    "rekey": "RekeyFunction",
    "events": "EventsFunction",
}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 29_000


def sample(name: str) -> dict[str, Any]:
    event = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(event, dict)
    return event


def handler(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    module = importlib.import_module(f"functions.{name}.app")
    return lambda event: module.handler(event, Context())


@pytest.fixture(scope="module")
def resources() -> Iterator[dict[str, str]]:
    """What the template's functions need of AWS; returns environment variables by name."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in AWS_ENVIRONMENT.items():
            environment.setenv(name, value)
        with mock_aws():
            tables = create_tables(boto3.client("dynamodb", region_name=REGION), "functions")
            row = {"integration": "hubspot-ticketing", "provider": "hubspot-ticketing", "client_id": "c-1"}
            boto3.client("dynamodb", region_name=REGION).put_item(
                TableName=tables["IntegrationsTable"], Item=to_item(row)
            )
            kms = boto3.client("kms", region_name=REGION)
            secrets = boto3.client("secretsmanager", region_name=REGION)
            yield {
                "CONSENTRY_STACK": "test",
                "CONSENTRY_CONNECTIONS_TABLE": tables["ConnectionsTable"],
                "CONSENTRY_PENDING_TABLE": tables["PendingTable"],
                "CONSENTRY_INTEGRATIONS_TABLE": tables["IntegrationsTable"],
                "CONSENTRY_ACCESS_KEY": kms.create_key()["KeyMetadata"]["Arn"],
                "CONSENTRY_GRANT_KEY": kms.create_key()["KeyMetadata"]["Arn"],
                "CONSENTRY_MAC_SECRET": secrets.create_secret(Name="mac", SecretString="CNRY-mac")["ARN"],
                "CONSENTRY_SECRETS_PREFIX": "consentry/test/integrations/",
                "CONSENTRY_REFRESH_QUEUE": boto3.client("sqs", region_name=REGION).create_queue(QueueName="q")[
                    "QueueUrl"
                ],
                "CONSENTRY_ESCROW_QUEUE": boto3.client("sqs", region_name=REGION).create_queue(QueueName="e")[
                    "QueueUrl"
                ],
                "CONSENTRY_EVENT_BUS": "default",
                "CONSENTRY_EVENTS_DEAD_LETTER_QUEUE": boto3.client("sqs", region_name=REGION).create_queue(
                    QueueName="d"
                )["QueueUrl"],
                "CONSENTRY_REFRESH_FUNCTION": "refresh",
                "CONSENTRY_PUBLIC_BASE_URL": "https://vault.test",
                "CONSENTRY_RETURN_URLS": "https://app.example.com/connected, https://other.example.com/",
                "CONSENTRY_EPOCH": "1",
                "CONSENTRY_MIN_REFRESH_SECONDS": "60",
                "CONSENTRY_PROVIDER_FILES": "/nowhere",
                "CONSENTRY_INSECURE_PROVIDER_ORIGINS": "",
                "CONSENTRY_COMPANY_NAME": "Acme",
                "CONSENTRY_ACCENT_COLOR": "#8b1f5f",
                "CONSENTRY_COMPANY_LOGO": "",
            }


@pytest.fixture
def deployed(
    resources: dict[str, str], monkeypatch: pytest.MonkeyPatch, log_lines: Log
) -> Iterator[Callable[[str], Callable[[dict[str, Any]], dict[str, Any]]]]:
    """Return a function's handler, with exactly those variables that the template gives that function."""

    def start(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        given = template()["Resources"][FUNCTIONS[name]]["Properties"]["Environment"]["Variables"]
        for variable, value in resources.items():
            monkeypatch.delenv(variable, raising=False)
            if variable in given:
                monkeypatch.setenv(variable, value)
        bootstrap._process.cache_clear()
        return handler(name)

    yield start
    bootstrap._process.cache_clear()


type Deployed = Callable[[str], Callable[[dict[str, Any]], dict[str, Any]]]


def test_the_authorize_sample_is_a_link_that_this_deployment_did_not_issue(deployed: Deployed) -> None:
    assert deployed("authorize")(sample("authorize"))["statusCode"] == 410


def test_the_callback_sample_is_an_answer_that_this_deployment_did_not_ask_for(deployed: Deployed) -> None:
    assert deployed("callback")(sample("callback"))["statusCode"] == 410


def test_the_dispatch_sample_finds_nothing_due(deployed: Deployed) -> None:
    answered = deployed("refresh_dispatch")(sample("refresh_dispatch"))
    assert answered == {
        "due": 0, "dispatched": 0, "parked": 0, "oldest_overdue_seconds": 0, "failing": 0, "held": 0,
    }  # fmt: skip


def test_the_maintain_sample_counts_and_writes_nothing(deployed: Deployed) -> None:
    assert deployed("maintain")(sample("maintain")) == {
        "operation": "reconcile", "seen": 0, "adopted": 0, "doubtful": 0, "skipped": 0, "unknown_provider": 0,
        "next": None,
    }  # fmt: skip


def test_the_transfer_sample_exports_nothing_where_nothing_is_connected(deployed: Deployed) -> None:
    assert deployed("transfer")(sample("transfer")) == {"operation": "export", "rows": [], "skipped": [], "next": None}


def test_the_rekey_sample_looks_and_finds_nothing_under_another_key(deployed: Deployed) -> None:
    assert deployed("rekey")(sample("rekey")) == {
        "operation": "replace", "dry_run": True, "seen": 0, "replaced": 0, "already": 0, "raced": 0, "left": 0,
        "unreadable": [], "waiting": {"escrow": False, "flows": 0, "until": None}, "next": None,
    }  # fmt: skip


def test_the_stream_sample_is_told_on_the_bus_in_the_stack_s_name(
    deployed: Deployed, resources: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = boto3.client("sqs", region_name=REGION).create_queue(QueueName="heard")["QueueUrl"]
    target = {"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:123456789012:heard"}
    bus = boto3.client("events", region_name=REGION)
    bus.put_rule(Name="heard", EventPattern=json.dumps({"source": ["consentry.test"]}))
    bus.put_targets(Rule="heard", Targets=[target])  # type: ignore[list-item]  # a plain dict
    relay = deployed("events")
    monkeypatch.setenv("CONSENTRY_STACK", resources["CONSENTRY_STACK"])
    assert relay(sample("stream")) == {"batchItemFailures": []}
    (message,) = boto3.client("sqs", region_name=REGION).receive_message(QueueUrl=heard)["Messages"]
    assert json.loads(message["Body"])["detail"] == sample("notify")["detail"]


def test_health_needs_neither_table_nor_key(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = deployed("authorize")
    for variable in ("CONSENTRY_PENDING_TABLE", "CONSENTRY_MAC_SECRET", "CONSENTRY_GRANT_KEY"):
        monkeypatch.delenv(variable)
    bootstrap._process.cache_clear()
    event = sample("authorize") | {"routeKey": "ANY /health", "pathParameters": None, "rawQueryString": ""}
    assert body_of(answering(event)) == {"status": "ok"}


def test_the_popup_script_needs_neither_table_nor_key(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = deployed("connect")
    for variable in ("CONSENTRY_PENDING_TABLE", "CONSENTRY_MAC_SECRET", "CONSENTRY_CONNECTIONS_TABLE"):
        monkeypatch.delenv(variable)
    bootstrap._process.cache_clear()
    answered = answering(sample("connect") | {"routeKey": "ANY /connect.js", "rawQueryString": ""})
    assert answered["statusCode"] == 200
    assert answered["body"].endswith("})();\n")


def way_back(deployed: Deployed) -> dict[str, Any]:
    """Go to the provider with a session of the manage sample; return what makes the callback sample its answer."""
    created = deployed("manage")(sample("manage"))
    assert created["statusCode"] == 201
    ticket = body_of(created)["connect_url"].partition("?")[2]
    departed = deployed("authorize")(sample("authorize") | {"rawQueryString": ticket})
    assert departed["statusCode"] == 302
    assert departed["headers"]["Location"].startswith("https://app.hubspot.com/oauth/authorize?")
    asked = query_of(departed)
    assert asked["redirect_uri"] == "https://vault.test/callback/hubspot-ticketing"
    cookies = [departed["cookies"][0].partition(";")[0]]
    return {"rawQueryString": f"code=na1-code&state={asked['state']}", "cookies": cookies}


def test_a_session_of_the_manage_sample_leads_to_the_provider_and_back_with_a_handle(deployed: Deployed) -> None:
    back = way_back(deployed)
    returned = deployed("callback")(sample("callback") | back)
    assert returned["statusCode"] == 303
    assert query_of(returned)["handle"].startswith("hubspot-ticketing.")


def test_a_return_address_that_left_the_parameter_gets_no_handle(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, log_lines: Log
) -> None:
    back = way_back(deployed)
    answering = deployed("callback")
    monkeypatch.setenv("CONSENTRY_RETURN_URLS", "https://other.example.com/")
    shown = answering(sample("callback") | back)
    assert shown["statusCode"] == 409
    assert "Location" not in shown["headers"]
    assert "hubspot-ticketing." not in shown["body"]
    assert log_lines.named("refused")[-1]["code"] == "return_url_unregistered"


def test_a_function_that_lacks_a_variable_names_it_in_the_log_alone(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, log_lines: Log
) -> None:
    answering = deployed("authorize")
    monkeypatch.delenv("CONSENTRY_MAC_SECRET")
    bootstrap._process.cache_clear()
    response = answering(sample("authorize"))
    assert response["statusCode"] == 503
    assert "CONSENTRY_MAC_SECRET" not in response["body"]
    assert "CONSENTRY_MAC_SECRET" in log_lines.lines[0]["detail"]


@pytest.mark.parametrize("name", ["connect", "credentials"])
def test_the_samples_of_the_page_and_the_form_are_links_that_this_deployment_did_not_issue(
    deployed: Deployed, name: str
) -> None:
    shown = deployed(name)(sample(name))
    assert shown["statusCode"] == 410
    assert '<span class="company">Acme</span>' in shown["body"]
    assert "--accent: #8b1f5f" in shown["body"]


def test_the_page_of_the_manage_sample_s_session_offers_what_the_session_allows(deployed: Deployed) -> None:
    created = deployed("manage")(sample("manage"))
    ticket = body_of(created)["connect_url"].partition("?")[2]
    shown = deployed("connect")(sample("connect") | {"rawQueryString": ticket})
    assert shown["statusCode"] == 200
    assert "Conectar HubSpot Ticketing" in shown["body"]  # as the sample asks for
    assert f"https://vault.test/authorize/hubspot-ticketing?{ticket}" in shown["body"]


@pytest.mark.parametrize("name", ["authorize", "callback", "connect", "credentials", "manage"])
def test_a_sample_event_is_of_a_route_of_the_template(name: str) -> None:
    routes = {
        each["Properties"]["RouteKey"]: each["Properties"]["AuthorizationType"]
        for each in template()["Resources"].values()
        if each["Type"] == "AWS::ApiGatewayV2::Route"
    }
    event = sample(name)
    assert event["version"] == "2.0"
    assert event["requestContext"]["routeKey"] == event["routeKey"]
    assert routes[event["routeKey"]] == ("AWS_IAM" if name == "manage" else "NONE")


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_importing_a_function_needs_no_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        monkeypatch.delenv(variable)
    importlib.reload(importlib.import_module(f"functions.{name}.app"))
