"""The commands, as an operator types them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from botocore.exceptions import (
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    InvalidRegionError,
    PartialCredentialsError,
    SSOTokenLoadError,
)

from consentry.aws.dynamodb import Update, apply, from_item, to_item
from consentry_cli.aws import plainly
from consentry_cli.failures import Exit, Failure
from tests.support.deployment import BASE_URL, RETURN_URL, Browser, query_of
from tests.support.provider import TOKEN_ANSWER, tokens
from tests.unit.cli.conftest import Operator

SECRET = "CNRY-typed-secret-51b0"


def connected(operator: Operator, name: str = "default") -> None:
    deployment = operator.deployment
    deployment.provider.then(tokens())
    created = deployment.created(name=name)
    assert deployment.completed(query_of(Browser(deployment).consents(created)))["statusCode"] == 200


def flagged(operator: Operator) -> None:
    update = Update().set(
        {"attention": "reauth_required", "attention_since": 1_795_000_000, "status": "reauth_required"}
    )
    request = update.require(update.equal("gen", 1)).request(
        operator.deployment.names["ConnectionsTable"], {"tenant": "acme", "connection": "crm#default"}
    )
    apply(operator.aws.client("dynamodb").update_item, request, "end the grant")


def secret_of(operator: Operator, integration: str) -> str:
    name = f"consentry/consentry/integrations/{integration}"
    return str(operator.aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def test_an_integration_is_added_with_a_piped_secret_and_its_redirect_uri_is_printed(operator: Operator) -> None:
    told = operator("integrations", "add", "crm9", "--provider", "hubspot", "--client-id", "c-9", typed=f"{SECRET}\n")
    assert told.code == Exit.OK
    assert f"{BASE_URL}/callback/crm9" in told.out
    assert json.loads(secret_of(operator, "crm9")) == {"client_secret": SECRET}
    table = operator.deployment.names["IntegrationsTable"]
    item = operator.aws.client("dynamodb").get_item(TableName=table, Key=to_item({"integration": "crm9"}))["Item"]
    assert from_item(item) == {"integration": "crm9", "provider": "hubspot", "client_id": "c-9"}
    assert SECRET not in told.out + told.err


def test_an_integration_of_credentials_has_neither_secret_nor_redirect_uri(operator: Operator) -> None:
    told = operator("integrations", "add", "surveys", "--provider", "hotjar", "--json")
    assert told.json == {"integration": "surveys", "provider": "hotjar", "redirect_uri": None}


@pytest.mark.parametrize(
    ("words", "typed", "code", "said"),
    [
        (["crm", "--provider", "hubspot", "--client-id", "c"], SECRET, Exit.REFUSED, "registered already"),
        (["a/b", "--provider", "hubspot", "--client-id", "c"], SECRET, Exit.USAGE, "INTEGRATION must be"),
        (["new", "--provider", "nobody", "--client-id", "c"], SECRET, Exit.NOT_FOUND, "no provider 'nobody'"),
        (["new", "--provider", "hubspot"], SECRET, Exit.USAGE, "--client-id is missing"),
        (["new", "--provider", "hubspot", "--client-id", "c"], "", Exit.USAGE, "No secret came"),
        (["new", "--provider", "hubspot", "--client-id", "c"], '{"secret": 1}', Exit.USAGE, "client_secret"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_is_written(
    operator: Operator, words: list[str], typed: str, code: Exit, said: str
) -> None:
    told = operator("integrations", "add", *words, typed=typed)
    assert (told.code, told.out) == (code, "")
    assert said in told.err
    assert "Traceback" not in told.err
    names = [each["integration"] for each in operator("integrations", "list", "--json").json["integrations"]]
    assert names == ["crm", "crm2", "desk", "metrics"]


def test_integrations_are_listed_with_what_to_register(operator: Operator) -> None:
    found = operator("integrations", "list", "--json").json["integrations"]
    told = {each["integration"]: each["redirect_uri"] for each in found}
    assert told == {"crm": f"{BASE_URL}/callback/crm", "crm2": f"{BASE_URL}/callback/crm2",
                    "desk": f"{BASE_URL}/callback/desk", "metrics": None}  # fmt: skip
    assert f"{BASE_URL}/callback/crm" in operator("integrations", "list").out


def test_a_rotated_secret_leaves_the_one_before_readable_as_the_previous(operator: Operator) -> None:
    before = secret_of(operator, "crm")
    told = operator("integrations", "rotate", "crm", typed=json.dumps({"client_secret": SECRET, "basic_token": "b"}))
    assert told.code == Exit.OK
    assert json.loads(secret_of(operator, "crm")) == {"client_secret": SECRET, "basic_token": "b"}
    previous = operator.aws.client("secretsmanager").get_secret_value(
        SecretId="consentry/consentry/integrations/crm", VersionStage="AWSPREVIOUS"
    )
    assert previous["SecretString"] == before
    assert operator("integrations", "rotate", "nobody", typed=SECRET).code == Exit.NOT_FOUND


def test_the_same_secret_once_more_does_not_push_out_the_one_before(operator: Operator) -> None:
    before = secret_of(operator, "crm")
    for _ in range(2):
        assert operator("integrations", "rotate", "crm", typed=SECRET).code == Exit.OK
    previous = operator.aws.client("secretsmanager").get_secret_value(
        SecretId="consentry/consentry/integrations/crm", VersionStage="AWSPREVIOUS"
    )
    assert previous["SecretString"] == before


def test_a_check_names_a_secret_that_is_missing_or_no_secret(operator: Operator) -> None:
    assert operator("integrations", "check").code == Exit.OK
    client = operator.aws.client("secretsmanager")
    client.put_secret_value(SecretId="consentry/consentry/integrations/crm", SecretString="plain")
    client.delete_secret(SecretId="consentry/consentry/integrations/crm2")
    client.delete_secret(SecretId="consentry/consentry/integrations/desk", ForceDeleteWithoutRecovery=True)
    told = operator("integrations", "check", "--json")
    problems = {each["integration"]: " ".join(each["problems"]) for each in told.json["integrations"]}
    assert told.code == Exit.PROBLEMS
    assert "is not a JSON object" in problems["crm"]
    assert "scheduled for deletion" in problems["crm2"]
    assert "there is no secret" in problems["desk"]
    assert problems["metrics"] == ""
    assert operator("integrations", "check", "nobody").code == Exit.NOT_FOUND


def test_a_session_is_a_link(operator: Operator) -> None:
    told = operator("sessions", "create", "acme", "crm", "--user-ref", "u-1", "--return-url", RETURN_URL, "--json")
    assert told.json["connect_url"].startswith(f"{BASE_URL}/connect?session=")
    refused = operator("sessions", "create", "acme", "crm", "--user-ref", "u-1", "--return-url", "https://evil.test")
    assert refused.code == Exit.USAGE
    assert "return_url" in refused.err


def test_connections_are_listed_shown_and_disconnected(operator: Operator) -> None:
    connected(operator)
    listed = operator("connections", "list", "acme", "--json").json
    assert [each["name"] for each in listed["connections"]] == ["default"]
    assert listed["more"] is False
    assert "crm/default" in operator("connections", "list", "acme").out
    assert "active" in operator("connections", "show", "acme", "crm").out
    assert operator("connections", "list", "acme", "--status", "deleting", "--json").json["connections"] == []
    ended = operator("connections", "disconnect", "acme", "crm", "--yes")
    assert ended.code == Exit.OK
    assert operator("connections", "show", "acme", "crm", "--json").json["status"] == "deleting"


def test_those_who_must_reconnect_are_listed_across_tenants(operator: Operator) -> None:
    connected(operator)
    assert operator("connections", "list").out.strip() == "none"
    flagged(operator)
    told = operator("connections", "list", "--json").json["connections"]
    assert [(each["tenant"], each["status"]) for each in told] == [("acme", "reauth_required")]
    assert "acme" in operator("connections", "list", "--status", "reauth_required").out
    refused = operator("connections", "list", "--status", "active")
    assert (refused.code, refused.out) == (Exit.USAGE, "")


def test_a_list_says_when_there_is_more(operator: Operator) -> None:
    connected(operator)
    connected(operator, "second")
    assert operator("connections", "list", "acme", "--limit", "1", "--json").json["more"] is True
    assert "--limit" in operator("connections", "list", "acme", "--limit", "1").out


def test_all_of_a_tenant_is_disconnected_only_when_that_is_asked_for(operator: Operator) -> None:
    connected(operator)
    connected(operator, "second")
    assert operator("connections", "disconnect", "acme").code == Exit.USAGE
    assert operator("connections", "disconnect", "acme", "crm", "--all").code == Exit.USAGE
    assert operator("connections", "disconnect", "acme", "--all", "--uninstall").code == Exit.USAGE
    told = operator("connections", "disconnect", "acme", "--all", typed="y\n")
    assert (told.code, "2 of them" in told.out) == (Exit.OK, True)


def test_without_a_yes_nothing_is_disconnected(operator: Operator) -> None:
    connected(operator)
    assert operator("connections", "disconnect", "acme", "crm", typed="n\n").code == 130
    assert operator("connections", "disconnect", "acme", "crm").code == 130
    assert operator("connections", "show", "acme", "crm", "--json").json["status"] == "active"


def test_a_token_goes_into_a_pipe_and_not_onto_a_terminal(operator: Operator) -> None:
    connected(operator)
    token = str(TOKEN_ANSWER["access_token"])
    assert operator("token", "acme", "crm").out == f"{token}\n"
    assert token not in operator("token", "acme", "crm", terminal=True).out
    assert operator("token", "acme", "crm", "--reveal", terminal=True).out == f"{token}\n"
    assert operator("token", "acme", "crm", "--json", terminal=True).out.count("CNRY-") == 0
    assert operator("token", "acme", "crm", "--json").json["access_token"] == token


def test_what_is_not_there_has_an_exit_code_and_a_sentence_for_people_and_programs(operator: Operator) -> None:
    told = operator("token", "acme", "crm")
    assert (told.code, told.out) == (Exit.NOT_FOUND, "")
    assert told.err.startswith("consentry: acme has no connection crm/default")
    said = json.loads(operator("token", "acme", "crm", "--json").err)
    assert said["error"] == "not_connected"


def test_a_refresh_that_takes_long_says_so(operator: Operator) -> None:
    connected(operator)
    told = operator("connections", "refresh", "acme", "crm")
    assert told.code == Exit.UNAVAILABLE
    assert "under way" in told.err
    assert operator.deployment.refresh_requests.asked


def test_a_wrong_clock_is_told_from_a_missing_permission(operator: Operator) -> None:
    operator.ahead_seconds = 3600
    told = operator("connections", "list", "acme")
    assert (told.code, "clock" in told.err) == (Exit.UNAVAILABLE, True)


def test_a_missing_permission_is_named(operator: Operator) -> None:
    sentence = "Your credentials may not do this: they lack the permission dynamodb:GetItem."
    operator.aws.answers["dynamodb", "get_item"] = Failure(sentence, Exit.REFUSED, "permission_missing")
    told = operator("integrations", "rotate", "crm", typed=SECRET)
    assert (told.code, told.err) == (Exit.REFUSED, f"consentry: {sentence}\n")


def test_text_from_elsewhere_cannot_command_the_terminal(operator: Operator) -> None:
    connected(operator)
    update = Update().set({"label": "\x1b]0;owned\x07[red]x"})
    request = update.require(update.equal("gen", 1)).request(
        operator.deployment.names["ConnectionsTable"], {"tenant": "acme", "connection": "crm#default"}
    )
    apply(operator.aws.client("dynamodb").update_item, request, "label")
    out = operator("connections", "show", "acme", "crm").out
    assert "\x1b" not in out
    assert "[red]x" in out


def test_providers_are_listed_shown_and_checked(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "hubspot" in operator("providers", "list").out
    assert operator("providers", "show", "hotjar-code", "--json").json["unverified"] is True
    assert operator("providers", "show", "nobody").code == Exit.NOT_FOUND
    folder = tmp_path_factory.mktemp("own")
    assert operator("providers", "check", str(folder)).code == Exit.PROBLEMS
    (folder / "broken.toml").write_text('id = "other"\n')
    told = operator("providers", "check", str(folder))
    assert (told.code, "broken.toml" in told.out) == (Exit.PROBLEMS, True)


def test_a_mistake_in_the_command_is_a_usage_error_in_either_form(operator: Operator) -> None:
    assert operator("connections", "lisst").code == Exit.USAGE
    assert "Usage:" in operator("connections", "lisst").err
    assert json.loads(operator("token", "--json").err)["error"] == "usage"


def test_something_unforeseen_is_one_sentence_without_its_text(operator: Operator) -> None:
    operator.aws.answers["dynamodb", "get_item"] = RuntimeError("CNRY-secret in a text")
    told = operator("integrations", "rotate", "crm", typed=SECRET)
    assert told.code == Exit.UNAVAILABLE
    assert "RuntimeError" in told.err
    assert "CNRY-" not in told.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands(operator: Operator, shell: str) -> None:
    assert "_CONSENTRY_COMPLETE" in operator("completion", shell).out


@pytest.mark.parametrize("words", [
    ("connections", "list", ".."), ("connections", "list", "."), ("token", "acme", ".."), ("token", "a/b", "crm"),
    ("connections", "disconnect", "acme", "..", "..", "--yes"), ("connections", "disconnect", "..", "--all", "--yes"),
    ("sessions", "create", "", "crm", "--user-ref", "u"),
])  # fmt: skip
def test_what_would_lead_to_another_route_is_not_asked(operator: Operator, words: tuple[str, ...]) -> None:
    told = operator(*words)
    assert (told.code, told.out, "is no tenant" in told.err) == (Exit.USAGE, "", True)
    assert operator.asked == []


def as_program(
    *words: str, stdout: int | IO[str] = subprocess.PIPE, begin: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consentry_cli", *words]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, preexec_fn=begin, text=True, timeout=60, check=False
    )


def test_whoever_reads_no_further_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        told = as_program("providers", "list", "--json", stdout=writing)
    finally:
        os.close(writing)
    assert (told.returncode, told.stderr) == (Exit.OK, "")


def test_an_output_that_takes_no_more_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        told = as_program("providers", "list", stdout=full)
    assert (told.returncode, "No space left" in told.stderr, told.stderr.count("\n")) == (Exit.UNAVAILABLE, True, 1)


def test_where_standard_input_is_closed_a_question_is_not_answered() -> None:
    words = ("connections", "disconnect", "acme", "crm")
    told = as_program(*words, begin=lambda: os.close(0))
    assert (told.returncode, told.stderr.endswith("Interrupted.\n")) == (130, True)


def test_a_question_that_is_not_answered_is_told_to_a_program_too(operator: Operator) -> None:
    told = operator("connections", "disconnect", "acme", "crm", "--json")
    assert (told.code, told.out.strip()) == (130, "")
    assert json.loads("{" + told.err.rpartition("{")[2])["error"] == "interrupted"


def test_an_empty_stacks_name_is_no_default() -> None:
    told = as_program("connections", "list", "--stack", "")
    assert (told.returncode, "empty" in told.stderr) == (Exit.USAGE, True)


REFUSALS: dict[str, tuple[Exit, str]] = {
    "ValidationError": (Exit.NOT_FOUND, "not_found"),
    "SignatureDoesNotMatch": (Exit.REFUSED, "credentials_refused"),
    "ExpiredToken": (Exit.REFUSED, "credentials_refused"),
    "Throttling": (Exit.UNAVAILABLE, "aws_error"),
    "AccessDenied": (Exit.REFUSED, "permission_missing"),
}


@pytest.mark.parametrize("code", list(REFUSALS))
def test_only_a_stack_that_is_not_there_is_said_not_to_be(code: str) -> None:
    with pytest.raises(Failure) as told, plainly("cloudformation"):
        raise ClientError({"Error": {"Code": code, "Message": "x"}}, "DescribeStacks")
    assert (told.value.exit_code, told.value.code) == REFUSALS[code]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), "no_credentials", "secret_access"),
        (SSOTokenLoadError(profile_name="p", error_msg="expired"), "no_credentials", "expired"),
        (CredentialRetrievalError(provider="x", error_msg="CNRY-out"), "no_credentials", "failed"),
        (InvalidConfigError(error_msg="no profile zz"), "no_credentials", "zz"),
        (ConfigParseError(path="/config"), "no_credentials", "/config"),
        (InvalidRegionError(region_name="x y"), "invalid_region", "'x y' is no AWS region"),
    ],
)
def test_what_this_machine_has_wrong_is_not_something_to_try_again(error: Exception, code: str, said: str) -> None:
    with pytest.raises(Failure) as told, plainly("cloudformation"):
        raise error
    assert (told.value.code, said in told.value.sentence, "CNRY-" in told.value.sentence) == (code, True, False)
