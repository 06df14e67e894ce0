"""Which signatures the gateway accepts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dev.signatures import SignedRequest, Verifier

VERIFIER = Verifier(access_key_id="ID", secret_access_key="secret", region="eu-central-1")


def signed(service: str = "execute-api", region: str = "eu-central-1", *, state_hash: str = "") -> SignedRequest:
    headers = {"X-Amz-Content-SHA256": state_hash} if state_hash else {}
    request = AWSRequest("PUT", "http://localhost:1/a%20b/c?y=2&x=1", headers, b"body")
    SigV4Auth(Credentials("ID", "secret"), service, region).add_auth(request)
    found = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest(
        method="PUT", target="/a%20b/c?y=2&x=1", headers={**found, "host": "localhost:1"}, body=b"body"
    )


def test_a_request_signed_now_is_accepted() -> None:
    assert VERIFIER.accepts(signed(), datetime.now(UTC))


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_more_than_five_minutes_off_is_refused(minutes: int) -> None:
    assert not VERIFIER.accepts(signed(), datetime.now(UTC) + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "POST"},
        {"target": "/a%20b/d?y=2&x=1"},
        {"target": "/a%20b/c?y=2&x=3"},
        {"body": b"other"},
        {"headers": {}},
    ],
)
def test_a_request_changed_after_signing_is_refused(change: dict[str, object]) -> None:
    assert not VERIFIER.accepts(replace(signed(), **change), datetime.now(UTC))  # type: ignore[arg-type] # any field


def test_a_signature_for_another_service_or_region_is_refused() -> None:
    now = datetime.now(UTC)
    assert not VERIFIER.accepts(signed(service="lambda"), now)
    assert not VERIFIER.accepts(signed(region="us-east-1"), now)


@pytest.mark.parametrize("stated", ["UNSIGNED-PAYLOAD", "0" * 64])
def test_a_stated_hash_that_is_not_the_bodys_is_refused(stated: str) -> None:
    assert not VERIFIER.accepts(signed(state_hash=stated), datetime.now(UTC))


def test_a_signature_of_another_key_is_refused() -> None:
    other = Verifier(access_key_id="ID", secret_access_key="other", region="eu-central-1")
    assert not other.accepts(signed(), datetime.now(UTC))
