"""The example consumers against providers that answer from a list; the vault is the one for tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

from consentry import NotConnected, Vault
from consentry.testing import Prepared
from functions.sales import app as sales
from functions.surveys import app as surveys
from functions.tickets import app as tickets

EVENTS = Path(__file__).parents[2] / "events"
EXAMPLES = {
    "tickets": (tickets, "hubspot-ticketing", "HUBSPOT_API_BASE"),
    "surveys": (surveys, "hotjar", "HOTJAR_API_BASE"),
    "sales": (sales, "hotmart", "HOTMART_API_BASE"),
}
LIMITED = {"errorType": "RATE_LIMIT"}
NO_TICKETS: dict[str, list[Any]] = {"results": []}


class FakeApi(HTTPAdapter):
    """Answers each request with the next prepared answer: status, body, headers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[int, object, dict[str, str]]] = []
        self.requests: list[requests.PreparedRequest] = []

    def says(self, body: object, status: int = 200, **headers: str) -> None:
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    def send(self, request: requests.PreparedRequest, *_arguments: object, **_options: object) -> requests.Response:
        self.requests.append(request.copy())
        status, body, headers = self.answers.pop(0)
        response = requests.Response()
        response.status_code, response.request, response.url = status, request, str(request.url)
        response.headers.update({"Content-Type": "application/json", **headers})
        response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response.connection = self
        return response

    @property
    def tokens(self) -> list[str]:
        return [str(request.headers["Authorization"]).removeprefix("Bearer ") for request in self.requests]

    @property
    def queries(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(str(request.url)).query) for request in self.requests]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    fake = FakeApi()
    monkeypatch.setattr(requests.Session, "get_adapter", lambda _session, url: fake)
    for module, integration, variable in EXAMPLES.values():
        prepared = Prepared(token="first", renewed=["second"], metadata={"site_id": "14"})
        monkeypatch.setattr(module, "vault", Vault.for_testing({f"acme/{integration}": prepared}))
        monkeypatch.setenv(variable, "https://api.test")
    yield fake
    assert fake.answers == []


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(tickets, "sleep", seconds.append)
    return seconds


def page_of_surveys(*numbers: int, cursor: str | None = None) -> dict[str, Any]:
    rows = [
        {"id": str(each), "name": f"Survey {each}", "type": "link", "is_enabled": True, "url": "x"} for each in numbers
    ]
    return {"results": rows, "next_cursor": cursor}


def page_of_sales(*numbers: int, token: str = "") -> dict[str, Any]:
    price = {"value": 49.9, "currency_code": "EUR"}
    rows = [
        {"product": {"name": "Yoga"}, "purchase": {"transaction": f"HP{each}", "status": "COMPLETE", "price": price}}
        for each in numbers
    ]
    return {"items": rows, "page_info": {"next_page_token": token} if token else {}}


def test_surveys_of_the_connected_site_are_read_to_the_last_page(api: FakeApi) -> None:
    api.says(page_of_surveys(1, 2, cursor="c2"))
    api.says(page_of_surveys(3))
    read = surveys.handler(json.loads((EVENTS / "surveys.json").read_text()), None)
    assert [each["id"] for each in read["surveys"]] == ["1", "2", "3"]
    assert (read["pages"], read["surveys"][0]["name"], "url" in read["surveys"][0]) == (2, "Survey 1", False)
    assert [query.get("cursor") for query in api.queries] == [None, ["c2"]]
    assert {urlsplit(str(each.url)).path for each in api.requests} == {"/v1/sites/14/surveys"}


def test_surveys_without_a_site_are_not_asked_for(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "vault", Vault.for_testing({"acme/hotjar": "first"}))
    assert surveys.handler({"tenant": "acme"}, None)["error"] == "site_id_missing"
    assert api.requests == []


def test_sales_are_read_to_the_last_page(api: FakeApi) -> None:
    api.says(page_of_sales(1, 2, token="p2"))
    api.says(page_of_sales(3))
    read = sales.handler(json.loads((EVENTS / "sales.json").read_text()), None)
    assert [each["transaction"] for each in read["sales"]] == ["HP1", "HP2", "HP3"]
    assert (read["pages"], read["sales"][0]["product"], read["sales"][0]["currency"]) == (2, "Yoga", "EUR")
    assert [query.get("page_token") for query in api.queries] == [None, ["p2"]]


def test_a_200_that_is_a_web_page_is_no_empty_list_of_sales(api: FakeApi) -> None:
    api.says(b"<!doctype html>", Content_Type="text/html; charset=utf-8")
    told = sales.handler({"tenant": "acme"}, None)
    assert (told["error"], "HOTMART_API_BASE" in told["message"]) == ("provider_error", True)


def test_hotmarts_patience_is_told_in_its_own_seconds(api: FakeApi) -> None:
    api.says({}, status=429, RateLimit_Reset="17")
    assert "17 seconds" in sales.handler({"tenant": "acme"}, None)["message"]


@pytest.mark.parametrize(("policy", "seconds"), [("TEN_SECONDLY_ROLLING", 10), ("SECONDLY", 1)])
def test_a_short_limit_of_hubspot_is_waited_for_once(
    api: FakeApi, slept: list[float], policy: str, seconds: int
) -> None:
    for _ in range(2):
        api.says({**LIMITED, "policyName": policy}, status=429)
    assert tickets.handler({"tenant": "acme"}, None)["error"] == "rate_limited"
    assert slept == [seconds]


def test_after_the_wait_the_same_page_is_asked_for_again(api: FakeApi, slept: list[float]) -> None:
    api.says({**LIMITED, "policyName": "SECONDLY"}, status=429)
    api.says(NO_TICKETS)
    assert tickets.handler({"tenant": "acme"}, None) == {"tickets": [], "pages": 1}
    assert (slept, api.queries[0]) == ([1], api.queries[1])


@pytest.mark.parametrize("body", [{**LIMITED, "policyName": "DAILY"}, LIMITED, [], b"<html>"])
def test_a_limit_that_outlasts_a_function_is_not_waited_for(api: FakeApi, slept: list[float], body: object) -> None:
    api.says(body, status=429)
    assert tickets.handler({"tenant": "acme"}, None)["error"] == "rate_limited"
    assert slept == []


@pytest.mark.parametrize(
    ("module", "body"), [(tickets, NO_TICKETS), (surveys, page_of_surveys()), (sales, page_of_sales())]
)
def test_a_rejected_token_is_refreshed_once_and_the_reader_never_notices(
    api: FakeApi, module: ModuleType, body: object
) -> None:
    api.says({}, status=401)
    api.says(body)
    assert "error" not in module.handler({"tenant": "acme"}, None)
    assert api.tokens == ["first", "second"]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(403, {}, "forbidden"), (500, b"oops", "provider_error"), (200, b"<html>", "provider_error"),
     (200, [], "provider_error"), (302, b"", "provider_error")],
)  # fmt: skip
@pytest.mark.parametrize("module", [tickets, surveys, sales])
def test_what_a_provider_refuses_is_told_by_code_and_sentence(
    api: FakeApi, module: ModuleType, status: int, body: object, code: str
) -> None:
    api.says(body, status=status)
    told = module.handler({"tenant": "acme"}, None)
    assert (told["error"], set(told)) == (code, {"error", "message"})


@pytest.mark.parametrize("module", [surveys, sales])
def test_too_many_requests_to_the_others_are_told_too(api: FakeApi, module: ModuleType) -> None:
    api.says({}, status=429)
    assert module.handler({"tenant": "acme"}, None)["error"] == "rate_limited"


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_tenant_without_a_connection_is_told_how_to_connect(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, integration, _ = EXAMPLES[name]
    error = NotConnected("Connect first.")
    monkeypatch.setattr(module, "vault", Vault.for_testing({f"acme/{integration}": error}))
    assert module.handler({"tenant": "acme"}, None) == {"error": "not_connected", "message": "Connect first."}


@pytest.mark.parametrize("tenant", [None, "", "a/b", 7])
@pytest.mark.parametrize("module", [tickets, surveys, sales])
def test_a_missing_or_odd_tenant_is_a_clear_error(api: FakeApi, module: ModuleType, tenant: object) -> None:
    assert module.handler({"tenant": tenant}, None)["error"] == "invalid_identifier"
