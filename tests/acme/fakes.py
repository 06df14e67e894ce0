"""Stand-ins for Consentry's API and for the providers' data, and the browser of one visitor."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from werkzeug.test import Client, TestResponse

from dev.acme.consentry_api import Consentry, Json, Token
from dev.acme.readings import Readings, Table
from dev.acme.site import Site, make_app
from dev.acme.trouble import Trouble

URL = "http://localhost:3001"
NOW = 1_800_000_000


def connection(**changes: object) -> Json:
    return {
        "integration": "hubspot-ticketing",
        "name": "default",
        "status": "active",
        "cause": "",
        "account": "62515",
        "label": "",
        "scopes": ["oauth", "tickets"],
        "generation": 7,
        "expires_at": NOW + 42,
        "refreshed_at": NOW - 18,
        **changes,
    }


def _input(name: str) -> Json:
    return {"name": name, "label": name.title(), "secret": name == "client_secret", "required": name != "site_id"}


class FakeConsentry(Consentry):
    """Remembers what it was asked; `trouble` is raised by whatever changes something."""

    def __init__(self) -> None:
        self.existing: dict[str, list[Json]] = {}
        self.begun: list[tuple[str, Mapping[str, object]]] = []
        self.completed: list[tuple[str, str, str, str]] = []
        self.entered: list[tuple[str, str, Mapping[str, str]]] = []
        self.trouble: Trouble | None = None

    def integrations(self) -> Sequence[Json]:
        inputs = {"hubspot-ticketing": [], "hotjar": ["client_id", "client_secret", "site_id"]}
        return [
            {
                "integration": name,
                "name": name.title(),
                "provider": f"local-{name}",
                "inputs": [_input(each) for each in wanted],
            }
            for name, wanted in inputs.items()
        ]

    def connections(self, tenant: str) -> Sequence[Json]:
        return self.existing.get(tenant, [])

    def begin(self, tenant: str, wanted: Mapping[str, object]) -> Json:
        self._fail()
        self.begun.append((tenant, wanted))
        number = len(self.begun)
        base, ticket = "https://localhost:3000", f"session={number}"
        urls = {each: f"{base}/authorize/{each}?{ticket}" for each in cast("list[str]", wanted["integrations"])}
        return {
            "session": f"session-{number}",
            "connect_url": f"{base}/connect?{ticket}",
            "authorize_urls": urls,
        }

    def complete(self, tenant: str, session: str, handle: str, user_ref: str) -> Json:
        self._fail()
        self.completed.append((tenant, session, handle, user_ref))
        return connection()

    def put_credentials(self, tenant: str, integration: str, inputs: Mapping[str, str], label: str) -> Json:
        self._fail()
        self.entered.append((tenant, integration, inputs))
        return connection(integration=integration, account="")

    def token(self, tenant: str, integration: str) -> Token:
        raise NotImplementedError

    def _fail(self) -> None:
        if self.trouble:
            raise self.trouble


class FakeReadings(Readings):
    def __init__(self) -> None:
        self.answer: Table | Trouble = Table(title="Tickets", columns=("Subject",), rows=[("<b>late</b>",)], pages=2)

    def of(self, provider: str) -> Callable[[str, str], Table] | None:
        return self._read if provider == "hubspot-ticketing" else None

    def _read(self, tenant: str, integration: str) -> Table:
        if isinstance(self.answer, Trouble):
            raise self.answer
        return self.answer


class Visitor:
    """A browser at Acme; `post` sends the token that Acme's own forms carry."""

    def __init__(self) -> None:
        self.consentry, self.readings = FakeConsentry(), FakeReadings()
        app = make_app(Site(URL, self.consentry, self.readings, clock=lambda: NOW))
        self.client: Client = app.test_client()

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, base_url=URL)

    def post(self, path: str, **fields: Any) -> TestResponse:  # noqa: ANN401 - form fields as werkzeug takes them
        found = re.search(r'name="form_token" value="([^"]+)"', self.get("/").text)
        assert found
        return self.client.post(path, base_url=URL, data={"form_token": found[1], **fields})

    def home(self) -> str:
        return self.get("/").text
