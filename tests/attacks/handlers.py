"""The public handlers as they are deployed, in this process: their wiring, on tables in memory that count their calls.

Nothing is replaced but what reaches outside: DynamoDB, KMS, Secrets Manager, providers, clock and chance.
"""

import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest

from consentry import bootstrap
from consentry.aws.dynamodb import to_item
from consentry.bootstrap import Wiring
from consentry.config import Environment
from consentry.connect.tickets import Tickets
from consentry.model import ConnectionKey, Secret
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.system import LambdaContext
from consentry.web.response import Response
from tests.support.catalogue import FakeCatalogue
from tests.support.client_secrets import FakeSecrets
from tests.support.clock import FakeClock
from tests.support.deployment import BASE_URL, COMPLETE, CREATE, INTEGRATIONS, OTHER_RETURN_URL, RETURN_URL, body_of
from tests.support.dynamo import MemoryDynamo
from tests.support.envelopes import FakeEnvelopes
from tests.support.events import Event, event, json_event
from tests.support.logs import Log, recorded
from tests.support.provider import answer, tokens
from tests.support.randomness import ScriptedRandomness
from tests.support.tables import TableClient, create_tables, template

MAC_KEY: Final = "CNRY-mac-key-9d2f41"
INVOCATION_SECONDS: Final = 29.0
_RETURN_URLS: Final = f"{RETURN_URL},{OTHER_RETURN_URL}"


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return int(INVOCATION_SECONDS * 1000)


class InvocationClock(FakeClock):
    """Each invocation has all its time before it."""

    def begin(self, _context: LambdaContext) -> None:
        self.remaining = INVOCATION_SECONDS


class WillingProvider:
    """A token endpoint that mints for each code, and for whoever says that the secret is right."""

    def __init__(self) -> None:
        self.asked = 0
        self.form: dict[str, str] = {}
        self.account = 4711

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        self.asked += 1
        self.form = dict(parse_qsl(request.body.decode()))
        good = "code" in self.form or self.form.get("client_secret") == "right"
        return tokens(hub_id=self.account) if good else answer(401, {"error": "no"})


class World:
    """One deployment's handlers and tables; `calls` counts what they asked of AWS, keys included."""

    def __init__(self) -> None:
        self.memory = MemoryDynamo()
        self.tables = create_tables(self.memory.as_client, "attacked")
        for each in INTEGRATIONS:
            self.memory.put_item(TableName=self.tables["IntegrationsTable"], Item=to_item(each))
        self.dynamo = TableClient(self.memory.as_client)
        self.clock = InvocationClock()
        self.envelopes = FakeEnvelopes()
        self.provider = WillingProvider()
        self.tickets = Tickets(Secret(MAC_KEY))
        self.wiring = self._wired()

    def _wired(self) -> Wiring:
        wiring = Wiring(Environment.of(self._variables()))
        wiring._clients["dynamodb"] = self.dynamo.as_client
        vars(wiring).update(
            clock=self.clock,
            randomness=ScriptedRandomness(),
            tickets=self.tickets,
            envelopes=self.envelopes,
            catalogue=FakeCatalogue(),
            secrets=FakeSecrets(),
            provider_client=self.provider,
        )
        return wiring

    def _variables(self) -> dict[str, str]:
        return {
            "CONSENTRY_CONNECTIONS_TABLE": self.tables["ConnectionsTable"],
            "CONSENTRY_PENDING_TABLE": self.tables["PendingTable"],
            "CONSENTRY_INTEGRATIONS_TABLE": self.tables["IntegrationsTable"],
            "CONSENTRY_PUBLIC_BASE_URL": BASE_URL,
            "CONSENTRY_RETURN_URLS": _RETURN_URLS,
            "CONSENTRY_COMPANY_NAME": "Acme",
        }

    def told(self, **variables: str) -> None:
        """Deploy with other values of environment variables."""
        self.wiring.environment = Environment.of(self._variables() | variables)

    @property
    def calls(self) -> int:
        """How often DynamoDB or KMS was asked."""
        return len(self.dynamo.calls) + len(self.envelopes.sealing) + len(self.envelopes.opened)

    def answer(self, request: Event) -> Response:
        """Invoke the function that the template names for the event's route."""
        return handler(request["routeKey"])(request, Context())

    def session(self, *integrations: str, **wanted: object) -> dict[str, Any]:
        body = {"user_ref": "u-1", "integrations": list(integrations), "return_url": RETURN_URL, **wanted}
        created = self.answer(json_event(CREATE, {"tenant": "acme"}, body))
        assert created["statusCode"] == 201, created["body"]
        return body_of(created)

    def completes(self, returned: Mapping[str, str], *, tenant: str = "acme", **changes: str) -> Response:
        """Complete as the company's backend does, with what a browser brought back."""
        body = {"handle": returned["handle"], "user_ref": "u-1", **changes}
        return self.answer(json_event(COMPLETE, {"tenant": tenant, "session": returned["session"]}, body))

    def forget(self, key: ConnectionKey) -> None:
        """Let a connection be gone, as one is that was erased."""
        self.memory.delete_item(
            TableName=self.tables["ConnectionsTable"],
            Key=to_item({"tenant": key.tenant, "connection": key.sort_key}),
        )

    def at(self, url: str, **changes: Any) -> Response:  # noqa: ANN401 - handed on to `event`
        """Open an address of the deployment."""
        return self.answer(opened(url, **changes))


def opened(url: str, **changes: Any) -> Event:  # noqa: ANN401 - handed on to `event`
    """Return the event of an address of the deployment."""
    parts = urlsplit(url)
    kind, _, rest = parts.path.strip("/").partition("/")
    integration, _, action = rest.partition("/")
    route = "/".join(filter(None, (f"ANY /{kind}", "{integration}" if integration else "", action)))
    parameters = {"integration": integration} if integration else {}
    return event(route, **{"parameters": parameters, "query": parts.query, **changes})


@contextmanager
def world() -> Iterator[World]:
    """Put a world behind the handlers of this process."""
    found = World()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap, "_process", lambda _attempts: found.wiring)
        yield found


@contextmanager
def overheard() -> Iterator[tuple[Log, io.StringIO]]:
    """Catch the log, and what is printed (metrics)."""
    with recorded() as log, redirect_stdout(io.StringIO()) as printed:
        yield log, printed


@cache
def routes() -> Mapping[str, str]:
    """Return the folder of each route's function in the template, by route key."""
    resources = template()["Resources"]
    found = {}
    for each in resources.values():
        if each["Type"] == "AWS::ApiGatewayV2::Route":
            integration = each["Properties"]["Target"]["Sub"].removeprefix("integrations/${").removesuffix("}")
            function = resources[integration]["Properties"]["IntegrationUri"]["GetAtt"].removesuffix(".Arn")
            found[each["Properties"]["RouteKey"]] = str(resources[function]["Properties"]["CodeUri"])
    return found


@cache
def handler(route: str) -> Callable[[Event, LambdaContext], Response]:
    """Return the handler that the template puts behind a route."""
    handling: Callable[[Event, LambdaContext], Response]
    handling = importlib.import_module(f"{routes()[route].replace('/', '.')}.app").handler
    return handling
