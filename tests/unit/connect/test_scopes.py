"""Scopes that a connection had and has no more (S-43): kept with the record, told, and cleared when regained."""

from dataclasses import replace
from typing import Any

import pytest

from consentry.aws.dynamodb import to_item
from consentry.model import Connection, ConnectionKey, Grant, Status
from consentry.scopes import scope_attributes
from tests.support.catalogue import FakeCatalogue
from tests.support.deployment import Browser, Deployment, body_of, query_of
from tests.support.dynamo import MemoryDynamo
from tests.support.logs import Log
from tests.support.provider import tokens
from tests.support.tables import create_tables, ignore, unavailable
from tests.support.vaulted import Vaulted

REQUIRED, OPTIONAL = ["contacts"], ["deals", "notes"]


@pytest.fixture
def deployment(log_lines: Log) -> Deployment:
    """In memory; the integration asks for one scope, and for two more that may be missing."""
    client = MemoryDynamo().as_client
    names = create_tables(client)
    made = Deployment(client, names, FakeCatalogue())
    register(made, REQUIRED, OPTIONAL)
    return made


def register(deployment: Deployment, required: list[str], optional: list[str]) -> None:
    row = {"integration": "crm", "provider": "crm", "client_id": "crm-client"}
    item = to_item({**row, "scopes": required, "optional_scopes": optional})
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=item)


def connect(deployment: Deployment, granted: str | None) -> dict[str, Any]:
    """Consent; the answer names the granted scopes, or says nothing about them. Return what is shown."""
    deployment.provider.then(tokens(scope=granted))
    back = query_of(Browser(deployment).consents(deployment.created()))
    shown: dict[str, Any] = body_of(deployment.completed(back))["connection"]
    return shown


def told(shown: dict[str, Any]) -> tuple[str, list[str], int | None]:
    return shown["status"], shown["lost_scopes"], shown["scopes_reduced_at"]


def test_a_first_connection_has_lost_nothing(deployment: Deployment, log_lines: Log) -> None:
    """S-43: an optional scope that was never there is not missed."""
    assert told(connect(deployment, "contacts")) == ("active", [], None)
    assert log_lines.named("scopes lost") == []


def test_a_reconnect_with_less_says_what_was_lost_and_since_when(
    deployment: Deployment, log_lines: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    """S-43."""
    connect(deployment, "contacts deals notes")
    deployment.clock.advance(100)
    now = deployment.clock.now()
    assert told(connect(deployment, "contacts notes")) == ("active", ["deals"], now)
    (line,) = log_lines.named("scopes lost")
    assert (line["outcome"], line["scopes"], line["connection"]) == ("scope_reduced", "deals", "crm#default")
    assert '"outcome":"scope_reduced","Scopes":[1.0]' in capfd.readouterr().out
    record = deployment.connection()
    assert record is not None
    assert (record.lost_scopes, record.scopes_reduced_at) == (("deals",), now)


def test_the_same_loss_keeps_its_day_and_is_told_once(deployment: Deployment, log_lines: Log) -> None:
    connect(deployment, "contacts deals notes")
    first = told(connect(deployment, "contacts notes"))
    deployment.clock.advance(100)
    assert told(connect(deployment, "contacts notes")) == first
    assert len(log_lines.named("scopes lost")) == 1
    further = connect(deployment, "contacts")
    assert told(further) == ("active", ["deals", "notes"], deployment.clock.now())
    assert len(log_lines.named("scopes lost")) == 2


@pytest.mark.parametrize("granted", ["contacts deals notes", "contacts deals notes more", None])
def test_more_scopes_clear_the_loss(deployment: Deployment, granted: str | None) -> None:
    """An answer that says nothing grants what was asked for (RFC 6749 section 5.1)."""
    connect(deployment, "contacts deals notes")
    connect(deployment, "contacts")
    assert told(connect(deployment, granted)) == ("active", [], None)


def test_a_required_scope_that_is_lost_makes_the_connection_insufficient_as_well(deployment: Deployment) -> None:
    """S-43."""
    connect(deployment, "contacts deals")
    assert told(connect(deployment, "deals")) == ("scope_insufficient", ["contacts"], deployment.clock.now())


def test_what_is_no_longer_asked_for_is_not_lost(deployment: Deployment) -> None:
    connect(deployment, "contacts deals notes")
    register(deployment, REQUIRED, ["notes"])
    assert told(connect(deployment, "contacts notes")) == ("active", [], None)
    register(deployment, REQUIRED, [])
    assert told(connect(deployment, "contacts")) == ("active", [], None)


def test_only_configured_scopes_are_asked_for(deployment: Deployment) -> None:
    """S-43."""
    location = Browser(deployment).departs(deployment.created())
    assert "scope=contacts&" in f"{location}&"


def refreshed(deployment: Deployment, **answer: object) -> Connection:
    """A refresh whose answer names scopes, or does not."""
    vaulted = Vaulted(deployment)
    if deployment.connection() is None:
        vaulted.connect()
    deployment.clock.advance(1200)
    vaulted.provider = deployment.provider
    deployment.provider.then(tokens(refresh_token=f"CNRY-refresh-{deployment.clock.now()}", **answer))
    assert vaulted.refresh(vaulted.record.gen).outcome == "refreshed"
    return vaulted.record


def test_a_refresh_that_names_fewer_scopes_loses_them_and_stays_active(deployment: Deployment, log_lines: Log) -> None:
    """S-43: the token is as good as it is, and who can mend it is the customer."""
    connect(deployment, "contacts deals")
    record = refreshed(deployment, scope="contacts")
    now = deployment.clock.now()
    assert (record.status, record.scopes) == (Status.ACTIVE, ("contacts",))
    assert (record.lost_scopes, record.scopes_reduced_at) == (("deals",), now)
    assert log_lines.named("scopes lost")[0]["scopes"] == "deals"
    assert record.due_at is not None


def test_a_refresh_that_says_nothing_about_scopes_changes_nothing_of_them(deployment: Deployment) -> None:
    connect(deployment, "contacts deals")
    before = refreshed(deployment, scope="contacts")
    after = refreshed(deployment)
    assert (after.scopes, after.lost_scopes) == (("contacts",), ("deals",))
    assert after.scopes_reduced_at == before.scopes_reduced_at


def test_a_refresh_that_names_them_again_clears_the_loss(deployment: Deployment) -> None:
    connect(deployment, "contacts deals")
    refreshed(deployment, scope="contacts")
    record = refreshed(deployment, scope="deals contacts")
    assert (record.lost_scopes, record.scopes_reduced_at) == ((), 0)


RECORD = Connection(
    key=ConnectionKey("acme", "crm"),
    provider="crm",
    grant_type=Grant.AUTHORIZATION_CODE,
    status=Status.ACTIVE,
    gen=1,
    epoch=1,
    scopes=("a", "b"),
    lost_scopes=("c",),
    scopes_reduced_at=5,
)


def test_what_was_lost_before_is_missed_until_it_comes_back() -> None:
    assert scope_attributes(RECORD, ["a", "b"], now=9) == ({"lost_scopes": ["c"], "scopes_reduced_at": 5}, ())
    assert scope_attributes(RECORD, ["a"], now=9) == ({"lost_scopes": ["b", "c"], "scopes_reduced_at": 9}, ())
    assert scope_attributes(RECORD, ["a", "b", "c"], now=9) == ({}, ("lost_scopes", "scopes_reduced_at"))
    assert scope_attributes(None, ["a"], now=9) == ({}, ())
    assert scope_attributes(replace(RECORD, lost_scopes=()), ["a", "b"], now=9) == ({}, ())
    assert scope_attributes(RECORD, [], now=9, wanted=["a"])[0]["lost_scopes"] == ["a"]


@pytest.mark.parametrize("granted", ["contacts", "contacts deals", None])
def test_what_a_refresh_says_of_scopes_comes_back_from_escrow(deployment: Deployment, granted: str | None) -> None:
    """A message that could not be read would be dropped, and a rotated token with it."""
    connect(deployment, "contacts deals")
    vaulted = Vaulted(deployment)
    deployment.clock.advance(1200)
    deployment.provider.then(tokens(refresh_token="CNRY-refresh-next", scope=granted))

    def away(operation: str) -> None:
        if operation == "update_item" and deployment.provider.requests[1:]:
            raise unavailable(operation)

    deployment.ports.before = away
    assert vaulted.refresh(vaulted.record.gen).outcome == "escrowed"
    deployment.ports.before = ignore
    (message, *_) = vaulted.escrow.messages
    assert deployment.connections.restore(vaulted.escrow.read(message)) == "committed"
    record = deployment.connection()
    assert record is not None
    assert record.lost_scopes == (("deals",) if granted == "contacts" else ())
    assert vaulted.refresh_token == "CNRY-refresh-next"
