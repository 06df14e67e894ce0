"""The authorization endpoint and its consent page (RFC 6749 section 3.1, RFC 9700 sections 2.1 and 4.12)."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, render_template, request

from dev.authserver.misbehaviour import play
from dev.authserver.parties import Client
from dev.authserver.pkce import challenge_of
from dev.authserver.simulation import Simulation
from dev.authserver.strict import Parameters, Refused, form_pairs, invalid_request, query_parameters, required
from dev.authserver.systems import Account, System

# Awkward on purpose: text from a provider must never reach a page unescaped.
DENIAL = 'The user said <no> & "left"'
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that may be put before a person."""

    scopes: tuple[str, ...]
    optional_scopes: tuple[str, ...]
    challenge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """The redirect URI, proven to be the client's, and what every answer to it carries."""

    redirect_uri: str
    always: Mapping[str, str]

    def send(self, **parameters: str) -> Response:
        """A 303, so that a form's POST never becomes a POST to the client (RFC 9700 section 4.12)."""
        query = urlencode({**parameters, **self.always})
        separator = "&" if "?" in self.redirect_uri else "?"
        location = f"{self.redirect_uri}{separator}{query}"
        return Response(b"", 303, headers={"Location": location, "Cache-Control": "no-store"})


class AuthorizeEndpoint:
    """GET shows the page (or decides at once, if told to by the control API); POST of its form decides."""

    def __init__(self, simulation: Simulation, system: System) -> None:
        self._simulation = simulation
        self._system = system

    def handle(self) -> Response:
        fault = self._simulation.faults.take("authorize", self._system.id)
        return play(fault, self._answered, self._simulation.sleep)

    def _answered(self) -> Response:
        """Until the redirect URI is known to be the client's, errors stay on a page (RFC 6749 section 4.1.2.1)."""
        try:
            query = query_parameters(request)
            client = self._client(query)
            way_back = self._way_back(client, query)
        except Refused as refused:
            return page("error.html", 400, title=self._system.title, message=refused.description)
        try:
            asked = self._asked(client, query)
        except Refused as refused:
            return way_back.send(error=refused.error, error_description=refused.description)
        return self._consented(client, way_back, asked)

    def _client(self, query: Parameters) -> Client:
        client = self._simulation.parties.client(self._system.id, required(query, "client_id"))
        if client is None:
            raise invalid_request("There is no application with this client_id.")
        return client

    def _way_back(self, client: Client, query: Parameters) -> WayBack:
        redirect_uri = required(query, "redirect_uri")
        if redirect_uri not in client.redirect_uris:
            raise invalid_request("This redirect_uri is not registered for the application, character by character.")
        issuer = self._simulation.issuer(self._system)
        state = query.get("state")
        always = ({"state": state} if state else {}) | ({"iss": issuer} if issuer else {})
        return WayBack(redirect_uri=redirect_uri, always=always)

    def _asked(self, client: Client, query: Parameters) -> Asked:
        response_type = query.get("response_type")
        if response_type is None and self._system.response_type_required:
            raise invalid_request("response_type is missing")
        if response_type not in {None, "code"}:
            raise Refused("unsupported_response_type", "response_type must be 'code'")
        scopes, optional = (tuple(query.get(name, "").split(" ")) for name in ("scope", "optional_scope"))
        return Asked(
            scopes=self._known_scopes(client, scopes) or self._default_scopes(client),
            optional_scopes=self._known_scopes(client, optional),
            challenge=challenge_of(query, required=self._system.pkce_required),
        )

    def _known_scopes(self, client: Client, scopes: tuple[str, ...]) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(scope for scope in scopes if scope))
        unknown = [scope for scope in wanted if client.scopes and scope not in client.scopes]
        if unknown:
            raise Refused("invalid_scope", "a scope is not among those registered for the application")
        return wanted

    def _default_scopes(self, client: Client) -> tuple[str, ...]:
        if self._system.scope_required:
            raise Refused("invalid_scope", "scope is missing; separate scopes with a space")
        return client.scopes

    def _consented(self, client: Client, way_back: WayBack, asked: Asked) -> Response:
        decision = self._simulation.options.auto_consent, self._preferred_account()
        if request.method == "POST":
            try:
                decision = self._decision()
            except Refused as refused:
                return page("error.html", 400, title=self._system.title, message=refused.description)
        choice, account = decision
        if choice is None:
            return self._page(client, asked)
        if choice == "deny":
            return way_back.send(error="access_denied", error_description=DENIAL)
        scopes = tuple(dict.fromkeys(asked.scopes + asked.optional_scopes))
        code = self._simulation.grants.issue_code(client, account, scopes, way_back.redirect_uri, asked.challenge)
        return way_back.send(code=code)

    def _decision(self) -> tuple[str, Account]:
        fields = form_pairs(request.get_data(), "form")
        account = self._system.account(required(fields, "account"))
        if fields.get("decision") not in {"allow", "deny"} or account is None:
            raise invalid_request("The form needs an account from the list, and the decision 'allow' or 'deny'.")
        return fields["decision"], account

    def _preferred_account(self) -> Account:
        return self._system.account(self._simulation.options.account) or self._system.accounts[0]

    def _page(self, client: Client, asked: Asked) -> Response:
        chosen = self._preferred_account()
        answer = page("consent.html", 200, system=self._system, client=client, asked=asked, chosen=chosen)
        if policy := self._simulation.options.opener_policy:
            answer.headers["Cross-Origin-Opener-Policy"] = policy
        return answer


def page(template: str, status: int, **values: object) -> Response:
    return Response(render_template(template, **values), status, headers=PAGE_HEADERS)
