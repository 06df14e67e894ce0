"""A tenant's connections as a consumer lists them: what is asked for, what is shown, and what a bad row does."""

import logging
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError

from consentry import ListedConnection, Vault
from consentry.errors import InvalidRequest, Misconfigured, TokenUnavailable, UnreadableRecord
from consentry.listing import LIST_ATTRIBUTES

ROW: dict[str, Any] = {
    "tenant": {"S": "acme"},
    "connection": {"S": "hotjar#default"},
    "v": {"N": "1"},
    "provider": {"S": "hotjar"},
    "status": {"S": "reauth_required"},
    "status_cause": {"S": "credential_rejected"},
    "account": {"S": "14"},
    "scopes": {"L": [{"S": "surveys"}]},
    "metadata": {"M": {"site_id": {"S": "14"}}},
    "lost_scopes": {"L": [{"S": "responses"}]},
    "scopes_reduced_at": {"N": "1799990000"},
    "label": {"S": "Our site"},
    "gen": {"N": "7"},
    "expires_at": {"N": "1800003600"},
    "refreshed_at": {"N": "1800000000"},
    "created_at": {"N": "1790000000"},
}
LISTED = ListedConnection(
    tenant="acme",
    integration="hotjar",
    name="default",
    provider="hotjar",
    status="reauth_required",
    cause="credential_rejected",
    account="14",
    scopes=("surveys",),
    lost_scopes=("responses",),
    scopes_reduced_at=1_799_990_000,
    metadata={"site_id": "14"},
    label="Our site",
    generation=7,
    expires_at=1_800_003_600,
    refreshed_at=1_800_000_000,
    created_at=1_790_000_000,
)


class FakeTable:
    """Answers a Query with the prepared pages, behind what a boto3 Session offers."""

    region_name = "eu-central-1"

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[Mapping[str, Any]] = []
        self.error: Exception | None = None

    def client(self, service: str, *, config: object) -> object:
        assert service == "dynamodb"
        return SimpleNamespace(get_paginator=lambda _operation: SimpleNamespace(paginate=self.paginate))

    def paginate(self, **request: object) -> Iterator[dict[str, Any]]:
        self.asked.append(request)
        if self.error:
            raise self.error
        yield from ({"Items": page} for page in self.pages)

    def vault(self) -> Vault:
        return Vault(table="connections", session=cast("Session", self))


def test_a_connection_is_shown_with_its_state_and_without_a_token() -> None:
    assert list(FakeTable([ROW]).vault().connections("acme")) == [LISTED]


def test_a_tenant_without_connections_has_an_empty_list() -> None:
    assert list(FakeTable([]).vault().connections("acme")) == []


def test_all_pages_are_listed_in_their_order() -> None:
    rows = [{**ROW, "connection": {"S": f"crm{number}#default"}} for number in range(5)]
    listed = FakeTable(rows[:2], [], rows[2:]).vault().connections("acme")
    assert [each.integration for each in listed] == [f"crm{number}" for number in range(5)]


def test_a_list_asks_for_what_the_list_policy_allows() -> None:
    table = FakeTable([ROW])
    table.vault().connections("acme")
    (request,) = table.asked
    names = request["ExpressionAttributeNames"]
    assert tuple(names[part] for part in request["ProjectionExpression"].split(", ")) == LIST_ATTRIBUTES
    assert not {"access_token", "grant"} & set(names.values())
    assert (request["TableName"], request["Select"]) == ("connections", "SPECIFIC_ATTRIBUTES")
    assert request["ExpressionAttributeValues"] == {":tenant": {"S": "acme"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"v": {"N": "2"}},
        {"status": {"NULL": True}},
        {"gen": {"S": "one"}},
        {"scopes": {"S": "x"}},
        {"connection": {"S": "#"}},
    ],
)
def test_a_row_that_cannot_be_read_is_logged_and_hides_no_other(
    caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    caplog.set_level(logging.WARNING)
    assert list(FakeTable([{**ROW, **changes}, ROW]).vault().connections("acme")) == [LISTED]
    assert "could not be listed" in caplog.text


def test_what_the_api_says_in_another_shape_is_refused() -> None:
    with pytest.raises(UnreadableRecord):
        ListedConnection.told({})


def test_a_tenant_that_is_none_is_refused_before_anything_is_asked() -> None:
    table = FakeTable([ROW])
    with pytest.raises(InvalidRequest):
        table.vault().connections("../acme")
    assert table.asked == []


def denied() -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "CNRY-aws"}}, "Query")


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "CNRY-aws"}}, "Query")


@pytest.mark.parametrize(
    ("failing", "expected", "said"),
    [(denied, Misconfigured, "ListPolicyArn"), (throttled, TokenUnavailable, "try again")],
)
def test_a_list_that_is_refused_says_what_to_do(
    failing: Callable[[], ClientError], expected: type[Exception], said: str
) -> None:
    table = FakeTable([ROW])
    table.error = failing()
    with pytest.raises(expected, match=said):
        table.vault().connections("acme")
