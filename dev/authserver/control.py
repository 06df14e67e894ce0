"""The control API: what a test or a person orders from the servers. JSON in, JSON out, from this machine only."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request

from dev.authserver.answers import json_answer
from dev.authserver.faults import Fault
from dev.authserver.options import BadInput, flag, nullable, one_of, text, texts
from dev.authserver.parties import Client, Customer
from dev.authserver.simulation import Simulation
from dev.authserver.systems import HOTJAR, HOTMART, SYSTEMS

type Order = Mapping[str, object]
type Checks = Mapping[str, Callable[[str, object], object]]

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
CLIENT: Checks = {
    "system": one_of(*SYSTEMS),
    "client_id": text,
    "client_secret": text,
    "redirect_uris": texts,
    "scopes": texts,
    "refresh_tokens": flag,
    "basic_token": text,
}
CUSTOMER: Checks = {
    "system": one_of(HOTJAR.id, HOTMART.id),
    "client_id": text,
    "client_secret": text,
    "basic_token": text,
    "account": text,
    "valid": flag,
}
REVOCATION: Checks = {
    "system": nullable(one_of(*SYSTEMS)),
    "client_id": nullable(text),
    "account": nullable(text),
}


class Control:
    """Each method is one route below `/_control/`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def register(self, app: Flask) -> None:
        for name, read in (("health", self.health), ("log", self.log), ("stats", self.stats)):
            app.add_url_rule(f"/_control/{name}", f"control.{name}", read, methods=["GET"])
        orders: dict[str, Callable[[Order], Response]] = {
            "clients": self.clients,
            "customers": self.customers,
            "options": self.options,
            "faults": self.faults,
            "revoke": self.revoke,
            "expire_access_tokens": self.expire_access_tokens,
            "reset": self.reset,
        }
        for name, obey in orders.items():
            app.add_url_rule(f"/_control/{name}", f"control.{name}", ordered(obey), methods=["POST"])

    def health(self) -> Response:
        return json_answer({"status": "ok", "url": self._simulation.base_url})

    def log(self) -> Response:
        return json_answer(self._simulation.journal.log())

    def stats(self) -> Response:
        return json_answer(self._simulation.stats())

    def clients(self, order: Order) -> Response:
        """Register a client, or replace one (a new secret, say) without touching its grants."""
        fields = checked(order, CLIENT, required=("system", "client_id", "client_secret", "redirect_uris"))
        client = Client(**fields)
        for uri in client.redirect_uris:
            if urlsplit(uri).scheme not in {"http", "https"} or not urlsplit(uri).netloc or "#" in uri:
                raise BadInput("each of 'redirect_uris' must be an absolute http(s) address without a fragment")
        self._simulation.parties.put_client(client)
        return json_answer({"system": client.system, "client_id": client.client_id}, 201)

    def customers(self, order: Order) -> Response:
        """Create, rotate or disable a customer's credentials; tokens minted before stay alive."""
        fields = checked(order, CUSTOMER, required=("system", "client_id", "client_secret"))
        system = SYSTEMS[fields["system"]]
        known = self._simulation.parties.customer(system.id, fields["client_id"])
        wanted = fields.pop("account", known.account.key if known else system.accounts[0].key)
        account = system.account(wanted)
        if account is None:
            raise BadInput(f"'account' must be one of {', '.join(account.key for account in system.accounts)}")
        if known and known.client_secret == fields["client_secret"]:
            fields.setdefault("basic_token", known.basic_token)
        self._simulation.parties.put_customer(Customer(account=account, **fields))
        return json_answer({"system": system.id, "client_id": fields["client_id"]}, 201)

    def options(self, order: Order) -> Response:
        account = order.get("account")
        if isinstance(account, str) and not any(system.account(account) for system in SYSTEMS.values()):
            raise BadInput("'account' must be 'acme', 'globex', or a provider's number of one of them")
        self._simulation.change_options(order)
        return json_answer({"changed": sorted(order)})

    def faults(self, order: Order) -> Response:
        self._simulation.faults.add(Fault.parse(order))
        return json_answer({"faults_left": self._simulation.faults.left()}, 201)

    def revoke(self, order: Order) -> Response:
        fields = checked(order, REVOCATION)
        system, client_id, account = (fields.get(name) for name in REVOCATION)
        grants = self._simulation.grants
        revoked = grants.revoke(grants.matching(system, client_id, account), access_tokens_too=True)
        return json_answer({"revoked": revoked})

    def expire_access_tokens(self, order: Order) -> Response:
        fields = checked(order, {"system": nullable(one_of(*SYSTEMS))})
        return json_answer({"expired": self._simulation.grants.expire_access_tokens(fields.get("system"))})

    def reset(self, order: Order) -> Response:
        checked(order, {})
        self._simulation.reset()
        return json_answer({"reset": True})


def ordered(obey: Callable[[Order], Response]) -> Callable[[], Response]:
    """Turn a mistake into a 400 that says what to send."""

    def view() -> Response:
        try:
            return obey(order_of_request())
        except BadInput as mistake:
            return json_answer({"error": str(mistake)}, 400)

    return view


def order_of_request() -> Order:
    """The JSON object sent; web pages of other origins are kept out by the content type and the host name."""
    if urlsplit(f"//{request.host}").hostname not in LOCAL_NAMES:
        raise BadInput("the control API answers to localhost only")
    if not request.get_data() and not request.content_type:
        return {}
    order = request.get_json(silent=True) if request.is_json else None
    if not isinstance(order, dict):
        raise BadInput("send one JSON object, with Content-Type: application/json")
    return order


def checked(order: Order, checks: Checks, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of an order, each passed through its own check, which is why they may be `Any` afterwards."""
    unknown = sorted(set(order) - set(checks))
    if unknown:
        raise BadInput(f"unknown field '{unknown[0]}'; there are {', '.join(checks) or 'none'}")
    missing = [name for name in required if name not in order]
    if missing:
        raise BadInput(f"'{missing[0]}' is missing")
    return {name: checks[name](name, value) for name, value in order.items()}
