import base64
from urllib.parse import unquote, urlencode

import pytest
import requests

from tests.authserver.driver import TOKEN_PATHS, Driver

TOKEN = TOKEN_PATHS["hotmart"]
SALES = "/developers.hotmart.com/payments/api/v1/sales/history"
CUSTOMER = {
    "grant_type": "client_credentials",
    "client_id": "hotmart-demo-customer",
    "client_secret": "hotmart-demo-secret",
}
COMPUTED = base64.b64encode(b"hotmart-demo-customer:hotmart-demo-secret").decode()


def mint(servers: Driver, basic: str = "hotmart-demo-basic", **changes: str) -> requests.Response:
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    return servers.post(f"{TOKEN}?{urlencode(CUSTOMER | changes)}", headers=headers)


@pytest.mark.parametrize("basic", ["hotmart-demo-basic", COMPUTED])
def test_query_and_basic_header_give_a_token(servers: Driver, basic: str) -> None:
    answer = mint(servers, basic)
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "jti"}


def test_the_token_looks_odd_and_works_only_verbatim(servers: Driver) -> None:
    token = mint(servers).json()["access_token"]
    assert all(character in token for character in "+/=%")
    assert servers.get(SALES, token=token).status_code == 200
    assert servers.get(SALES, token=unquote(token)).json()["error"] == "invalid_token"


@pytest.mark.parametrize(
    ("basic", "changes"),
    [
        ("wrong", {}),
        ("hotmart-demo-basic", {"client_secret": "wrong"}),
        ("hotmart-demo-basic", {"client_id": "nobody"}),
    ],
)
def test_header_and_query_must_both_be_right(servers: Driver, basic: str, changes: dict[str, str]) -> None:
    answer = mint(servers, basic, **changes)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


def test_without_the_header_or_with_a_body_it_is_refused(servers: Driver) -> None:
    path = f"{TOKEN}?{urlencode(CUSTOMER)}"
    assert servers.post(path).status_code == 401
    answer = servers.post(path, json=CUSTOMER, headers={"Authorization": "Basic hotmart-demo-basic"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_client_credentials_in_a_form_and_codes_in_a_query_are_refused(servers: Driver) -> None:
    headers = {"Authorization": "Basic hotmart-demo-basic"}
    assert servers.post(TOKEN, CUSTOMER, headers=headers).json()["error"] == "invalid_request"
    query = urlencode({"grant_type": "authorization_code", "code": "x"})
    assert servers.post(f"{TOKEN}?{query}", headers=headers).json()["error"] == "invalid_request"


def test_a_new_secret_ends_the_old_ready_made_basic_token(servers: Driver) -> None:
    servers.order("customers", system="hotmart", client_id=CUSTOMER["client_id"], client_secret="new")
    assert mint(servers, client_secret="new").status_code == 401
    computed = base64.b64encode(b"hotmart-demo-customer:new").decode()
    assert mint(servers, computed, client_secret="new").status_code == 200


def test_the_code_variant_takes_a_form_with_a_basic_header(servers: Driver) -> None:
    servers.register("hotmart")
    granted = servers.connect("hotmart")
    assert servers.refresh(granted["refresh_token"], "hotmart").status_code == 200
    assert servers.get(SALES, token=granted["access_token"]).status_code == 200


def test_the_code_variant_knows_a_ready_made_basic_token_too(servers: Driver) -> None:
    servers.register("hotmart", basic_token="ready-made")
    fields = {"grant_type": "refresh_token", "refresh_token": "unknown", "client_id": "app"}
    ready, wrong = ({"Authorization": f"Basic {value}"} for value in ("ready-made", "other"))
    assert servers.post(TOKEN, fields, headers=ready).json()["error"] == "invalid_grant"
    assert servers.post(TOKEN, fields, headers=wrong).json()["error"] == "unauthorized"
    stranger = fields | {"client_id": "other"}
    assert servers.post(TOKEN, stranger, headers=ready).json()["error"] == "unauthorized"


def test_sales_are_paged_by_token(servers: Driver) -> None:
    token = mint(servers).json()["access_token"]
    page = servers.get(SALES, token=token, query={"max_results": "20"}).json()
    following = {"max_results": "20", "page_token": page["page_info"]["next_page_token"]}
    rest = servers.get(SALES, token=token, query=following).json()
    assert (len(page["items"]), len(rest["items"])) == (20, 3)
    assert page["page_info"]["total_results"] == 23
    assert "next_page_token" not in rest["page_info"]


def test_me_is_the_customer(servers: Driver) -> None:
    token = mint(servers).json()["access_token"]
    assert servers.get("/developers.hotmart.com/user/api/v1/me", token=token).json()["name"] == "Acme GmbH"


def test_an_ended_token_is_told_apart_from_an_unknown_one(servers: Driver) -> None:
    token = mint(servers).json()["access_token"]
    servers.clock.advance(1801)
    assert servers.get(SALES, token=token).json()["error"] == "token_expired"
    assert servers.get(SALES).json()["error"] == "unauthorized"


def test_a_path_that_does_not_exist_answers_200_with_html(servers: Driver) -> None:
    answer = servers.get("/developers.hotmart.com/payments/api/v2/nothing")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
