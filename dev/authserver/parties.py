"""Who may ask for tokens: registered applications (clients), and customers with credentials of their own."""

import base64
import hmac
from dataclasses import dataclass, field
from typing import Final

from dev.authserver.strict import Refused
from dev.authserver.systems import HOTJAR, HOTMART, Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application; no `scopes` means any. Without `refresh_tokens` its grants end with their access token."""

    system: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    refresh_tokens: bool = True
    basic_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer's own API credentials (client credentials grant), for one account."""

    system: str
    client_id: str
    client_secret: str = field(repr=False)
    account: Account
    basic_token: str = field(default="", repr=False)
    valid: bool = True


type Party = Client | Customer

DEMO_CUSTOMERS: Final = (
    Customer(
        system=HOTJAR.id,
        client_id="hotjar-demo-customer",
        client_secret="hotjar-demo-secret",  # noqa: S106 - a published demo value
        account=HOTJAR.accounts[0],
    ),
    Customer(
        system=HOTMART.id,
        client_id="hotmart-demo-customer",
        client_secret="hotmart-demo-secret",  # noqa: S106 - a published demo value
        basic_token="hotmart-demo-basic",  # noqa: S106 - a published demo value
        account=HOTMART.accounts[0],
    ),
)


class Parties:
    """Clients and customers by system and client id; a single dictionary operation each, so no lock is needed."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str], Client] = {}
        self._customers = {(customer.system, customer.client_id): customer for customer in DEMO_CUSTOMERS}

    def put_client(self, client: Client) -> None:
        self._clients[client.system, client.client_id] = client

    def put_customer(self, customer: Customer) -> None:
        self._customers[customer.system, customer.client_id] = customer

    def client(self, system: str, client_id: str) -> Client | None:
        return self._clients.get((system, client_id))

    def customer(self, system: str, client_id: str) -> Customer | None:
        return self._customers.get((system, client_id))

    def authenticated_client(self, system: str, client_id: str, secret: str) -> Client:
        client = self.client(system, client_id)
        if client is None:
            raise unknown_client()
        check_secret(client, secret)
        return client

    def authenticated_customer(self, system: str, client_id: str, secret: str) -> Customer:
        customer = self.customer(system, client_id)
        if customer is None or not customer.valid:
            raise unknown_client()
        check_secret(customer, secret)
        return customer

    def client_by_basic(self, system: str, value: str) -> Client:
        """The client whose ready-made or computed Basic value this is."""
        for client in list(self._clients.values()):
            if client.system == system and knows_basic(client, value):
                return client
        raise unknown_client()


def knows_basic(party: Party, value: str) -> bool:
    computed = base64.b64encode(f"{party.client_id}:{party.client_secret}".encode()).decode()
    return same(value, computed) or (bool(party.basic_token) and same(value, party.basic_token))


def check_secret(party: Party, secret: str) -> None:
    if not same(party.client_secret, secret):
        raise Refused("invalid_client", "the client secret is wrong", about="client_secret", status=401)


def unknown_client() -> Refused:
    return Refused("invalid_client", "there is no such client", about="client_id", status=401)


def same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())
