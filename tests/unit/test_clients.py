"""What a consumer reads when AWS refuses: one sentence, with the remedy, and nothing of AWS's own words."""

import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from boto3.session import Session
from botocore import exceptions as botocore

from consentry.clients import GETTING, LISTING, OPENING, REFRESHING, Asking, Clients
from consentry.errors import ConsentryError, Misconfigured, TokenUnavailable, UnreadableRecord

CANARY = "CNRY-arn:aws:sts::111122223333:assumed-role"


def clients(region: str | None = "eu-west-1") -> Clients:
    return Clients({}, session=Session("id", "key", region_name=region), deadline_seconds=10)


def told(error: Exception, asking: Asking = GETTING) -> ConsentryError:
    with pytest.raises(ConsentryError) as caught, clients().explained(asking):
        raise error
    assert CANARY not in f"{caught.value!r} {caught.value.detail}"
    return caught.value


def refused(code: str) -> botocore.ClientError:
    return botocore.ClientError({"Error": {"Code": code, "Message": CANARY}}, "Operation")


@pytest.mark.parametrize(
    ("asking", "policy"),
    [
        (GETTING, "ReadPolicyArn"),
        (OPENING, "ReadPolicyArn"),
        (REFRESHING, "RefreshPolicyArn"),
        (LISTING, "ListPolicyArn"),
    ],
)
def test_a_denial_names_the_permission_the_policy_that_has_it_and_the_region(asking: Asking, policy: str) -> None:
    error = told(refused("AccessDeniedException"), asking)
    assert isinstance(error, Misconfigured)
    assert all(word in str(error) for word in (asking.action, policy, "eu-west-1"))


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"])
def test_credentials_that_have_ended_are_not_taken_for_a_missing_permission(code: str) -> None:
    error = told(refused(code))
    assert isinstance(error, Misconfigured)
    assert "expired or are not valid" in str(error)
    assert "Policy" not in str(error)


def test_a_clock_that_is_wrong_is_among_the_reasons_for_credentials_that_do_not_count() -> None:
    assert "its clock and AWS's" in str(told(refused("InvalidSignatureException")))
    assert "its clock and AWS's" in str(told(refused("RequestTimeTooSkewed")))


@pytest.mark.parametrize("error", [refused("ValidationException"), botocore.ParamValidationError(report=CANARY)])
def test_a_name_that_cannot_be_one_is_not_worth_another_try(error: Exception) -> None:
    assert isinstance(told(error, GETTING), Misconfigured)
    assert GETTING.named_by in str(told(error, GETTING))
    assert isinstance(told(error, OPENING), UnreadableRecord)


@pytest.mark.parametrize("asking", [GETTING, REFRESHING, OPENING])
def test_what_does_not_exist_leads_to_the_variable_and_the_region(asking: Asking) -> None:
    error = told(refused("ResourceNotFoundException"), asking)
    assert isinstance(error, Misconfigured)
    assert all(word in str(error) for word in (asking.named_by, "eu-west-1"))


@pytest.mark.parametrize(
    "error",
    [
        botocore.NoCredentialsError(),
        botocore.NoRegionError(),
        botocore.ProfileNotFound(profile="x"),
        botocore.CredentialRetrievalError(provider="x", error_msg=CANARY),
        botocore.UnauthorizedSSOTokenError(),
    ],
)
def test_a_process_without_usable_credentials_is_told_to_get_some(error: Exception) -> None:
    assert isinstance(told(error), Misconfigured)
    assert "credentials" in str(told(error))


@pytest.mark.parametrize(
    "error",
    [botocore.EndpointConnectionError(endpoint_url=CANARY), botocore.ConnectTimeoutError(endpoint_url=CANARY)],
)
def test_an_endpoint_that_is_not_there_makes_the_region_suspect(error: Exception) -> None:
    assert isinstance(told(error), TokenUnavailable)
    assert "eu-west-1" in str(told(error))


def test_anything_else_is_worth_another_try() -> None:
    assert isinstance(told(refused("ThrottlingException")), TokenUnavailable)
    assert isinstance(told(botocore.ReadTimeoutError(endpoint_url=CANARY)), TokenUnavailable)


def test_a_key_that_is_disabled_and_a_ciphertext_of_another_are_told_apart() -> None:
    assert "enable it" in str(told(refused("DisabledException"), OPENING))
    assert isinstance(told(refused("IncorrectKeyException"), OPENING), UnreadableRecord)


def test_a_variable_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSENTRY_API_URL", raising=False)
    with pytest.raises(Misconfigured, match="CONSENTRY_API_URL"):
        clients().setting("CONSENTRY_API_URL")


def test_without_a_session_it_is_the_one_that_boto3_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", Session("id", "key", region_name="eu-north-1"))
    assert Clients({}, session=None, deadline_seconds=10).session() is boto3.DEFAULT_SESSION


def test_threads_that_begin_together_share_one_client_for_each_service() -> None:
    shared, together = clients(), threading.Barrier(8)

    def begin(_number: int) -> tuple[int, int, int]:
        together.wait(10)
        return id(shared.dynamodb()), id(shared.kms()), id(shared.functions())

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(begin, range(8)))) == 1
