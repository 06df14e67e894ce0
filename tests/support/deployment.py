"""A whole deployment in memory: real use cases, routes and DynamoDB adapters; fakes for keys, secrets and providers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Barrier, local
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from consentry.aws.connections import DynamoConnections
from consentry.aws.erasures import DynamoErasures
from consentry.aws.grants import DynamoGrants
from consentry.aws.health import DynamoHealth
from consentry.aws.listings import DynamoListings
from consentry.aws.pending import DynamoSessions
from consentry.aws.registry import DynamoIntegrations
from consentry.aws.removals import DynamoRemovals
from consentry.connect.authorize import Authorize
from consentry.connect.callback import ReceiveCallback
from consentry.connect.complete import Complete
from consentry.connect.credentials import ConnectWithCredentials
from consentry.connect.disconnect import Disconnect, DisconnectTenant
from consentry.connect.ending import EndConnection
from consentry.connect.entering import EnterCredentials
from consentry.connect.exchange import ExchangeCode
from consentry.connect.offer import ShowOffer
from consentry.connect.sessions import CreateSession
from consentry.connect.store import StoreTokens
from consentry.connect.tickets import Tickets
from consentry.model import Connection, ConnectionKey, Flow, Secret
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.pages.look import Look
from consentry.transfer.arrive import Import
from consentry.transfer.leave import Export
from consentry.transfer.operate import Transfer
from consentry.web.boundary import for_people, for_programs
from consentry.web.connect import ConnectRoute
from consentry.web.consent import AuthorizeRoutes, CallbackRoute
from consentry.web.credentials import CredentialsRoute
from consentry.web.ending import DISCONNECT, EndingRoute, FormRoutes
from consentry.web.manage import ManageRoutes
from consentry.web.response import Response
from tests.support.catalogue import ISSUER, FakeCatalogue
from tests.support.client_secrets import FakeSecrets
from tests.support.clock import FakeClock
from tests.support.envelopes import FakeEnvelopes
from tests.support.events import Event, event, json_event
from tests.support.openapi import require_described
from tests.support.provider import FakeProvider
from tests.support.randomness import ScriptedRandomness
from tests.support.tables import TableClient, ignore, items, plain_texts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BASE_URL = "https://vault.test"
RETURN_URL = "https://app.test/connected"
OTHER_RETURN_URL = "https://app.test/other?from=vault"
CODE = "CNRY-code-7b1e93d4"
NO_SECRETS = frozenset({"commit_id", "consent_id", "replaces", "claimed_by", "tried_by"})
AUTHORIZE = "ANY /authorize/{integration}"
CALLBACK = "ANY /callback/{integration}"
CONNECT = "ANY /connect"
ENTER = "ANY /connect/{integration}"
CREATE = "POST /tenants/{tenant}/sessions"
COMPLETE = "POST /tenants/{tenant}/sessions/{session}/complete"
PUT_CREDENTIALS = "PUT /tenants/{tenant}/connections/{integration}/{name}/credentials"
INTEGRATIONS: tuple[dict[str, Any], ...] = (
    {"integration": "crm", "provider": "crm", "client_id": "crm-client"},
    {"integration": "crm2", "provider": "crm", "client_id": "crm-client-2", "scopes": ["contacts", "deals"]},
    {"integration": "desk", "provider": "desk", "client_id": "desk-client", "display_name": "Help desk"},
    {"integration": "metrics", "provider": "metrics"},
)


@dataclass
class Ports:
    """What happens around every call of a port; tests replace `before` and `after` to make one fail."""

    before: Callable[[str], None] = ignore
    after: Callable[[str], None] = ignore

    def begin(self, operation: str) -> None:
        self.before(operation)

    def end(self, operation: str) -> None:
        self.after(operation)


def everyone_reads_before_anyone_writes(count: int) -> Callable[[str], None]:
    """Hold `count` threads back after the first read of each until all of them have read: the worst of races."""
    barrier, mine = Barrier(count, timeout=20), local()

    def wait(operation: str) -> None:
        if operation == "get_item" and not hasattr(mine, "has_read"):
            mine.has_read = True
            barrier.wait()

    return wait


@dataclass
class RecordedRequests:
    """`ports.RefreshRequests`: who was asked for, and what happens then."""

    asked: list[tuple[ConnectionKey, int]] = field(default_factory=list)
    then: Callable[[ConnectionKey, int], None] = lambda _key, _gen: None

    def request(self, key: ConnectionKey, rejected_generation: int) -> None:
        self.asked.append((key, rejected_generation))
        self.then(key, rejected_generation)


class SlowProvider(FakeProvider):
    """A provider whose answers take time."""

    def __init__(self, clock: FakeClock, seconds: int) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        answer = super().send(request, deadline_seconds=deadline_seconds)
        self._clock.advance(self._seconds)
        return answer


class Deployment:
    """Implements `web.manage.UseCases`; `authorize`, `callback` and `manage` answer events as the functions do."""

    def __init__(self, client: "DynamoDBClient", tables: Mapping[str, str], catalogue: FakeCatalogue) -> None:
        self.names = tables
        self.ports = Ports()
        self.dynamo = TableClient(client, self.ports.begin, self.ports.end)
        self.clock = FakeClock()
        self.randomness = ScriptedRandomness()
        self.tickets = Tickets(Secret("CNRY-mac-key-9d2f41"))
        self.catalogue = catalogue
        self.envelopes = FakeEnvelopes(self.ports.begin)
        self.secrets = FakeSecrets(before=self.ports.begin)
        self.provider: FakeProvider = FakeProvider()
        self.base_url = BASE_URL
        self.look = Look()
        self.return_urls = frozenset({RETURN_URL, OTHER_RETURN_URL})
        self.invocation_seconds = self.clock.remaining
        self.refresh_requests = RecordedRequests()
        self.sessions = DynamoSessions(self.dynamo.as_client, tables["PendingTable"])
        self.connections = DynamoConnections(self.dynamo.as_client, tables["ConnectionsTable"])
        self.integrations = DynamoIntegrations(self.dynamo.as_client, tables["IntegrationsTable"])
        self.removals = DynamoRemovals(self.dynamo.as_client, tables["ConnectionsTable"])
        self.listings = DynamoListings(self.dynamo.as_client, tables["ConnectionsTable"])
        self.grants = DynamoGrants(self.dynamo.as_client, tables["ConnectionsTable"])
        self.erasures = DynamoErasures(self.dynamo.as_client, tables["ConnectionsTable"])
        self.health = DynamoHealth(self.dynamo.as_client, tables["IntegrationsTable"])

    @property
    def store(self) -> StoreTokens:
        return StoreTokens(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            envelopes=self.envelopes,
            epoch=1,
            min_refresh_seconds=60,
        )

    @property
    def create_session(self) -> CreateSession:
        return CreateSession(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            return_urls=self.return_urls,
        )

    @property
    def exchange(self) -> ExchangeCode:
        return ExchangeCode(
            clock=self.clock,
            randomness=self.randomness,
            sessions=self.sessions,
            catalogue=self.catalogue,
            secrets=self.secrets,
            provider_client=self.provider,
            store=self.store,
        )

    @property
    def complete(self) -> Complete:
        return Complete(clock=self.clock, sessions=self.sessions, envelopes=self.envelopes, exchange=self.exchange)

    @property
    def connect_with_credentials(self) -> ConnectWithCredentials:
        return ConnectWithCredentials(
            clock=self.clock,
            integrations=self.integrations,
            catalogue=self.catalogue,
            provider_client=self.provider,
            store=self.store,
        )

    @property
    def disconnect(self) -> Disconnect:
        return Disconnect(
            clock=self.clock, connections=self.connections, removals=self.removals, catalogue=self.catalogue
        )

    @property
    def disconnect_tenant(self) -> DisconnectTenant:
        return DisconnectTenant(clock=self.clock, removals=self.removals)

    @property
    def enter_credentials(self) -> EnterCredentials:
        return EnterCredentials(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            tries=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            connect=lambda: self.connect_with_credentials,
        )

    @property
    def end_connection(self) -> EndConnection:
        return EndConnection(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            connections=self.connections,
            disconnect=lambda: self.disconnect,
        )

    @property
    def show_offer(self) -> ShowOffer:
        return ShowOffer(
            clock=self.clock,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            connections=self.connections,
        )

    @property
    def departure(self) -> Authorize:
        return Authorize(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            base_url=self.base_url,
        )

    @property
    def receive_callback(self) -> ReceiveCallback:
        return ReceiveCallback(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            connections=self.connections,
            exchange=lambda: self.exchange,
        )

    def transfer_of(self) -> Transfer:
        """What the function for export and import is."""
        self._invoked()
        return Transfer(
            leave=Export(clock=self.clock, grants=self.grants, envelopes=self.envelopes, epoch=1),
            arrive=Import(
                clock=self.clock,
                connections=self.connections,
                integrations=self.integrations,
                catalogue=self.catalogue,
                envelopes=self.envelopes,
                epoch=1,
            ),
        )

    def _invoked(self) -> None:
        """Every event is an invocation of its own, with all its time before it."""
        self.clock.remaining = self.invocation_seconds

    def authorize(self, request: Event) -> Response:
        self._invoked()
        route = AuthorizeRoutes(lambda: self.departure, lambda: self.base_url, self.look)
        return for_people(request, route, self.look)

    def callback(self, request: Event) -> Response:
        self._invoked()
        return for_people(request, CallbackRoute(lambda: self.receive_callback, self.return_urls, self.look), self.look)

    def connect(self, request: Event) -> Response:
        self._invoked()
        route = ConnectRoute(
            show=lambda: self.show_offer, base_url=lambda: self.base_url, return_urls=self.return_urls, look=self.look
        )
        return for_people(request, route, self.look)

    def enter(self, request: Event) -> Response:
        self._invoked()
        credentials = CredentialsRoute(
            enter=lambda: self.enter_credentials,
            base_url=lambda: self.base_url,
            return_urls=self.return_urls,
            look=self.look,
        )
        ending = EndingRoute(end=lambda: self.end_connection, base_url=lambda: self.base_url, look=self.look)
        return for_people(request, FormRoutes(credentials, ending), self.look, forms=True)

    def manage(self, request: Event) -> Response:
        """Answer as the function does; whatever a test asks, the answer has to be one that the document describes."""
        self._invoked()
        response = for_programs(request, ManageRoutes(self))
        require_described(request.get("routeKey", ""), response)
        return response

    def created(self, **wanted: object) -> dict[str, Any]:
        """Create a session for user `u-1` of `acme` and integration `crm`; return the answer's body."""
        body = {"user_ref": "u-1", "integrations": ["crm"], "return_url": RETURN_URL, **wanted}
        response = self.manage(json_event(CREATE, {"tenant": "acme"}, body))
        assert response["statusCode"] == 201, response["body"]
        return body_of(response)

    def completed(self, returned: Mapping[str, str], *, tenant: str = "acme", **changes: object) -> Response:
        """Complete with the parameters that the browser brought back."""
        body = {"handle": returned["handle"], "user_ref": "u-1", **changes}
        return self.manage(json_event(COMPLETE, {"tenant": tenant, "session": returned["session"]}, body))

    def connection(self, integration: str = "crm", name: str = "default", tenant: str = "acme") -> Connection | None:
        return self.connections.read(ConnectionKey(tenant, integration, name))

    def flow(self, created: Mapping[str, Any], integration: str = "crm") -> Flow:
        flow = self.sessions.flow(created["session"], integration)
        assert flow is not None
        return flow

    def stored_texts(self) -> list[str]:
        """Every text and every byte string that any table holds; not the ids that are random and no secrets."""
        found = [item for table in self.names.values() for item in items(self.dynamo.client, table)]
        texts = [{name: value for name, value in item.items() if name not in NO_SECRETS} for item in found]
        return [text for item in texts for text in plain_texts(item)]


class Browser:
    """A person's browser: opens addresses of the deployment and keeps its cookies (RFC 6265, one host)."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.jar: dict[str, str] = {}

    def event(self, url: str, **changes: Any) -> Event:  # noqa: ANN401 - handed on to `event`
        parts = urlsplit(url)
        kind, integration, more = (*parts.path.strip("/").split("/"), "", "")[:3]
        forms = DISCONNECT if more else ENTER
        route = {"authorize": AUTHORIZE, "callback": CALLBACK, "connect": forms if integration else CONNECT}[kind]
        cookies = [f"{name}={value}" for name, value in self.jar.items()]
        parameters = {"integration": integration} if integration else {}
        return event(route, **{"parameters": parameters, "query": parts.query, "cookies": cookies, **changes})

    def open(self, url: str, **changes: Any) -> Response:  # noqa: ANN401 - handed on to `event`
        request = self.event(url, **changes)
        at = self.deployment
        answering = {
            AUTHORIZE: at.authorize, CALLBACK: at.callback, CONNECT: at.connect, ENTER: at.enter, DISCONNECT: at.enter,
        }  # fmt: skip
        response = answering[request["routeKey"]](request)
        for cookie in response.get("cookies", ()):
            self.keep(cookie)
        return response

    def keep(self, cookie: str) -> None:
        name, value, attributes = parsed_cookie(cookie)
        if attributes["Max-Age"] == "0":
            self.jar.pop(name, None)
        else:
            self.jar[name] = value

    def departs(self, created: Mapping[str, Any], integration: str = "crm") -> str:
        """Open the connect link; return the provider's address that the browser is sent to."""
        response = self.open(created["authorize_urls"][integration])
        assert response["statusCode"] == 302, response["body"]
        return str(response["headers"]["Location"])

    def consents(self, created: Mapping[str, Any], integration: str = "crm", **answer: str) -> Response:
        """Go to the provider, say yes there, and come back."""
        return self.open(provider_answer(self.departs(created, integration), **answer))


def provider_answer(location: str, **changes: str) -> str:
    """Return where a provider sends the browser back to: code, state and issuer, or as changed ("" leaves it out)."""
    asked = dict(parse_qsl(urlsplit(location).query))
    given = {"code": CODE, "state": asked["state"], "iss": ISSUER if "crm.test" in location else "", **changes}
    return f"{asked['redirect_uri']}?{urlencode({name: value for name, value in given.items() if value})}"


def parsed_cookie(cookie: str) -> tuple[str, str, dict[str, str]]:
    """Return name, value and attributes of a Set-Cookie header."""
    pair, *rest = cookie.split("; ")
    name, _, value = pair.partition("=")
    return name, value, {key: text for key, _, text in (each.partition("=") for each in rest)}


def query_of(response: Response) -> dict[str, str]:
    """Return the query of the address that a response redirects to."""
    return dict(parse_qsl(urlsplit(response["headers"]["Location"]).query))


def body_of(response: Response) -> dict[str, Any]:
    body = json.loads(response["body"])
    assert isinstance(body, dict)
    return body
