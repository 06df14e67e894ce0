"""`events tail`: what happens is shown in its order, and what cannot be read hides nothing."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consentry_cli.aws import plainly
from consentry_cli.failures import Exit, Failure
from tests.support.streams import row, stream_record
from tests.unit.cli.conftest import Operator

FLAGGED = {"status": "reauth_required", "status_cause": "grant_revoked"}
MOMENT = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def changed(before: Mapping[str, object] | None, after: Mapping[str, object] | None) -> dict[str, Any]:
    """Return a change as boto3 hands it over: its time is a datetime."""
    record = stream_record(before, after)
    return {**record, "dynamodb": {**record["dynamodb"], "ApproximateCreationDateTime": MOMENT}}


class Shards:
    """The streams of both tables: shards by name, each a list of answers to GetRecords; None ends one."""

    def __init__(self, operator: Operator, shards: dict[str, list[list[dict[str, Any]] | None]]) -> None:
        self.shards = shards
        self.begun: list[tuple[str, str]] = []
        self.open = ["first"]
        self.pauses = 0
        self._call = operator.aws.call
        operator.aws.call = self.call  # type: ignore[method-assign]  # in place of moto's, whose shards never close

    def call(self, service: str, operation: str, **asked: Any) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's shape
        match service, operation:
            case "dynamodb", "describe_table":
                return {"Table": {"LatestStreamArn": asked["TableName"]}}
            case "dynamodbstreams", "describe_stream":
                known = self.open if "Connections" in asked["StreamArn"] else []
                return {"StreamDescription": {"Shards": [{"ShardId": shard} for shard in known]}}
            case "dynamodbstreams", "get_shard_iterator":
                self.begun.append((asked["ShardId"], asked["ShardIteratorType"]))
                return {"ShardIterator": asked["ShardId"]}
            case "dynamodbstreams", "get_records":
                return self.records(asked["ShardIterator"])
        return self._call(service, operation, **asked)

    def records(self, shard: str) -> Mapping[str, Any]:
        answers = self.shards[shard]
        answer = answers.pop(0) if answers else []
        if answer is None:
            self.open = ["second"]
            return {"Records": []}
        return {"Records": answer, "NextShardIterator": shard}

    def pause(self, _seconds: float) -> None:
        self.pauses += 1
        if self.pauses > 3:
            raise KeyboardInterrupt


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def tailed(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, shards: dict[str, list[list[dict[str, Any]] | None]]
) -> Shards:
    stream = Shards(operator, shards)
    monkeypatch.setattr("consentry_cli.events.time.sleep", stream.pause)
    return stream


def test_what_happens_is_told_in_its_order(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = row(), row(**FLAGGED)
    stream = tailed(operator, monkeypatch, {"first": [[changed(None, before)], [], [changed(before, after)]]})
    told = operator("events", "tail", "--json", "--count", "2")
    assert told.code == Exit.OK
    assert [each["detail-type"] for each in lines(told.out)] == ["connection.connected", "connection.reauth_required"]
    assert lines(told.out)[1]["detail"]["cause"] == "grant_revoked"
    assert stream.begun == [("first", "LATEST")]


def test_a_person_sees_a_line_for_each(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    tailed(operator, monkeypatch, {"first": [[changed(row(), row(**FLAGGED))]]})
    told = operator("events", "tail", "--count", "1", "--history")
    assert told.out.count("\n") == 1
    assert "2027-01-15 08:00:00Z  connection.reauth_required  acme crm default" in told.out
    assert "cause=grant_revoked" in told.out
    assert "CNRY" not in told.out


def test_only_one_tenant_s_are_shown_where_only_those_are_asked_for(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [changed(None, row(tenant="globex")), changed(None, row())]
    tailed(operator, monkeypatch, {"first": [records]})
    told = operator("events", "tail", "--json", "--tenant", "acme", "--count", "1")
    assert [each["detail"]["tenant"] for each in lines(told.out)] == ["acme"]


def test_a_shard_that_closes_is_followed_from_the_beginning_of_the_next(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = tailed(operator, monkeypatch, {"first": [None], "second": [[changed(None, row())]]})
    assert operator("events", "tail", "--json", "--count", "1").code == Exit.OK
    assert stream.begun == [("first", "LATEST"), ("second", "TRIM_HORIZON")]


def test_a_row_that_somebody_wrote_by_hand_is_named_and_the_others_go_on(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = changed(None, {"tenant": "acme", "connection": "by hand"})
    tailed(operator, monkeypatch, {"first": [[poison, changed(None, row())]]})
    told = operator("events", "tail", "--json", "--count", "1")
    assert (told.code, len(lines(told.out))) == (Exit.OK, 1)
    assert "cannot be read" in told.err


def test_it_goes_on_until_it_is_interrupted(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    tailed(operator, monkeypatch, {"first": []})
    told = operator("events", "tail")
    assert (told.code, told.out, told.err) == (130, "", "\nInterrupted.\n")


def test_a_missing_permission_is_named_as_iam_calls_it() -> None:
    error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "GetRecords")
    with pytest.raises(Failure, match="they lack the permission dynamodb:GetRecords"), plainly("dynamodbstreams"):
        raise error
