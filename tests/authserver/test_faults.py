import json

import pytest
import requests

from tests.authserver.driver import TOKEN_PATHS, Driver


def order(servers: Driver, kind: str, **more: object) -> None:
    servers.order("faults", endpoint=more.pop("endpoint", "token"), kind=kind, **more)


def test_a_status_is_sent_without_acting_and_then_all_is_well_again(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    order(servers, "status", status=503, count=2, headers={"Retry-After": "7"})
    failed = [servers.refresh(token) for _ in range(2)]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in failed] == [(503, "7")] * 2
    assert servers.refresh(token).status_code == 200
    outcomes = [(entry["fault"], entry["outcome"], entry["status"]) for entry in servers.log()[1:]]
    assert outcomes == [("status", "not_processed", 503)] * 2 + [("", "issued", 200)]


def test_a_json_error_carries_the_code_that_was_ordered(servers: Driver) -> None:
    order(servers, "json_error", error="invalid_grant")
    answer = servers.token(grant_type="refresh_token", refresh_token="x")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    order(servers, "json_error", error="slow_down", status=200)
    answer = servers.token(grant_type="refresh_token", refresh_token="x")
    assert (answer.status_code, answer.json()["error"]) == (200, "slow_down")


def test_html_and_nothing_come_with_a_200(servers: Driver) -> None:
    order(servers, "html")
    order(servers, "empty")
    html, empty = (servers.token(grant_type="refresh_token", refresh_token="x") for _ in range(2))
    assert (html.status_code, html.text[:9]) == (200, "<!doctype")
    assert (empty.status_code, empty.content) == (200, b"")


@pytest.mark.parametrize("kind", ["empty", "html"])
def test_an_unusable_answer_can_come_after_the_rotation(servers: Driver, kind: str) -> None:
    token = servers.connect()["refresh_token"]
    order(servers, kind, when="after")
    assert servers.refresh(token).status_code == 200
    assert servers.log()[-1]["outcome"] == "issued"
    assert servers.refresh(token).json()["error"] == "invalid_grant"


def test_a_truncated_answer_is_half_of_a_real_one(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    order(servers, "truncated")
    answer = servers.refresh(token)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)
    assert servers.log()[-1]["outcome"] == "issued"


def test_dropped_before_acting_the_token_still_works(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    order(servers, "drop_before")
    with pytest.raises(requests.ConnectionError):
        servers.refresh(token)
    assert servers.log()[-1]["outcome"] == "not_processed"
    assert servers.log()[-1]["status"] == 0
    assert servers.refresh(token).status_code == 200


def test_dropped_after_the_rotation_the_token_is_spent(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    order(servers, "drop_after")
    with pytest.raises(requests.ConnectionError):
        servers.refresh(token)
    assert (servers.log()[-1]["outcome"], servers.log()[-1]["status"]) == ("issued", 0)
    assert servers.refresh(token).json()["error"] == "invalid_grant"
    assert servers.stats()["live_grants"] == 0


def test_dropped_after_the_rotation_a_grace_saves_the_grant(servers: Driver) -> None:
    servers.order("options", grace=600)
    token = servers.connect()["refresh_token"]
    order(servers, "drop_after")
    with pytest.raises(requests.ConnectionError):
        servers.refresh(token)
    assert servers.refresh(token).status_code == 200


def test_dropped_midway_half_of_the_answer_arrives(servers: Driver) -> None:
    token = servers.connect()["refresh_token"]
    order(servers, "drop_midway")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        servers.refresh(token)
    assert servers.log()[-1]["outcome"] == "issued"


def test_a_delay_comes_before_acting_and_delay_after_once_it_is_done(servers: Driver) -> None:
    seen: list[tuple[float, object]] = []
    servers.simulation.sleep = lambda seconds: seen.append((seconds, servers.simulation.journal.log()[-1]["outcome"]))
    first = servers.connect()
    order(servers, "delay", seconds=3)
    second = servers.refresh(first["refresh_token"]).json()
    order(servers, "delay_after", seconds=4)
    assert servers.refresh(second["refresh_token"]).status_code == 200
    assert seen == [(3, "in_flight"), (4, "issued")]


def test_seconds_delay_any_other_fault_too(servers: Driver) -> None:
    slept: list[float] = []
    servers.simulation.sleep = slept.append
    order(servers, "status", seconds=2)
    assert servers.token(grant_type="refresh_token", refresh_token="x").status_code == 503
    assert slept == [2]


def test_a_dripping_answer_is_whole_and_takes_its_time(servers: Driver) -> None:
    slept: list[float] = []
    token = servers.connect()["refresh_token"]
    servers.simulation.sleep = slept.append
    order(servers, "drip", seconds=8)
    assert servers.refresh(token).json()["access_token"]
    assert sum(slept) == pytest.approx(8)


def test_a_huge_answer_is_larger_than_any_cap(servers: Driver) -> None:
    order(servers, "huge")
    fields = {"grant_type": "refresh_token", "refresh_token": "x"}
    url = servers.base_url + TOKEN_PATHS["generic"]
    with requests.post(url, fields, headers=servers.basic(), stream=True, timeout=10) as answer:
        received = sum(len(chunk) for chunk in answer.iter_content(65536))
    assert received > 16 * 1024 * 1024


def test_whoever_follows_a_redirect_is_noticed(servers: Driver) -> None:
    order(servers, "redirect", count=2)
    fields = {"grant_type": "refresh_token", "refresh_token": "x"}
    assert servers.post(TOKEN_PATHS["generic"], fields, headers=servers.basic()).status_code == 307
    assert servers.stats()["redirects_followed"] == 0
    requests.post(servers.base_url + TOKEN_PATHS["generic"], fields, timeout=10)
    assert servers.stats()["redirects_followed"] == 1


def test_a_fault_waits_for_its_own_system_grant_type_and_endpoint(servers: Driver) -> None:
    order(servers, "status", system="hubspot")
    order(servers, "status", grant_type="client_credentials")
    order(servers, "status", endpoint="api", status=500)
    granted = servers.connect()
    assert servers.refresh(granted["refresh_token"]).status_code == 200
    assert servers.whoami(granted["access_token"]).status_code == 500
    assert servers.whoami(granted["access_token"]).status_code == 200
    assert servers.stats()["faults_left"] == 2


def test_faults_are_used_in_the_order_in_which_they_came(servers: Driver) -> None:
    for status in (500, 502, 504):
        order(servers, "status", status=status)
    answers = [servers.token(grant_type="refresh_token", refresh_token="x") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 502, 504]


def test_the_consent_page_can_be_broken_too(servers: Driver) -> None:
    order(servers, "status", endpoint="authorize", status=500)
    assert servers.authorize().status_code == 500
    assert servers.authorize().status_code == 200


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        ({"endpoint": "token"}, "kind"),
        ({"endpoint": "mail", "kind": "status"}, "endpoint"),
        ({"endpoint": "token", "kind": "explode"}, "kind"),
        ({"endpoint": "token", "kind": "status", "status": 99}, "status"),
        ({"endpoint": "token", "kind": "status", "count": 0}, "count"),
        ({"endpoint": "token", "kind": "status", "count": True}, "count"),
        ({"endpoint": "token", "kind": "delay", "seconds": 3600}, "seconds"),
        ({"endpoint": "token", "kind": "status", "headers": {"a": "b\r\nc: d"}}, "headers"),
        ({"endpoint": "token", "kind": "drop_before", "when": "after"}, "when"),
        ({"endpoint": "token", "kind": "status", "color": "red"}, "color"),
    ],
)
def test_a_fault_that_makes_no_sense_is_explained(servers: Driver, mistake: dict[str, object], word: str) -> None:
    answer = servers.post("/_control/faults", json=mistake)
    assert answer.status_code == 400
    assert word in answer.json()["error"]
