"""One operation after the other, each once for warming up and once for counting its calls.

The order is that in which the AWS endpoint saw the calls; within one operation each follows the other. What a process
keeps is left out: the MAC key (read once), and an integration's health (read once in ten seconds).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dev.recording import Call
from tests.infrastructure.iam.names import STACK
from tests.stack.calls import Calls
from tests.stack.second_keys import SecondKeys
from tests.stack.tour import HOTJAR, TICKETING, Tour
from tests.support.person import Company, consent_url, disconnect_url, form_url, query_of

UNSHARED: Final = "globex"
KEPT: Final = {
    ("RefreshFunction", "dynamodb:GetItem IntegrationsTable"),
    *(
        (name, "secretsmanager:GetSecretValue MacSecret")
        for name in (
            "AuthorizeFunction",
            "CallbackFunction",
            "ConnectFunction",
            "CredentialsFunction",
            "ManageFunction",
        )
    ),
}


def shown(call: Call) -> str:
    """Return a call in short: its operation, and the logical id of what it is about."""
    if "/integrations/" in call.resource:
        return f"{call.operation} client secret"
    if ":event-bus/" in call.resource:
        return f"{call.operation} EventBus"
    resource = call.resource.partition(f"{STACK}-")[2].removesuffix("-local0")
    return f"{call.operation} {resource}"


@dataclass
class Operations:
    company: Company
    calls: Calls
    tour: Tour

    def measure(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for _ in range(2):  # the second time counts: processes are warm, and the connection exists
            found |= self._confirmed() | self._direct() | self._managed() | self._pages()
            found |= self._refreshed() | self._read()
            found |= self._removed() | self._told() | self._rekeyed()
        return found

    def _of(self, function: str, act: Callable[[], Any]) -> tuple[list[str], Any]:
        with self.calls.during() as made:
            answer = act()
        lines = [shown(call) for call in made if call.caller == function]
        return [line for line in lines if (function, line) not in KEPT], answer

    def _confirmed(self) -> dict[str, list[str]]:
        company = self.company
        session, begun = self._of("ManageFunction", lambda: company.begin("counted", TICKETING))
        authorize, callback = self._of("AuthorizeFunction", lambda: company.consents(consent_url(begun)))
        park, answer = self._of("CallbackFunction", lambda: query_of(company.get(callback)))
        complete, _ = self._of(
            "ManageFunction",
            lambda: company.consentry.complete("counted", answer["session"], answer["handle"], "u-1"),
        )
        return {"session": session, "authorize": authorize, "callback_confirm": park, "complete": complete}

    def _direct(self) -> dict[str, list[str]]:
        begun = self.company.begin("direct", TICKETING, completion="direct", return_url="")
        callback = self.company.consents(consent_url(begun))
        made, page = self._of("CallbackFunction", lambda: self.company.get(callback))
        assert page.status_code == 200
        return {"callback_direct": made}

    def _managed(self) -> dict[str, list[str]]:
        api = self.company.consentry
        asked: Mapping[str, Callable[[], Any]] = {
            "credentials": lambda: api.put_credentials("counted", "hotjar", HOTJAR, ""),
            "list": lambda: api.connections("counted"),
            "flagged": lambda: api._call("GET", "/connections?status=reauth_required"),
            "connection": lambda: api._call("GET", f"/tenants/counted/connections/{TICKETING}/default"),
            "token": lambda: api.token("counted", TICKETING),
            "integrations": api.integrations,
        }
        return {name: self._of("ManageFunction", act)[0] for name, act in asked.items()}

    def _pages(self) -> dict[str, list[str]]:
        company = self.company
        begun = company.begin("counted", TICKETING, integrations=[TICKETING, "hotjar"])
        url = form_url(begun, "hotjar")
        page, _ = self._of("ConnectFunction", lambda: company.get(begun["connect_url"]))
        form, _ = self._of("CredentialsFunction", lambda: company.get(url))
        both, answer = self._of("CredentialsFunction", lambda: company.enters(url, HOTJAR))
        assert answer.status_code == 303, answer.text
        return {"connect": page, "form": form, "entered": both[len(form) :]}

    def _refreshed(self) -> dict[str, list[str]]:
        def due() -> None:
            before = self.tour.generation("counted", TICKETING)
            self.tour.make_due("counted", TICKETING)
            self.tour.until(lambda: self.tour.generation("counted", TICKETING) > before)

        return {"refresh": self._of("RefreshFunction", due)[0]}

    def _removed(self) -> dict[str, list[str]]:
        """Of an account that nobody else has connected, so that its grant may be revoked."""
        path = f"/tenants/leaving/connections/{TICKETING}/default"
        self.company.connect("leaving", TICKETING, account=UNSHARED)
        disconnect, _ = self._of("ManageFunction", lambda: self.company.consentry._call("DELETE", path))
        erase, _ = self._of("RefreshFunction", lambda: self.tour.sees_gone("leaving", TICKETING))
        return {"disconnect": disconnect, "erase": erase} | self._ended()

    def _ended(self) -> dict[str, list[str]]:
        """The same, by the person herself on the page."""
        company = self.company
        company.connect("leaving", TICKETING, account=UNSHARED)
        url = disconnect_url(company.begin("leaving", TICKETING), TICKETING)
        question, _ = self._of("CredentialsFunction", lambda: company.get(url))
        both, answer = self._of("CredentialsFunction", lambda: company.ends(url))
        assert answer.status_code == 303, answer.text
        self.tour.sees_gone("leaving", TICKETING)
        return {"question": question, "ended": both[len(question) :]}

    def _told(self) -> dict[str, list[str]]:
        """What happened before is told once the first of these is: a stream has an order."""

        def connects(tenant: str) -> None:
            before = self.tour.told("connection.connected", tenant)
            self.company.connect(tenant, TICKETING)
            self.tour.until(lambda: self.tour.told("connection.connected", tenant) > before)

        connects("quiet")
        return {"event": self._of("EventsFunction", lambda: connects("told"))[0]}

    def _rekeyed(self) -> dict[str, list[str]]:
        """One record has to be replaced, and the others of the page are looked at."""
        SecondKeys(self.company).connection("counted", TICKETING)
        wish = {"operation": "replace", "dry_run": False}
        made, answer = self._of("RekeyFunction", lambda: self.company.invoke("RekeyFunction", wish))
        assert (answer["replaced"], answer["left"]) == (1, 0), answer
        return {"rekey": made}

    def _read(self) -> dict[str, list[str]]:
        with self.tour.consumer("ReadPolicy").vault() as vault:
            miss, _ = self._of("ReadPolicy", lambda: vault.token("counted", TICKETING))
            hit, _ = self._of("ReadPolicy", lambda: vault.token("counted", TICKETING))
        with self.tour.consumer("ListPolicy").vault() as vault:
            listed, _ = self._of("ListPolicy", lambda: vault.connections("counted"))
        return {"read_miss": miss, "read_hit": hit, "read_list": listed}
