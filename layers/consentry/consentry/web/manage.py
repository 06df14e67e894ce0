"""The signed management API: every route a line in a table, every answer free of tokens but one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlencode

from consentry import log
from consentry.connect.attention import Listings
from consentry.connect.complete import Complete
from consentry.connect.credentials import ConnectWithCredentials
from consentry.connect.disconnect import Disconnect, DisconnectTenant
from consentry.connect.sessions import CreateSession
from consentry.errors import InvalidRequest, NotConnected, NotFound, OperatorMustAct, ReauthRequired, TokenUnavailable
from consentry.model import Connection, ConnectionKey, Field, Integration, Status, identifier
from consentry.ports import Catalogue, Clock, Connections, Envelopes, Integrations, RefreshRequests
from consentry.web.paging import limit_of, place_in, shown_flagged, status_of, token_of
from consentry.web.request import Request
from consentry.web.response import Response, json_answer

WAIT_SECONDS: Final = 20
_POLL_SECONDS: Final = 0.5


class UseCases(Protocol):
    """What the routes call; each is wired when a request first needs it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def base_url(self) -> str: ...
    @property
    def create_session(self) -> CreateSession: ...
    @property
    def complete(self) -> Complete: ...
    @property
    def connect_with_credentials(self) -> ConnectWithCredentials: ...
    @property
    def disconnect(self) -> Disconnect: ...
    @property
    def disconnect_tenant(self) -> DisconnectTenant: ...
    @property
    def connections(self) -> Connections: ...
    @property
    def listings(self) -> Listings: ...
    @property
    def integrations(self) -> Integrations: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def envelopes(self) -> Envelopes: ...
    @property
    def refresh_requests(self) -> RefreshRequests: ...


@dataclass(frozen=True, slots=True)
class ManageRoutes:
    use: UseCases

    def __call__(self, request: Request) -> Response:
        handlers: Mapping[str, Callable[[Request], Response]] = {
            "POST /tenants/{tenant}/sessions": self._create_session,
            "POST /tenants/{tenant}/sessions/{session}/complete": self._complete,
            "GET /tenants/{tenant}/connections": self._list,
            "GET /tenants/{tenant}/connections/{integration}/{name}": self._one,
            "DELETE /tenants/{tenant}": self._disconnect_tenant,
            "DELETE /tenants/{tenant}/connections/{integration}/{name}": self._disconnect,
            "PUT /tenants/{tenant}/connections/{integration}/{name}/credentials": self._credentials,
            "GET /tenants/{tenant}/connections/{integration}/{name}/token": self._token,
            "POST /tenants/{tenant}/connections/{integration}/{name}/refresh": self._refresh,
            "GET /integrations": self._list_integrations,
            "GET /connections": self._list_flagged,
        }
        handler = handlers.get(request.route)
        if handler is None:
            raise NotFound("there is no such route; see the management API's documentation")
        return handler(request)

    def _create_session(self, request: Request) -> Response:
        created = self.use.create_session(_tenant(request), request.json_object())
        session, base = created.session, self.use.base_url
        query = urlencode({"session": created.ticket})
        urls = {each: f"{base}/authorize/{each}?{query}" for each in created.by_consent}
        _tell(
            "session created", request, tenant=session.tenant, session=session.id, completion=session.completion.value
        )
        value = {
            "session": session.id,
            "connect_url": f"{base}/connect?{query}",
            "authorize_urls": urls,
            "expires_at": session.expires_at,
        }
        return json_answer(201, value)

    def _complete(self, request: Request) -> Response:
        connection = self.use.complete(_tenant(request), request.path("session"), request.json_object())
        return self._connected(request, connection)

    def _credentials(self, request: Request) -> Response:
        connection = self.use.connect_with_credentials(_key(request), request.json_object())
        return self._connected(request, connection)

    def _connected(self, request: Request, connection: Connection) -> Response:
        log.count("Consents", outcome="connected")
        key = connection.key
        _tell("consent", request, tenant=key.tenant, connection=key.sort_key, outcome="connected", gen=connection.gen)
        return json_answer(200, {"connection": shown(connection)})

    def _list(self, request: Request) -> Response:
        tenant = _tenant(request)
        after = place_in(tenant, request.query("next"))
        page = self.use.listings.of_tenant(tenant, after=after, limit=limit_of(request))
        told = [shown(each) for each in page.connections]
        return json_answer(200, {"connections": told, "next": token_of(tenant, page.next)})

    def _list_flagged(self, request: Request) -> Response:
        status = status_of(request)
        after = place_in(status.value, request.query("next"))
        page = self.use.listings.flagged(status, after=after, limit=limit_of(request))
        told = [shown_flagged(each) for each in page.flagged]
        return json_answer(200, {"connections": told, "next": token_of(status.value, page.next)})

    def _one(self, request: Request) -> Response:
        """Show it with its status as long as there is a record, so that a disconnect can be watched to its end."""
        key = _key(request)
        if connection := self.use.connections.read(key):
            return json_answer(200, shown(connection))
        raise _not_connected(key)

    def _disconnect(self, request: Request) -> Response:
        key, uninstall = _key(request), request.query("uninstall")
        if uninstall not in {"", "true", "false"}:
            raise InvalidRequest("uninstall must be true or false", code="invalid_parameter")
        self.use.disconnect(key, uninstall=uninstall == "true")
        _tell("disconnected", request, tenant=key.tenant, connection=key.sort_key)
        return json_answer(202, {"status": Status.DELETING.value})

    def _disconnect_tenant(self, request: Request) -> Response:
        tenant = _tenant(request)
        if request.query("uninstall"):
            public = (
                "uninstall is for one connection: disconnect those first, each with uninstall=true, then the tenant"
            )
            raise InvalidRequest(public, code="invalid_parameter")
        done = self.use.disconnect_tenant(tenant, after=place_in(tenant, request.query("next")))
        _tell("tenant disconnected", request, tenant=tenant, count=done.deleting)
        told = {"deleting": done.deleting, "skipped": done.skipped, "next": token_of(tenant, done.next)}
        return json_answer(202, told)

    def _token(self, request: Request) -> Response:
        connection = self._existing(_key(request))
        if not connection.access_token or not connection.servable(self.use.clock.now()):
            log.count("Reads", outcome="unavailable")
            raise _unservable(connection)
        key = connection.key
        token = self.use.envelopes.open(connection.access_token, key.encryption_context(Field.ACCESS_TOKEN))
        log.count("Reads", outcome="served")
        value = {
            "access_token": token.reveal(),
            "token_type": connection.token_type,
            "expires_at": connection.expires_at,
            "generation": connection.gen,
            "scopes": list(connection.scopes),
            "metadata": dict(connection.metadata),
        }
        return json_answer(200, value)

    def _refresh(self, request: Request) -> Response:
        """Ask the engine and wait for a newer generation; the caller reads the token under its own role."""
        key, body = _key(request), request.json_object()
        connection, clock = self._existing(key), self.use.clock
        rejected_gen = _rejected_generation(body, connection)
        if connection.gen <= rejected_gen and connection.status is Status.ACTIVE:
            self.use.refresh_requests.request(key, rejected_gen)
        deadline = clock.now() + WAIT_SECONDS
        while connection.gen <= rejected_gen and connection.status is Status.ACTIVE and clock.now() < deadline:
            clock.sleep(_POLL_SECONDS)
            connection = self._existing(key)
        if connection.gen > rejected_gen and connection.status is not Status.REAUTH_REQUIRED:
            return json_answer(200, {"generation": connection.gen, "outcome": "refreshed"})
        if connection.status is not Status.ACTIVE:
            raise _unservable(connection)
        return json_answer(202, {"generation": connection.gen, "outcome": "pending"}, {"Retry-After": "5"})

    def _list_integrations(self, _request: Request) -> Response:
        found = [self._described(each) for each in self.use.integrations.integrations()]
        return json_answer(200, {"integrations": sorted(found, key=lambda each: str(each["integration"]))})

    def _described(self, integration: Integration) -> Mapping[str, object]:
        """Return what a company needs to offer an integration; one that cannot be used says why, and hides no other."""
        known = {"integration": integration.id, "provider": integration.provider}
        if integration.problem:
            return {**known, "problem": integration.problem}
        try:
            provider = self.use.catalogue.provider(integration.provider)
        except OperatorMustAct as error:
            return {**known, "problem": error.public}
        wanted = ("name", "label", "secret", "required")
        return {
            **known,
            "name": integration.display_name or provider.name,
            "grant": provider.grant.value,
            "unverified": provider.unverified,
            "redirect_uri": f"{self.use.base_url}/callback/{integration.id}",
            "inputs": [{name: getattr(each, name) for name in wanted} for each in provider.credential_inputs],
            "variables": [{"name": name, "label": each.label} for name, each in provider.variables.items()],
        }

    def _existing(self, key: ConnectionKey) -> Connection:
        connection = self.use.connections.read(key)
        if connection is None or connection.status is Status.DELETING:
            raise _not_connected(key)
        return connection


def _rejected_generation(body: Mapping[str, object], connection: Connection) -> int:
    rejected = body.get("rejected_generation")
    if isinstance(rejected, int) and not isinstance(rejected, bool) and 1 <= rejected <= connection.gen:
        return rejected
    message = f"rejected_generation must be the generation of the token that was rejected, at most {connection.gen}"
    raise InvalidRequest(message, code="invalid_generation")


def shown(connection: Connection) -> dict[str, object]:
    """Return what anyone who may see the connection may know of it: never a token."""
    return {
        "tenant": connection.key.tenant,
        "integration": connection.key.integration,
        "name": connection.key.name,
        "provider": connection.provider,
        "status": connection.status.value,
        "cause": connection.status_cause,
        "account": connection.account,
        "scopes": list(connection.scopes),
        "lost_scopes": list(connection.lost_scopes),
        "scopes_reduced_at": connection.scopes_reduced_at or None,
        "metadata": dict(connection.metadata),
        "label": connection.label,
        "description": connection.description,
        "generation": connection.gen,
        "expires_at": connection.expires_at,
        "grant_expires_at": connection.grant_expires_at,
        "refreshed_at": connection.refreshed_at,
        "created_at": connection.created_at,
    }


def _not_connected(key: ConnectionKey) -> NotConnected:
    return NotConnected(f"{key.tenant} has no connection {key.integration}/{key.name}; create a session to make one")


def _unservable(connection: Connection) -> ReauthRequired | TokenUnavailable:
    if connection.status is not Status.ACTIVE:  # nobody refreshes it before the customer has connected again
        sentence = (
            f"The grant has ended ({connection.status_cause}). Create a session and let the customer connect again."
        )
        return ReauthRequired(sentence, cause=connection.status_cause)
    return TokenUnavailable("The token has expired and is being refreshed. Try again in a moment.")


def _tenant(request: Request) -> str:
    return identifier(request.path("tenant"), "tenant")


def _key(request: Request) -> ConnectionKey:
    return ConnectionKey.parse(_tenant(request), request.path("integration"), request.path("name"))


def _tell(message: str, request: Request, **fields: object) -> None:
    log.record(message, {**fields, "correlation_id": request.correlation_id})
