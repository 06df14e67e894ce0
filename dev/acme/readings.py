"""What Acme does with its customers' connections: it reads tickets, surveys and sales, to the last page."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

from dev.acme.cards import READABLE
from dev.acme.consentry_api import Consentry, Json, Token
from dev.acme.trouble import Trouble
from dev.ready import Ready

PAGE_SIZE: Final = 10
MAXIMUM_PAGES: Final = 50
TIMEOUT_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows to show; `pages` is how many requests to the provider they took."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    pages: int


class Readings:
    """Each reading takes a tenant and one of its connected integrations, and raises `Trouble` if it cannot be had."""

    def __init__(self, ready: Ready, consentry: Consentry) -> None:
        self._consentry = consentry
        self._providers_url = ready.authorization_server_url or ""
        self._tickets_function = ready.functions.get("TicketsFunction", "")
        aws = boto3.Session(ready.access_key_id, ready.secret_access_key, region_name=ready.region)
        self._functions = aws.client("lambda", endpoint_url=ready.aws_endpoint)

    def of(self, provider: str) -> Callable[[str, str], Table] | None:
        """Return what can be read from a provider, if Acme knows something."""
        known = {"tickets": self.tickets, "surveys": self.surveys, "sales": self.sales}
        return known.get(READABLE.get(provider, ""))

    def tickets(self, tenant: str, integration: str) -> Table:
        """Ask a function of Acme's own, which has the layer and reads the token itself."""
        answer = self._invoke({"tenant": tenant, "integration": integration, "limit": PAGE_SIZE})
        if "error" in answer:
            raise Trouble(str(answer["message"]), str(answer["error"]))
        rows = [(each["id"], each["subject"], each["stage"], each["created_at"][:10]) for each in answer["tickets"]]
        columns = ("Ticket", "Subject", "Stage", "Created")
        return Table(title="Tickets", columns=columns, rows=rows, pages=answer["pages"])

    def surveys(self, tenant: str, integration: str) -> Table:
        """Read Hotjar with a token from the management API; the site is an input that the customer gave."""
        site = str(self._consentry.token(tenant, integration).metadata.get("site_id", ""))
        if not site:
            raise Trouble("Hotjar needs a site ID. Enter it with the credentials.", "site_id_missing", status=400)
        path = f"/api.hotjar.io/v1/sites/{site}/surveys"

        def page(cursor: object) -> Json:
            query = {"limit": str(PAGE_SIZE), **({"cursor": str(cursor)} if cursor else {})}
            return self._get(tenant, integration, path, query)

        pages = list(_pages(page, lambda answer: answer.get("next_cursor")))
        found = [each for answer in pages for each in answer["results"]]
        rows = [(each["id"], each["name"], each["type"], "on" if each["is_enabled"] else "off") for each in found]
        return Table(title="Surveys", columns=("Survey", "Name", "Type", "State"), rows=rows, pages=len(pages))

    def sales(self, tenant: str, integration: str) -> Table:
        def page(cursor: object) -> Json:
            query = {"max_results": str(PAGE_SIZE), **({"page_token": str(cursor)} if cursor else {})}
            return self._get(tenant, integration, "/developers.hotmart.com/payments/api/v1/sales/history", query)

        pages = list(_pages(page, lambda answer: answer["page_info"].get("next_page_token")))
        rows = [_sale(each) for answer in pages for each in answer["items"]]
        columns = ("Transaction", "Product", "Price", "State", "Ordered")
        return Table(title="Sales", columns=columns, rows=rows, pages=len(pages))

    def _invoke(self, event: Mapping[str, object]) -> Json:
        try:
            answer = self._functions.invoke(FunctionName=self._tickets_function, Payload=json.dumps(event))
            content: Json = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError):
            raise Trouble("The tickets function could not be called. Is the stack running?", "unreachable") from None
        if answer.get("FunctionError"):
            raise Trouble("The tickets function failed; its log says why.", "function_error")
        return content

    def _get(self, tenant: str, integration: str, path: str, query: Mapping[str, str]) -> Json:
        """GET with the connection's token; after a 401, once more with a newer one."""
        token = self._consentry.token(tenant, integration)
        answer = self._send(path, query, token)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self._consentry.refresh(tenant, integration, token.generation)
            answer = self._send(path, query, self._consentry.token(tenant, integration))
        try:
            content = answer.json() if answer.ok else None
        except requests.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise Trouble(f"The provider's API refused (HTTP status {answer.status_code}).", "provider_error")
        return content

    def _send(self, path: str, query: Mapping[str, str], token: Token) -> requests.Response:
        headers = {"Authorization": f"Bearer {token.access_token.reveal()}"}
        try:
            with requests.Session() as connection:
                connection.trust_env = False
                url = self._providers_url + path
                return connection.get(
                    url, params=query, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
                )
        except requests.RequestException:
            raise Trouble("The provider's API does not answer. Try again in a moment.", "provider_silent") from None


def _pages(page: Callable[[object], Json], cursor_of: Callable[[Json], object]) -> Iterator[Json]:
    return islice(_endless(page, cursor_of), MAXIMUM_PAGES)


def _endless(page: Callable[[object], Json], cursor_of: Callable[[Json], object]) -> Iterator[Json]:
    cursor: object = None
    while True:
        answer = page(cursor)
        yield answer
        cursor = cursor_of(answer)
        if not cursor:
            return


def _sale(sale: Mapping[str, Any]) -> tuple[str, ...]:
    purchase = sale["purchase"]
    price = f"{purchase['price']['value']:.2f} {purchase['price']['currency_code']}"
    ordered = datetime.fromtimestamp(purchase["order_date"] / 1000, UTC).date().isoformat()
    return purchase["transaction"], sale["product"]["name"], price, purchase["status"].lower(), ordered
