"""The keys of a running stack are replaced: sessions, readers and refreshes go on, and then the old keys may go."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from consentry import Vault
from consentry.envelope import key_arn_of
from dev.ready import Ready
from dev.running import started
from tests.support.person import RETURN_URL, Company, consent_url, query_of

pytestmark = pytest.mark.stack
OPTIONS = {
    "HTTPS": "1", "TICK": "3600", "ACCESS_TTL": "600", "ROTATION": "rotates", "GRACE": "0", "RETURN_URLS": RETURN_URL,
}  # fmt: skip
HUBSPOT = "hubspot-ticketing"
TENANTS = [f"tenant-{number}" for number in range(4)]
NOTHING = {"escrow": False, "flows": 0, "until": None}


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with started(OPTIONS) as ready:
        yield Company(ready, ready.authorization_server_url or "")


def deploy(company: Company, values: Mapping[str, str]) -> None:
    """Give every function its variables with other values, as a deployment does."""
    functions = company.client("lambda")
    for name in company.ready.functions.values():
        told = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        variables = {key: values.get(value, value) for key, value in told.items()}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def exchanged(ready: Ready) -> dict[str, str]:
    """What was the second key seals, and the first one is opened as well."""
    return {
        ready.keys["access"]: ready.keys["other_access"], ready.keys["other_access"]: ready.keys["access"],
        ready.keys["grant"]: ready.keys["other_grant"], ready.keys["other_grant"]: ready.keys["grant"],
    }  # fmt: skip


def keys_of(company: Company) -> set[str]:
    """Return every key that anything in the two tables is under."""
    rows = []
    for table in ("connections", "pending"):
        rows += company.client("dynamodb").scan(TableName=company.ready.tables[table])["Items"]
    sealed = ("access_token", "grant", "verifier", "code")
    return {key_arn_of(bytes(row[name]["B"])) for row in rows for name in sealed if name in row}


def age(company: Company, tenant: str) -> None:
    """Let a token be old enough to be refreshed on demand."""
    company.client("dynamodb").update_item(
        TableName=company.ready.tables["connections"],
        Key={"tenant": {"S": tenant}, "connection": {"S": f"{HUBSPOT}#default"}},
        UpdateExpression="SET refreshed_at = :at",
        ExpressionAttributeValues={":at": {"N": str(int(time.time()) - 300)}},
    )


def refreshed(company: Company, tenant: str) -> str:
    generation = company.consentry.token(tenant, HUBSPOT).generation
    age(company, tenant)
    wish = {"tenant": tenant, "connection": f"{HUBSPOT}#default", "rejected_generation": generation}
    return str(company.invoke("RefreshFunction", wish)["outcome"])


class Reader(threading.Thread):
    """Reads every tenant's token without a memory until it is told to stop; remembers what failed."""

    def __init__(self, vault: Vault) -> None:
        super().__init__(daemon=True)
        self._vault = vault
        self.done = threading.Event()
        self.failed: list[str] = []
        self.read = 0

    def run(self) -> None:
        while not self.done.is_set():
            for tenant in TENANTS:
                try:
                    token = self._vault._source.open(*self._found(tenant))
                    self.read += bool(token)
                except Exception as error:  # noqa: BLE001 - whatever it is, a read has failed
                    self.failed.append(f"{type(error).__name__}: {error}")

    def _found(self, tenant: str) -> Any:  # noqa: ANN401 - a key and its record
        from consentry.model import ConnectionKey  # noqa: PLC0415 - used here alone

        key = ConnectionKey(tenant, HUBSPOT)
        record = self._vault._source.read(key, consistent=True)
        assert record
        return key, record


def test_the_keys_are_replaced_while_everything_goes_on(company: Company) -> None:
    ready: Ready = company.ready
    first = {ready.keys["access"], ready.keys["grant"]}
    second = {ready.keys["other_access"], ready.keys["other_grant"]}
    for tenant in TENANTS:
        company.connect(tenant, HUBSPOT)
    begun = company.begin("parked", HUBSPOT)
    parked = query_of(company.get(company.consents(consent_url(begun))))
    started_only = company.consents(consent_url(company.begin("begun", HUBSPOT)))
    assert keys_of(company) == first
    with company.vault() as vault:
        reader = Reader(vault)
        reader.start()
        deploy(company, exchanged(ready))
        look = company.invoke("RekeyFunction", {"operation": "replace", "dry_run": True})
        assert (look["left"], look["waiting"]["flows"]) == (4, 2)
        # what was parked and begun under the first keys is completed after the exchange
        company.consentry.complete("parked", parked["session"], parked["handle"], "u-1")
        returned = query_of(company.get(started_only))
        company.consentry.complete("begun", returned["session"], returned["handle"], "u-1")
        refreshing = threading.Thread(target=lambda: [refreshed(company, tenant) for tenant in TENANTS[:2]])
        refreshing.start()
        counts = [company.invoke("RekeyFunction", {"operation": "replace", "dry_run": False}) for _ in range(2)]
        refreshing.join(60)
        last = company.invoke("RekeyFunction", {"operation": "replace", "dry_run": False})
        reader.done.set()
        reader.join(30)
    assert reader.failed == []
    assert reader.read > len(TENANTS)
    assert sum(each["replaced"] for each in counts) >= 2
    assert {name: last[name] for name in ("seen", "already", "unreadable", "waiting", "next")} == {
        "seen": 6, "already": 6, "unreadable": [], "waiting": NOTHING, "next": None,
    }  # fmt: skip
    assert keys_of(company) <= second
    deploy(company, dict.fromkeys(first, ""))  # nobody knows the first keys any more
    with company.vault() as vault:
        for tenant in (*TENANTS, "parked", "begun"):
            assert vault.token(tenant, HUBSPOT).authorization
            assert refreshed(company, tenant) == "refreshed"
            assert company.consentry.token(tenant, HUBSPOT).generation > 1
