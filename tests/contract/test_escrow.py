"""The escrow on SQS, and what its messages look like."""

import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from consentry.aws.escrow import SqsEscrow, kept, written
from consentry.errors import InvalidRequest
from consentry.model import ConnectionKey, Status
from consentry.ports import Commit, StorageUnavailable
from tests.support.tables import AWS_ENVIRONMENT, REGION

COMMIT = Commit(
    key=ConnectionKey("acme", "crm"),
    expected_gen=6,
    expected_epoch=1,
    epoch=1,
    commit_id="commit",
    status=Status.ACTIVE,
    set_attributes={
        "access_token": b"\x02\x04\x78\x00", "grant": bytes(range(256)), "expires_at": 5, "scopes": ["a"],
        "metadata": {"B": "text", "hub_id": 7}, "token_type": "Bearer",
    },
    remove=("expires_at",),
)  # fmt: skip


@pytest.fixture
def escrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqsEscrow]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("sqs", region_name=REGION)
        yield SqsEscrow(client, client.create_queue(QueueName="escrow")["QueueUrl"])


def test_what_was_kept_is_read_as_it_was(escrow: SqsEscrow) -> None:
    assert escrow.read(written(COMMIT)) == COMMIT


def test_an_escrow_is_empty_until_something_is_kept_and_while_it_is_in_flight(escrow: SqsEscrow) -> None:
    assert escrow.is_empty()
    escrow.keep(COMMIT)
    assert not escrow.is_empty()
    received = escrow._client.receive_message(QueueUrl=escrow._url)["Messages"]
    assert not escrow.is_empty()
    escrow._client.delete_message(QueueUrl=escrow._url, ReceiptHandle=received[0]["ReceiptHandle"])
    assert escrow.is_empty()
    assert kept(received[0]["Body"]) == COMMIT


def test_a_queue_that_does_not_answer_is_never_called_empty(escrow: SqsEscrow) -> None:
    escrow._url += "-elsewhere"
    assert not escrow.is_empty()
    with pytest.raises(StorageUnavailable):
        escrow.keep(COMMIT)


@pytest.mark.parametrize(
    "change", [("v", 2), ("tenant", "../x"), ("status", "fine"), ("expected_gen", "6"), ("set", [])]
)
def test_a_message_of_another_shape_is_refused(change: tuple[str, object]) -> None:
    name, value = change
    with pytest.raises(InvalidRequest):
        kept(json.dumps({**json.loads(written(COMMIT)), name: value}))
