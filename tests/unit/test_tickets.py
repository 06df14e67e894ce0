"""The example consumer, against a HubSpot that answers from a list; the vault hands out one token."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from consentry import ConsentryError, NotConnected
from consentry.errors import InvalidRequest
from consentry.model import ConnectionKey
from functions.tickets import app

EVENT = Path(__file__).parents[2] / "events" / "tickets.json"


def ticket(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "properties": {"subject": f"Ticket {number}", "hs_pipeline_stage": "1"},
        "createdAt": "2026-09-01T08:30:00.000Z",
        "archived": False,
    }


def page(*numbers: int, after: str = "") -> tuple[int, object]:
    paging = {"paging": {"next": {"after": after, "link": "https://elsewhere.example/"}}} if after else {}
    return 200, {"results": [ticket(number) for number in numbers], **paging}


class FakeHubSpot(BaseAdapter):
    """Answers each request with the next prepared answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[int, object]] = []
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_arguments: object, **_options: object) -> requests.Response:
        self.requests.append(request)
        status, body = self.answers.pop(0)
        if isinstance(body, Exception):
            raise body
        response = requests.Response()
        response.status_code = status
        response.request = request
        response.url = str(request.url)
        response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return response

    def close(self) -> None:
        pass

    @property
    def queries(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(str(request.url)).query) for request in self.requests]


class OneToken:
    """A vault whose customer is connected, or is not."""

    error: ConsentryError | None = None

    def auth(self, tenant: str, integration: str) -> Any:  # noqa: ANN401 - what `requests` takes as auth
        ConnectionKey.parse(tenant, integration)

        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if self.error:
                raise self.error
            request.headers["Authorization"] = f"Bearer {tenant}/{integration}"
            return request

        return sign


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> OneToken:
    fake = OneToken()
    monkeypatch.setattr(app, "vault", fake)
    monkeypatch.setenv("HUBSPOT_API_BASE", "https://api.hubapi.com")
    return fake


@pytest.fixture
def hubspot(vault: OneToken, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHubSpot]:
    fake = FakeHubSpot()
    monkeypatch.setattr(requests.Session, "get_adapter", lambda _session, url: fake)
    yield fake
    assert fake.answers == []


def handled(**event: object) -> dict[str, Any]:
    return app.handler({"tenant": "acme", **event}, None)


def test_the_sample_event_reads_all_pages(hubspot: FakeHubSpot) -> None:
    hubspot.answers = [page(1, 2, after="c1"), page(3, after="c2"), page(4)]
    answer = app.handler(json.loads(EVENT.read_text()), None)
    assert [each["id"] for each in answer["tickets"]] == ["1", "2", "3", "4"]
    assert answer["pages"] == 3
    assert answer["tickets"][0] == {
        "id": "1",
        "subject": "Ticket 1",
        "stage": "1",
        "created_at": "2026-09-01T08:30:00.000Z",
    }
    assert [query.get("after") for query in hubspot.queries] == [None, ["c1"], ["c2"]]


def test_each_request_asks_for_the_wanted_properties_with_the_tenants_token(hubspot: FakeHubSpot) -> None:
    hubspot.answers = [page()]
    assert handled(limit=7) == {"tickets": [], "pages": 1}
    (request,) = hubspot.requests
    assert str(request.url).startswith("https://api.hubapi.com/crm/v3/objects/tickets?")
    assert hubspot.queries == [{"limit": ["7"], "properties": ["subject,hs_pipeline_stage"]}]
    assert request.headers["Authorization"] == "Bearer acme/hubspot-ticketing"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((403, {"category": "MISSING_SCOPES"}), "forbidden"),
        ((429, {"errorType": "RATE_LIMIT"}), "rate_limited"),
        ((401, {"category": "EXPIRED_AUTHENTICATION"}), "provider_error"),
        ((500, b"oops"), "provider_error"),
        ((302, b""), "provider_error"),
        ((200, b"<html>"), "provider_error"),
        ((200, []), "provider_error"),
        ((200, {"results": [{"id": "1"}]}), "provider_error"),
        ((0, requests.ConnectionError("https://api.hubapi.com/?secret")), "provider_error"),
    ],
)
def test_what_hubspot_refuses_is_told_by_code_and_sentence(
    hubspot: FakeHubSpot, answer: tuple[int, object], code: str
) -> None:
    hubspot.answers = [answer]
    told = handled()
    assert told["error"] == code
    assert set(told) == {"error", "message"}
    assert "https://" not in told["message"]


def test_a_tenant_without_a_connection_is_told_how_to_connect(vault: OneToken, hubspot: FakeHubSpot) -> None:
    vault.error = NotConnected("Connect first.")
    assert handled() == {"error": "not_connected", "message": "Connect first."}


@pytest.mark.parametrize("tenant", [None, "", "a/b", 7])
def test_a_missing_or_odd_tenant_is_a_clear_error(vault: OneToken, tenant: object) -> None:
    assert handled(tenant=tenant)["error"] == InvalidRequest("", code="invalid_identifier").code
