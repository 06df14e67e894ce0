"""Once through everything that the functions do, so that every call they may make is made.

What takes days or a broken provider in the field is brought about by hand here: rows are made due, doubtful or of
another epoch, and services are taken away.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from consentry.transfer.sealing import PrivateKey
from dev.running import events, taken_away, tick
from tests.stack.calls import Calls, Consumer
from tests.stack.second_keys import SecondKeys
from tests.support.person import RETURN_URL, Company, consent_url, query_of

TICKETING: Final = "hubspot-ticketing"
HUBSPOT: Final = "hubspot"
HOTJAR: Final = {"client_id": "hotjar-demo-customer", "client_secret": "hotjar-demo-secret", "site_id": "14"}
HOTMART: Final = {
    "client_id": "hotmart-demo-customer",
    "client_secret": "hotmart-demo-secret",
    "basic_token": "hotmart-demo-basic",
}
PATIENCE_SECONDS: Final = 45


@dataclass
class Tour:
    """`company` has the stack to itself: integrations are paused and rows are changed by hand."""

    company: Company
    calls: Calls
    consumers: dict[str, Consumer] = field(default_factory=dict)

    def walk(self) -> None:
        for step in (
            self.consents, self.manages, self.reads, self.refreshes_on_demand, self.refreshes_on_schedule,
            self.fails, self.doubts, self.escrows, self.maintains, self.moves, self.consumes, self.disconnects,
            self.opens_with_second_keys, self.replaces_keys, self.tells,
        ):  # fmt: skip
            step()

    def consents(self) -> None:
        self.company.connect("acme", TICKETING)
        self.company.connect("acme", TICKETING)  # again: the account is compared with the one on record
        for _ in range(2):
            begun = self.company.begin("direct", HUBSPOT, completion="direct", return_url="")
            assert self.company.get(self.company.consents(consent_url(begun))).status_code == 200
        self.company.get(f"{self.company.ready.base_url}/health")

    def manages(self) -> None:
        vault = self.company.consentry
        vault.put_credentials("acme", "hotjar", HOTJAR, "Our site")
        vault.put_credentials("acme", "hotmart", HOTMART, "Our shop")
        assert vault.integrations()
        assert vault.connections("acme")
        assert vault._call("GET", f"/tenants/acme/connections/{TICKETING}/default")
        assert vault.token("acme", TICKETING).generation

    def reads(self) -> None:
        for function, wanted in (
            ("TicketsFunction", "tickets"),
            ("SurveysFunction", "surveys"),
            ("SalesFunction", "sales"),
        ):
            read = self.company.invoke(function, {"tenant": "acme", "limit": 10})
            assert len(read[wanted]) > 10, read

    def refreshes_on_demand(self) -> None:
        generation = self.company.consentry.token("acme", TICKETING).generation
        self.age("acme", TICKETING)
        self.company.consentry.refresh("acme", TICKETING, generation)
        self.age("direct", HUBSPOT)
        self.company.control("expire_access_tokens", system="hubspot")
        read = self.company.invoke("TicketsFunction", {"tenant": "direct", "integration": HUBSPOT, "limit": 50})
        assert "tickets" in read or read["error"] == "forbidden", read

    def refreshes_on_schedule(self) -> None:
        self._limit(TICKETING)
        before = self.generation("acme", TICKETING)
        self.make_due("acme", TICKETING)
        self.until(lambda: self.generation("acme", TICKETING) > before)

    def fails(self) -> None:
        """A provider in trouble, and one that asks for patience, by a worker that remembers neither."""
        self.company.control("faults", endpoint="token", kind="status", status=503, count=1)
        self.make_due("direct", HUBSPOT)
        self.until(lambda: bool(self._row("direct", HUBSPOT).get("last_error")))
        # an unknown provider: nothing is sent, and the record waits
        self._set("direct", HUBSPOT, provider={"S": "unknown"})
        self.make_due("direct", HUBSPOT)
        self.until(lambda: "not_attempted" in self._row("direct", HUBSPOT)["last_error"]["S"])

    def doubts(self) -> None:
        """A worker that died in the middle long ago; its doubt ends in a question to the customer."""
        self.company.connect("doubtful", TICKETING)
        gen = self._row("doubtful", TICKETING)["gen"]
        self.company.control("revoke", system="hubspot")
        self._set("doubtful", TICKETING, pend_gen=gen, pend_at={"N": str(int(time.time()) - 3600)})
        self.make_due("doubtful", TICKETING)
        self.until(lambda: self._row("doubtful", TICKETING)["status"]["S"] == "reauth_required")

    def escrows(self) -> None:
        """The table goes away while the provider answers; what it answered is written all the same."""
        self.company.connect("escrowed", TICKETING)
        self.company.control("faults", system="hubspot", endpoint="token", kind="delay_after", seconds=4, count=1)
        self.make_due("escrowed", TICKETING)
        self.until(lambda: self.company.asked("stats")["faults_left"] == 0)
        before = self.calls.now()
        with taken_away(self.company.ready, "dynamodb", "error"):
            self.until(lambda: ("RefreshFunction", "sqs:SendMessage") in self._asked_since(before))
        self.until(lambda: ("EscrowFunction", "dynamodb:UpdateItem") in self._asked_since(before))

    def maintains(self) -> None:
        self._set("acme", "hotjar", epoch={"N": "0"})
        invoke = self.company.invoke
        reconciled = invoke("MaintainFunction", {"operation": "reconcile", "dry_run": False})
        assert reconciled["adopted"] == 1, reconciled
        cause = self._row("doubtful", TICKETING)["status_cause"]["S"]
        wish = {"operation": "retry", "dry_run": False, "integration": TICKETING, "cause": cause, "since": 1}
        retried = invoke("MaintainFunction", wish)
        assert retried["retried"] == 1, retried
        released = invoke("MaintainFunction", {"operation": "release", "integration": TICKETING, "hours": 1})
        assert released["released_until"], released

    def moves(self) -> None:
        """Connections leave sealed, and one from elsewhere comes in."""
        recipient = str(PrivateKey.generate().recipient)
        wanted = {"operation": "export", "recipient": recipient, "tenant": "acme"}
        left = self.company.invoke("TransferFunction", wanted)
        assert left["rows"], left
        secret = {"grant": {"refresh_token": "CNRY-from-elsewhere"}, "access_token": "CNRY-from-elsewhere-too"}
        row = {"v": 1, "tenant": "imported", "integration": TICKETING, "secret": secret}
        wish = {"operation": "import", "dry_run": False, "rows": [{"id": "0" * 64, "row": row}]}
        assert self.company.invoke("TransferFunction", wish)["rows"] == [{"fate": "new"}]

    def opens_with_second_keys(self) -> None:
        """Whoever opens what the present keys sealed opens what the second ones did, while keys are replaced."""
        second = SecondKeys(self.company)
        begun = self.company.begin("second", TICKETING, completion="direct", return_url="")
        callback = self.company.consents(consent_url(begun))
        second.flow(begun["session"], "second", TICKETING)
        assert self.company.get(callback).status_code == 200
        begun = self.company.begin("second", TICKETING)
        parked = query_of(self.company.get(self.company.consents(consent_url(begun))))
        second.flow(begun["session"], "second", TICKETING)
        self.company.consentry.complete("second", parked["session"], parked["handle"], "u-1")
        second.connection("second", TICKETING)
        assert self.company.consentry.token("second", TICKETING).generation == 2
        recipient = str(PrivateKey.generate().recipient)
        wanted = {"operation": "export", "recipient": recipient, "tenant": "second"}
        assert len(self.company.invoke("TransferFunction", wanted)["rows"]) == 1
        self.age("second", TICKETING)
        wish = {"tenant": "second", "connection": f"{TICKETING}#default", "rejected_generation": 2}
        assert self.company.invoke("RefreshFunction", wish)["outcome"] == "refreshed"
        second.connection("acme", "hotjar")
        for reader in ("ReadPolicy", "ReadTenantPolicy-acme", "ReadTenantPolicy-acme-hotjar"):
            with self.consumer(reader).vault() as vault:
                assert vault.token("acme", "hotjar").authorization
        assert self.company.invoke("SurveysFunction", {"tenant": "acme", "limit": 10})["surveys"]

    def replaces_keys(self) -> None:
        """Two operators at once get into each other's way, and then look again."""
        before = self.calls.now()
        wish = {"operation": "replace", "dry_run": False}

        def collide() -> bool:
            for tenant, integration in (("acme", "hotjar"), ("acme", "hotmart"), ("second", TICKETING)):
                SecondKeys(self.company).connection(tenant, integration)
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda _: self.company.invoke("RekeyFunction", wish), range(3)))
            return ("RekeyFunction", "dynamodb:GetItem") in self._asked_since(before)

        self.until(collide)
        assert self.company.invoke("RekeyFunction", wish)["replaced"] == 0

    def consumes(self) -> None:
        """What the holders of the exported policies do; a tenant's and an integration's by the tags of their role."""
        for connecting in ("ConnectPolicy", "ConnectTenantPolicy-acme"):
            self._connects(self.consumer(connecting))
        for reader in ("ReadPolicy", "ReadTenantPolicy-acme", "ReadTenantPolicy-acme-hotjar"):
            with self.consumer(reader).vault() as vault:
                assert vault.token("acme", "hotjar").authorization
        for lister in ("ListPolicy", "ListTenantPolicy-acme"):
            with self.consumer(lister).vault() as vault:
                assert {each.integration for each in vault.connections("acme")} >= {TICKETING, "hotjar", "hotmart"}
            assert self.consumer(lister).consentry.connections("acme")
        assert self.consumer("ListPolicy").consentry._call("GET", "/connections?status=reauth_required")
        for refreshing in ("RefreshPolicy", "RefreshTenantPolicy-acme"):
            generation = self.generation("acme", "hotjar")
            self.age("acme", "hotjar")
            self.consumer(refreshing).consentry.refresh("acme", "hotjar", generation)
        wish = {"tenant": "acme", "connection": "hotjar#default", "rejected_generation": 1}
        name = self.company.ready.functions["RefreshFunction"]
        self.consumer("RefreshPolicy").client("lambda").invoke(FunctionName=name, Payload=json.dumps(wish))

    def disconnects(self) -> None:
        """A tenant whose account others have connected, too: nothing is revoked, and that is seen in the index."""
        done = self.company.consentry._call("DELETE", "/tenants/escrowed")
        assert done == {"deleting": 1, "skipped": 0, "next": None}, done
        self.sees_gone("escrowed", TICKETING)

    def tells(self) -> None:
        """What happened above was told; a row that somebody wrote by hand is set aside."""
        before = self.calls.now()
        key = {"tenant": {"S": "poison"}, "connection": {"S": "by hand"}}
        self.company.client("dynamodb").put_item(TableName=self.company.ready.tables["connections"], Item=key)
        self.until(lambda: ("EventsFunction", "sqs:SendMessage") in self._asked_since(before))

    def told(self, kind: str, tenant: str) -> int:
        """Return how often an event of a kind came for a tenant."""
        found = [(event["detail-type"], event["detail"].get("tenant")) for event in events(self.company.ready)]
        return found.count((kind, tenant))

    def sees_gone(self, tenant: str, integration: str) -> None:
        """Let the dispatcher look, and wait until the record is erased."""
        tick(self.company.ready)
        self.until(lambda: self.company.record(tenant, integration) is None)

    def _asked_since(self, number: int) -> set[tuple[str, str]]:
        return {(call.caller, call.action) for call in self.calls.since(number)}

    def consumer(self, name: str) -> Consumer:
        """Return somebody who holds the policy that the name begins with, always the same one."""
        return self.consumers.setdefault(name, Consumer(self.company.ready, name))

    def _connects(self, consumer: Consumer) -> None:
        wanted = {"user_ref": "u-1", "integrations": [TICKETING], "return_url": RETURN_URL}
        begun = consumer.consentry.begin("acme", wanted)
        returned = query_of(self.company.get(self.company.consents(consent_url(begun))))
        consumer.consentry.complete("acme", returned["session"], returned["handle"], "u-1")
        consumer.consentry.put_credentials("acme", "hotjar", HOTJAR, "Our site")
        assert consumer.consentry.integrations()

    def generation(self, tenant: str, integration: str) -> int:
        return self._number(tenant, integration, "gen")

    def age(self, tenant: str, integration: str) -> None:
        """Let a token be old enough to be refreshed on demand."""
        self._set(tenant, integration, refreshed_at={"N": str(int(time.time()) - 300)})

    def make_due(self, tenant: str, integration: str) -> None:
        """Make a connection due now, and the dispatcher look."""
        now = {"N": str(int(time.time()) - 1)}
        self._set(tenant, integration, due_at=now, due_shard={"N": "0"}, enqueued_until={"N": "0"})
        tick(self.company.ready)

    def _limit(self, integration: str) -> None:
        self.company.client("dynamodb").update_item(
            TableName=self.company.ready.tables["integrations"],
            Key={"integration": {"S": integration}},
            UpdateExpression="SET refreshes_per_minute = :r",
            ExpressionAttributeValues={":r": {"N": "600"}},
        )

    def _set(self, tenant: str, integration: str, **attributes: dict[str, str]) -> None:
        self.company.client("dynamodb").update_item(
            TableName=self.company.ready.tables["connections"],
            Key={"tenant": {"S": tenant}, "connection": {"S": f"{integration}#default"}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
            ExpressionAttributeNames={f"#{name}": name for name in attributes},
            ExpressionAttributeValues={f":{name}": value for name, value in attributes.items()},
        )

    def _row(self, tenant: str, integration: str) -> dict[str, Any]:
        return self.company.record(tenant, integration) or {}

    def _number(self, tenant: str, integration: str, name: str) -> int:
        return int(self._row(tenant, integration)[name]["N"])

    @staticmethod
    def until(seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not seen():
            assert time.monotonic() < deadline, "it was waited for in vain"
            time.sleep(0.1)
