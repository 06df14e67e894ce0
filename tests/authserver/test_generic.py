from tests.authserver.driver import Driver

INTROSPECT = "/auth.example/introspect"
REVOKE = "/auth.example/revoke"


def test_introspection_follows_rfc_7662(servers: Driver) -> None:
    granted = servers.connect("generic", "globex")
    for name in ("access_token", "refresh_token"):
        found = servers.post(INTROSPECT, {"token": granted[name]}, headers=servers.basic()).json()
        assert (found["active"], found["sub"], found["scope"]) == (True, "account-globex", "read write")
    assert servers.post(INTROSPECT, {"token": "unknown"}, headers=servers.basic()).json() == {"active": False}
    assert servers.post(INTROSPECT, {"token": granted["access_token"]}).status_code == 401


def test_a_token_is_inactive_to_another_client(servers: Driver) -> None:
    servers.register(client_id="other")
    granted = servers.connect()
    for name in ("access_token", "refresh_token"):
        found = servers.post(INTROSPECT, {"token": granted[name]}, headers=servers.basic("other"))
        assert found.json() == {"active": False}
        servers.post(REVOKE, {"token": granted[name]}, headers=servers.basic("other"))
    assert servers.whoami(granted["access_token"]).status_code == 200


def test_revoking_a_refresh_token_ends_the_grant(servers: Driver) -> None:
    granted = servers.connect()
    assert servers.post(REVOKE, {"token": granted["refresh_token"]}, headers=servers.basic()).status_code == 200
    assert servers.whoami(granted["access_token"]).status_code == 401
    assert servers.refresh(granted["refresh_token"]).json()["error"] == "invalid_grant"
    assert servers.stats()["live_grants"] == 0


def test_revoking_an_access_token_leaves_the_grant(servers: Driver) -> None:
    granted = servers.connect()
    assert servers.post(REVOKE, {"token": granted["access_token"]}, headers=servers.basic()).status_code == 200
    assert servers.whoami(granted["access_token"]).status_code == 401
    assert servers.refresh(granted["refresh_token"]).status_code == 200


def test_revoking_an_unknown_token_is_fine(servers: Driver) -> None:
    assert servers.post(REVOKE, {"token": "unknown"}, headers=servers.basic()).status_code == 200
    assert servers.post(REVOKE, {}, headers=servers.basic()).json()["error"] == "invalid_request"


def test_whoami_without_a_token_is_challenged(servers: Driver) -> None:
    answer = servers.get("/auth.example/whoami")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
