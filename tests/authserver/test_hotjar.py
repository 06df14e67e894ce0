import pytest

from tests.authserver.driver import TOKEN_PATHS, Driver

TOKEN = "/api.hotjar.io/v1/oauth/token"
SURVEYS = "/api.hotjar.io/v1/sites/14/surveys"
CUSTOMER = {
    "grant_type": "client_credentials",
    "client_id": "hotjar-demo-customer",
    "client_secret": "hotjar-demo-secret",
}


def minted(servers: Driver) -> str:
    token: str = servers.post(TOKEN, CUSTOMER).json()["access_token"]
    return token


def test_a_customers_credentials_give_a_token_and_nothing_to_refresh(servers: Driver) -> None:
    answer = servers.post(TOKEN, CUSTOMER)
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)


def test_only_form_fields_are_read(servers: Driver) -> None:
    assert servers.post(TOKEN, json=CUSTOMER).status_code == 415
    assert servers.post(TOKEN + "?grant_type=client_credentials", CUSTOMER).status_code == 400
    basic = servers.basic(CUSTOMER["client_id"], CUSTOMER["client_secret"])
    assert servers.post(TOKEN, {"grant_type": "client_credentials"}, headers=basic).status_code == 400
    assert servers.post(TOKEN, CUSTOMER | {"scope": "insights"}).status_code == 400


@pytest.mark.parametrize("change", [{"client_id": "nobody"}, {"client_secret": "wrong"}])
def test_wrong_credentials_are_an_invalid_client(servers: Driver, change: dict[str, str]) -> None:
    answer = servers.post(TOKEN, CUSTOMER | change)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_credentials_can_be_rotated_and_disabled_while_minted_tokens_live(servers: Driver) -> None:
    token = minted(servers)
    names = {"system": "hotjar", "client_id": CUSTOMER["client_id"]}
    servers.order("customers", **names, client_secret="new")
    assert servers.post(TOKEN, CUSTOMER).status_code == 401
    assert servers.post(TOKEN, CUSTOMER | {"client_secret": "new"}).status_code == 200
    servers.order("customers", **names, client_secret="new", valid=False)
    assert servers.post(TOKEN, CUSTOMER | {"client_secret": "new"}).status_code == 401
    assert servers.get(SURVEYS, token=token).status_code == 200


def test_surveys_are_paged_by_cursor(servers: Driver) -> None:
    token = minted(servers)
    page = servers.get(SURVEYS, token=token, query={"limit": "25"}).json()
    rest = servers.get(SURVEYS, token=token, query={"limit": "25", "cursor": page["next_cursor"]}).json()
    assert (len(page["results"]), len(rest["results"]), rest["next_cursor"]) == (25, 5, None)
    assert "questions" not in page["results"][0]
    asked = servers.get(SURVEYS, token=token, query={"limit": "1", "with_questions": "true"}).json()
    assert asked["results"][0]["questions"]


def test_a_token_reaches_its_own_site_only_and_only_while_it_lives(servers: Driver) -> None:
    token = minted(servers)
    assert servers.get("/api.hotjar.io/v1/sites/15/surveys", token=token).status_code == 403
    assert servers.get(SURVEYS).json()["message"]
    servers.clock.advance(1800)
    assert servers.get(SURVEYS, token=token).status_code == 401


def test_the_code_variant_takes_json_and_refreshes(servers: Driver) -> None:
    servers.register("hotjar", scopes=["insights"])
    granted = servers.connect("hotjar", "globex", scope="insights")
    assert granted["scope"] == "insights"
    assert servers.refresh(granted["refresh_token"], "hotjar").status_code == 200
    sites = "/api.hotjar.io/v1/sites/15/surveys"
    assert servers.get(sites, token=granted["access_token"]).status_code == 200


def test_the_code_variant_refuses_a_form_and_json_that_is_not_an_object_of_strings(servers: Driver) -> None:
    servers.register("hotjar")
    path = TOKEN_PATHS["hotjar"]
    assert servers.post(path, {"grant_type": "refresh_token"}).status_code == 415
    json_type = {"Content-Type": "application/json"}
    for body in ("[]", "{", '{"grant_type": 1}', '{"code": "a", "code": "b"}', "[" * 100_000, "null"):
        answer = servers.post(path, body, headers=json_type)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_customers_and_applications_have_token_endpoints_of_their_own(servers: Driver) -> None:
    assert servers.post(TOKEN_PATHS["hotjar"], json=CUSTOMER).json()["error"] == "unsupported_grant_type"
    fields = CUSTOMER | {"grant_type": "authorization_code"}
    assert servers.post(TOKEN, fields).json()["error"] == "unsupported_grant_type"
