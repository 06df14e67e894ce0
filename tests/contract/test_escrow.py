"""The escrow on SQS, and what its messages look like."""

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from consentry.aws.escrow import SqsEscrow, kept, written
from consentry.errors import InvalidRequest
from consentry.model import ConnectionKey, Status
from consentry.ports import Commit, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

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
    expected_consent="consent",
)  # fmt: skip


_queues = itertools.count(1)


@pytest.fixture
def escrow(sqs: "SQSClient") -> SqsEscrow:
    return SqsEscrow(sqs, sqs.create_queue(QueueName=f"escrow{next(_queues)}")["QueueUrl"])


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


def test_a_queue_that_does_not_answer_is_never_called_empty(sqs: "SQSClient", escrow: SqsEscrow) -> None:
    elsewhere = SqsEscrow(sqs, f"{escrow._url}-elsewhere")
    assert not elsewhere.is_empty()
    with pytest.raises(StorageUnavailable):
        elsewhere.keep(COMMIT)


def test_what_became_a_dead_letter_still_waits(sqs: "SQSClient", escrow: SqsEscrow) -> None:
    dead_letters = SqsEscrow(sqs, sqs.create_queue(QueueName=f"escrow{next(_queues)}")["QueueUrl"])
    both = SqsEscrow(sqs, escrow._url, dead_letters._url)
    assert both.is_empty()
    dead_letters.keep(COMMIT)
    assert escrow.is_empty()
    assert not both.is_empty()


def test_a_message_from_before_consents_were_written_is_read(escrow: SqsEscrow) -> None:
    older = json.loads(written(COMMIT))
    del older["consent"]
    assert kept(json.dumps(older)) == replace(COMMIT, expected_consent=None)


@pytest.mark.parametrize(
    "change",
    [
        ("v", 2),
        ("tenant", "../x"),
        ("status", "fine"),
        ("expected_gen", "6"),
        ("set", []),
        ("consent", 7),
        ("epoch", 0),
        ("expected_epoch", 2),
    ],
)
def test_a_message_of_another_shape_is_refused(change: tuple[str, object]) -> None:
    name, value = change
    with pytest.raises(InvalidRequest):
        kept(json.dumps({**json.loads(written(COMMIT)), name: value}))
