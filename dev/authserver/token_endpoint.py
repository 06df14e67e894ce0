"""The token endpoint (RFC 6749 section 3.2), with what differs between systems as rules."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Request, Response, request

from dev.authserver.faults import DROPS
from dev.authserver.grants import Issued
from dev.authserver.journal import Entry
from dev.authserver.misbehaviour import play
from dev.authserver.parties import Customer, Parties, Party
from dev.authserver.simulation import Simulation
from dev.authserver.strict import Parameters, Refused, required
from dev.authserver.systems import System

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """How one system's token endpoint reads, believes and answers."""

    system: System
    grant_types: tuple[str, ...]
    read: Callable[[Request], dict[str, str]]
    authenticate: Callable[[Parties, Request, Parameters], Party]
    answer: Callable[[Issued], Response]
    refuse: Callable[[Refused], Response]


class TokenEndpoint:
    """One POST in, one journal entry, one answer out."""

    def __init__(self, simulation: Simulation, rules: TokenRules) -> None:
        self._simulation = simulation
        self._rules = rules

    def handle(self) -> Response:
        parameters, unreadable = self._read()
        system, simulation = self._rules.system.id, self._simulation
        with simulation.journal.request(system, parameters, simulation.grants.subject(parameters)) as entry:
            fault = simulation.faults.take("token", system, entry.grant_type)
            entry.fault = fault.kind if fault else ""
            if fault and fault.kind in DROPS:
                entry.outcome = "not_processed"  # unless it is: said before the client can see its connection closed
            response = play(fault, lambda: self._answered(parameters, unreadable, entry), simulation.sleep)
            if fault and entry.outcome == "in_flight":
                entry.outcome = "not_processed"
            entry.status = 0 if fault and fault.kind in DROPS else response.status_code
        response.headers.update(NO_STORE)
        return response

    def _read(self) -> tuple[dict[str, str], Refused | None]:
        try:
            return self._rules.read(request), None
        except Refused as refused:
            return {}, refused

    def _answered(self, parameters: Parameters, unreadable: Refused | None, entry: Entry) -> Response:
        try:
            if unreadable is not None:
                raise unreadable
            issued = self._issued(parameters, entry)
        except Refused as refused:
            entry.outcome = refused.error
            return self._rules.refuse(refused)
        entry.outcome, entry.scopes = "issued", issued.access.scopes
        return self._rules.answer(issued)

    def _issued(self, parameters: Parameters, entry: Entry) -> Issued:
        grant_type = required(parameters, "grant_type")
        if grant_type not in self._rules.grant_types:
            raise Refused("unsupported_grant_type", "this grant_type is not supported here", about="grant_type")
        party = self._rules.authenticate(self._simulation.parties, request, parameters)
        entry.client_id = party.client_id
        grants = self._simulation.grants
        if isinstance(party, Customer):
            return grants.mint(party)
        if grant_type == "authorization_code":
            code, redirect_uri = required(parameters, "code"), required(parameters, "redirect_uri")
            return grants.redeem(party, code, redirect_uri, parameters.get("code_verifier", ""))
        scopes = tuple(parameters.get("scope", "").split())
        return grants.refresh(party, required(parameters, "refresh_token"), scopes)
