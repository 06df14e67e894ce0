import json
import threading

import pytest

from tests.authserver.driver import TOKEN_PATHS, Driver, fingerprint


def test_a_refresh_token_rotates_and_the_new_tokens_work(servers: Driver) -> None:
    first = servers.connect()
    second = servers.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert servers.whoami(second["access_token"]).status_code == 200
    assert servers.refresh(second["refresh_token"]).status_code == 200


def test_using_a_rotated_refresh_token_again_revokes_its_whole_family(servers: Driver) -> None:
    first = servers.connect()
    second = servers.refresh(first["refresh_token"]).json()
    third = servers.refresh(second["refresh_token"]).json()
    assert servers.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert servers.refresh(third["refresh_token"]).json()["error"] == "invalid_grant"
    assert [servers.whoami(answer["access_token"]).status_code for answer in (first, second, third)] == [401] * 3
    stats = servers.stats()
    assert (stats["reused_refresh_tokens"], stats["families_revoked"], stats["live_grants"]) == (1, 1, 0)
    assert stats["refresh_token_posts_max"] == 2


def test_a_family_is_not_its_neighbours(servers: Driver) -> None:
    one, other = servers.connect(), servers.connect()
    servers.refresh(one["refresh_token"])
    servers.refresh(one["refresh_token"])
    assert servers.refresh(other["refresh_token"]).status_code == 200


def test_within_the_grace_a_replay_gets_the_same_successor(servers: Driver) -> None:
    servers.order("options", grace=30)
    first = servers.connect()
    second = servers.refresh(first["refresh_token"]).json()
    servers.clock.advance(29)
    replay = servers.refresh(first["refresh_token"]).json()
    assert replay["refresh_token"] == second["refresh_token"]
    assert servers.whoami(replay["access_token"]).status_code == 200
    assert servers.stats()["replayed_refresh_tokens"] == 1


def test_after_the_grace_a_replay_costs_the_family(servers: Driver) -> None:
    servers.order("options", grace=30)
    first = servers.connect()
    second = servers.refresh(first["refresh_token"]).json()
    servers.clock.advance(30)
    assert servers.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert servers.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_replay_does_not_prolong_the_grace(servers: Driver) -> None:
    servers.order("options", grace=30)
    first = servers.connect()
    servers.refresh(first["refresh_token"])
    servers.clock.advance(20)
    servers.refresh(first["refresh_token"])
    servers.clock.advance(10)
    assert servers.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"


def test_without_rotation_the_same_token_comes_back_any_number_of_times(servers: Driver) -> None:
    servers.order("options", rotation="none")
    token = servers.connect()["refresh_token"]
    assert [servers.refresh(token).json()["refresh_token"] for _ in range(3)] == [token] * 3
    stats = servers.stats()
    assert (stats["refresh_token_posts_max"], stats["reused_refresh_tokens"]) == (3, 0)


def test_of_eight_simultaneous_refreshes_one_wins_and_the_family_is_lost(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(servers.refresh(token).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [200] + [400] * 7
    assert servers.stats()["families_revoked"] == 1


def test_scopes_can_be_narrowed_but_not_widened(servers: Driver) -> None:
    first = servers.connect()
    narrow = servers.refresh(first["refresh_token"], scope="read").json()
    assert narrow["scope"] == "read"
    wide = servers.refresh(narrow["refresh_token"], scope="read write tickets")
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")
    assert servers.refresh(narrow["refresh_token"]).json()["scope"] == "read write"


def test_a_refresh_token_is_bound_to_its_client(servers: Driver) -> None:
    servers.register(client_id="other")
    token = servers.connect()["refresh_token"]
    fields = {"grant_type": "refresh_token", "refresh_token": token}
    answer = servers.post(TOKEN_PATHS["generic"], fields, headers=servers.basic("other"))
    assert answer.json()["error"] == "invalid_grant"
    assert servers.refresh(token).status_code == 200


def test_a_refresh_token_ends_when_its_own_lifetime_ends_and_each_rotation_renews_it(servers: Driver) -> None:
    servers.order("options", refresh_ttl=100)
    first = servers.connect()
    servers.clock.advance(99)
    second = servers.refresh(first["refresh_token"]).json()
    servers.clock.advance(100)
    assert servers.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    assert servers.stats()["families_revoked"] == 0


def test_an_access_token_ends_on_time(servers: Driver) -> None:
    servers.order("options", access_ttl=3)
    granted = servers.connect()
    assert granted["expires_in"] == 3
    servers.clock.advance(2.9)
    assert servers.whoami(granted["access_token"]).status_code == 200
    servers.clock.advance(0.1)
    assert servers.whoami(granted["access_token"]).status_code == 401


def test_a_new_client_secret_replaces_the_old_one_and_keeps_the_grants(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    old, servers.client_secret = servers.client_secret, "a new secret"
    servers.register()
    assert servers.refresh(token).status_code == 200
    servers.client_secret = old
    assert servers.refresh(token).json()["error"] == "invalid_client"


def test_the_log_tells_the_order_of_requests_without_any_token(servers: Driver) -> None:
    code = servers.code()
    first = servers.exchange(code).json()
    second = servers.refresh(first["refresh_token"]).json()
    servers.refresh(first["refresh_token"])
    log = servers.log()
    assert [entry["n"] for entry in log] == [1, 2, 3]
    assert [entry["outcome"] for entry in log] == ["issued", "issued", "invalid_grant"]
    assert [entry["status"] for entry in log] == [200, 200, 400]
    assert log[0]["code_id"] == fingerprint(code)
    assert log[1]["refresh_token_id"] == log[2]["refresh_token_id"] == fingerprint(first["refresh_token"])
    assert {entry["client_id"] for entry in log} == {servers.client_id}
    assert len({entry["grant_id"] for entry in log}) == 1
    written = json.dumps(log)
    secrets = [code, servers.client_secret, *(a[k] for a in (first, second) for k in ("access_token", "refresh_token"))]
    assert not [secret for secret in secrets if secret in written]


@pytest.mark.parametrize("together", [1, 3])
def test_requests_of_one_grant_that_overlap_are_counted(servers: Driver, together: int) -> None:
    token = servers.connect()["refresh_token"]
    barrier = threading.Barrier(together)

    def wait_for_all(_seconds: float) -> None:
        barrier.wait(10)

    servers.simulation.sleep = wait_for_all
    servers.order("faults", endpoint="token", kind="delay", count=together)
    threads = [threading.Thread(target=servers.refresh, args=(token,)) for _ in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert servers.stats()["max_in_flight_per_grant"] == together
    assert [entry["in_flight_max_for_grant"] for entry in servers.log()[1:]] == [together] * together
