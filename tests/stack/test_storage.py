"""What rests in the tables: nothing in clear, and nothing that opens anywhere but in its own row."""

from typing import Any

import pytest

from consentry.errors import UnreadableRecord
from tests.support.person import Company, consent_url, query_of
from tests.support.tables import plain_texts

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
ENVELOPE = b"\x02\x04\x78"  # message format 2, suite 0x0478


@pytest.fixture(scope="module")
def connected(company: Company) -> Company:
    company.connect("rest-a", TICKETING)
    company.connect("rest-b", TICKETING)
    inputs = {"client_id": "hotjar-demo-customer", "client_secret": "hotjar-demo-secret"}
    company.consentry.put_credentials("rest-a", "hotjar", inputs, "")
    return company


def rows(company: Company) -> list[dict[str, Any]]:
    client = company.client("dynamodb")
    return [row for table in company.ready.tables.values() for row in client.scan(TableName=table)["Items"]]


def test_tables_hold_no_secret_in_clear(connected: Company) -> None:
    begun = connected.begin("rest-a", TICKETING)
    callback = connected.consents(consent_url(begun))
    handle = query_of(connected.get(callback))["handle"]
    ticket = consent_url(begun).partition("session=")[2]
    code = callback.partition("code=")[2].partition("&")[0]
    state = callback.partition("state=")[2].partition("&")[0]
    token = connected.consentry.token("rest-a", TICKETING).access_token.reveal()
    texts = [text for row in rows(connected) for text in plain_texts(row)]
    assert texts
    for secret in (token, handle, ticket, code, state, "hotjar-demo-secret"):
        assert secret
        assert not [text for text in texts if secret in text]


def test_every_token_and_grant_is_an_envelope(connected: Company) -> None:
    found = [row[name]["B"] for row in rows(connected) for name in ("access_token", "grant", "verifier") if name in row]
    assert len(found) >= 6
    assert {bytes(each)[:3] for each in found} == {ENVELOPE}


def test_a_ciphertext_that_was_copied_to_another_row_does_not_open(connected: Company) -> None:
    taken = connected.record("rest-a", TICKETING)
    assert taken is not None
    connected.client("dynamodb").update_item(
        TableName=connected.ready.tables["connections"],
        Key={"tenant": {"S": "rest-b"}, "connection": {"S": f"{TICKETING}#default"}},
        UpdateExpression="SET access_token = :t, expires_at = :e, refreshed_at = :r",
        ExpressionAttributeValues={":t": taken["access_token"], ":e": taken["expires_at"], ":r": taken["refreshed_at"]},
    )
    with connected.vault() as vault:
        assert vault.token("rest-a", TICKETING).access_token.reveal()
        with pytest.raises(UnreadableRecord):
            vault.token("rest-b", TICKETING)
