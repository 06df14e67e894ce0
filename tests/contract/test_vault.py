"""A vault reading a record from moto's DynamoDB and KMS in this process, through boto3's own clients."""

import os
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from consentry import NotConnected, Vault
from consentry.aws.keys import KmsEnvelopes
from consentry.errors import Misconfigured, UnreadableRecord
from consentry.model import ConnectionKey, Field, Secret

REGION = "eu-central-1"
NOW = 1_800_000_000
TOKEN = "CNRY-access-1c9e7f305ab24d68"
KEY = ConnectionKey("acme", "hubspot")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("CONSENTRY_CONNECTIONS_TABLE", "connections")
    monkeypatch.delenv("CONSENTRY_ACCESS_KEY", raising=False)
    with mock_aws():
        aws = boto3.Session(region_name=REGION)
        aws.client("dynamodb").create_table(
            TableName="connections",
            KeySchema=[
                {"AttributeName": "tenant", "KeyType": "HASH"},
                {"AttributeName": "connection", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "tenant", "AttributeType": "S"},
                {"AttributeName": "connection", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield aws


def store(aws: boto3.Session, *, under: ConnectionKey = KEY) -> str:
    """Write a record of KEY whose token is sealed for `under`; return the key's ARN."""
    kms = aws.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    envelopes = KmsEnvelopes(kms, keys={Field.ACCESS_TOKEN: arn}, randomness=os.urandom)
    sealed = envelopes.sealing_key(under.encryption_context(Field.ACCESS_TOKEN)).seal(Secret(TOKEN))
    aws.resource("dynamodb").Table("connections").put_item(
        Item={
            "tenant": KEY.tenant,
            "connection": KEY.sort_key,
            "v": 1,
            "status": "active",
            "gen": 3,
            "access_token": sealed,
            "token_type": "bearer",
            "expires_at": NOW + 1800,
            "refreshed_at": NOW,
            "scopes": ["oauth", "tickets"],
            "metadata": {"hub_id": 4242},
            "account": "4242",
            "label": "not for readers",
        }
    )
    return arn


def test_a_stored_token_is_read(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = store(session)
    for configured in ("", arn):
        monkeypatch.setenv("CONSENTRY_ACCESS_KEY", configured)
        token = Vault(session=session, clock=lambda: NOW).token("acme", "hubspot")
        assert token.access_token.reveal() == TOKEN
        assert (token.generation, token.scopes, dict(token.metadata)) == (3, ("oauth", "tickets"), {"hub_id": 4242})


def test_a_token_of_another_tenant_in_this_row_is_not_read(session: boto3.Session) -> None:
    store(session, under=ConnectionKey("globex", "hubspot"))
    with pytest.raises(UnreadableRecord):
        Vault(session=session, clock=lambda: NOW).token("acme", "hubspot")


def test_what_is_not_there_is_told_apart(session: boto3.Session) -> None:
    with pytest.raises(NotConnected):
        Vault(session=session).token("acme", "hubspot")
    with pytest.raises(Misconfigured) as caught:
        Vault(session=session, table="no-such-table").token("acme", "hubspot")
    assert "dynamodb:GetItem" in str(caught.value)
