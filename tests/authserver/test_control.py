import pytest

from tests.authserver.driver import TOKEN_PATHS, Driver


def test_health_says_where_it_is(servers: Driver) -> None:
    assert servers.get("/_control/health").json() == {"status": "ok", "url": servers.base_url}


def test_revoking_by_account_ends_that_accounts_tokens_only(servers: Driver) -> None:
    acme, globex = servers.connect("generic", "acme"), servers.connect("generic", "globex")
    assert servers.order("revoke", account="globex").json() == {"revoked": 1}
    assert servers.whoami(acme["access_token"]).status_code == 200
    assert servers.whoami(globex["access_token"]).status_code == 401
    assert servers.refresh(globex["refresh_token"]).json()["error"] == "invalid_grant"
    assert servers.refresh(acme["refresh_token"]).status_code == 200
    assert servers.stats()["live_grants"] == 1
    assert servers.stats()["families_revoked"] == 0


def test_revoking_by_system_or_client_leaves_the_others_alone(servers: Driver) -> None:
    servers.register("hotjar")
    servers.connect()
    servers.connect("hotjar")
    assert servers.order("revoke", system="hubspot").json() == {"revoked": 0}
    assert servers.order("revoke", client_id="nobody").json() == {"revoked": 0}
    assert servers.order("revoke", system="hotjar", client_id="app").json() == {"revoked": 1}
    assert servers.order("revoke").json() == {"revoked": 1}


def test_access_tokens_can_be_expired_while_refresh_tokens_live(servers: Driver) -> None:
    granted = servers.connect()
    assert servers.order("expire_access_tokens", system="hubspot").json() == {"expired": 0}
    assert servers.order("expire_access_tokens").json() == {"expired": 1}
    assert servers.whoami(granted["access_token"]).status_code == 401
    fresh = servers.refresh(granted["refresh_token"]).json()
    assert servers.whoami(fresh["access_token"]).status_code == 200


def test_a_reset_forgets_everything_but_the_demo_customers(servers: Driver) -> None:
    granted = servers.connect()
    servers.order("options", rotation="none")
    servers.order("faults", endpoint="token", kind="status")
    servers.order("reset")
    assert servers.whoami(granted["access_token"]).status_code == 401
    assert servers.authorize().status_code == 400
    assert servers.log() == []
    assert servers.stats()["faults_left"] == 0
    assert servers.simulation.options.rotation == "rotates"
    fields = {
        "grant_type": "client_credentials",
        "client_id": "hotjar-demo-customer",
        "client_secret": "hotjar-demo-secret",
    }
    assert servers.post("/api.hotjar.io/v1/oauth/token", fields).status_code == 200


def test_requests_are_counted_by_grant_type_also_when_they_fail(servers: Driver) -> None:
    granted = servers.connect()
    servers.refresh(granted["refresh_token"])
    servers.refresh("unknown")
    servers.post(TOKEN_PATHS["generic"], json={})
    assert servers.stats()["by_grant_type"] == {"authorization_code": 1, "refresh_token": 2, "missing": 1}


@pytest.mark.parametrize(
    ("route", "mistake", "word"),
    [
        ("options", {"rotation": "sometimes"}, "rotation"),
        ("options", {"access_ttl": "soon"}, "access_ttl"),
        ("options", {"access_ttl": -1}, "access_ttl"),
        ("options", {"account": "nobody"}, "account"),
        ("options", {"auto_consent": True}, "auto_consent"),
        ("options", {"speed": 1}, "speed"),
        ("clients", {"system": "generic"}, "client_id"),
        ("clients", {"system": "x", "client_id": "a", "client_secret": "b", "redirect_uris": []}, "system"),
        (
            "clients",
            {"system": "generic", "client_id": "a", "client_secret": "b", "redirect_uris": ["/cb"]},
            "absolute",
        ),
        ("customers", {"system": "hubspot", "client_id": "a", "client_secret": "b"}, "system"),
        ("customers", {"system": "hotjar", "client_id": "a", "client_secret": "b", "account": "x"}, "account"),
        ("revoke", {"everything": True}, "everything"),
        ("reset", {"now": True}, "now"),
    ],
)
def test_an_order_that_makes_no_sense_is_explained(
    servers: Driver, route: str, mistake: dict[str, object], word: str
) -> None:
    answer = servers.post(f"/_control/{route}", json=mistake)
    assert answer.status_code == 400
    assert word in answer.json()["error"]


@pytest.mark.parametrize("body", ["[]", "not json", '"x"'])
def test_an_order_must_be_a_json_object(servers: Driver, body: str) -> None:
    answer = servers.post("/_control/options", body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "JSON object" in answer.json()["error"]


def test_a_web_page_of_another_origin_cannot_give_orders(servers: Driver) -> None:
    simple = servers.post("/_control/reset", "{}", headers={"Content-Type": "text/plain"})
    rebound = servers.post("/_control/reset", json={}, headers={"Host": "evil.test"})
    assert (simple.status_code, rebound.status_code) == (400, 400)
    assert servers.authorize().status_code == 200
