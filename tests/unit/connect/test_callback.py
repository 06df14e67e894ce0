"""Back from the provider: checked in full before anything is claimed, received once and redeemed once."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from consentry.connect.exchange import ExchangeCode
from consentry.connect.flow_secrets import open_code
from consentry.connect.tickets import cookie_name, digest
from consentry.model import FlowStatus
from consentry.ports import StorageUnavailable, Undetermined
from consentry.web.response import Response
from tests.support.catalogue import ISSUER
from tests.support.deployment import (
    CALLBACK,
    CODE,
    OTHER_RETURN_URL,
    RETURN_URL,
    Browser,
    Deployment,
    everyone_reads_before_anyone_writes,
    parsed_cookie,
    provider_answer,
    query_of,
)
from tests.support.events import event
from tests.support.logs import Log
from tests.support.provider import Step, answer, tokens
from tests.support.tables import ignore, unavailable

DIRECT = {"completion": "direct", "return_url": ""}


def came_back(deployment: Deployment, query: str, cookies: list[str], integration: str = "crm") -> Response:
    return deployment.callback(event(CALLBACK, parameters={"integration": integration}, query=query, cookies=cookies))


def test_a_good_answer_is_parked_and_the_browser_goes_back_with_a_handle(
    deployment: Deployment, browser: Browser
) -> None:
    """S-01 a: nothing is exchanged before the backend completes."""
    created = deployment.created()
    response = browser.consents(created)
    assert response["statusCode"] == 303
    assert response["headers"]["Location"].startswith(f"{RETURN_URL}?")
    returned = query_of(response)
    assert set(returned) == {"session", "integration", "handle"}
    assert (returned["session"], returned["integration"]) == (created["session"], "crm")
    assert deployment.provider.requests == []
    assert deployment.connection() is None
    flow = deployment.flow(created)
    assert flow.status is FlowStatus.CODE_RECEIVED
    assert flow.handle_hashes == (digest(returned["handle"]),)
    assert open_code(deployment.envelopes, flow).code.reveal() == CODE


def test_a_code_is_parked_without_making_what_only_an_exchange_needs(deployment: Deployment, browser: Browser) -> None:
    def unwanted() -> ExchangeCode:
        message = "nothing is exchanged here"
        raise AssertionError(message)

    callback = urlsplit(provider_answer(browser.departs(deployment.created())))
    receive = replace(deployment.receive_callback, exchange=unwanted)
    assert receive("crm", callback.query, browser.jar).handle is not None


def test_a_return_url_keeps_its_own_query(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created(return_url="https://app.test/other?from=vault")
    returned = query_of(browser.consents(created))
    assert set(returned) == {"from", "session", "integration", "handle"}


def test_direct_completion_redeems_at_once_and_shows_a_page(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created(**DIRECT)
    deployment.provider.then(tokens())
    response = browser.consents(created)
    assert response["statusCode"] == 200
    assert "Connected" in response["body"]
    assert len(deployment.provider.requests) == 1
    assert deployment.connection() is not None
    assert deployment.flow(created).status is FlowStatus.DONE
    assert browser.jar == {}


def test_direct_completion_goes_back_with_the_status_where_there_is_a_return_url(
    deployment: Deployment, browser: Browser
) -> None:
    created = deployment.created(completion="direct")
    deployment.provider.then(tokens())
    assert query_of(browser.consents(created))["status"] == "active"


@pytest.mark.parametrize("completion", ["confirm", "direct"])
@pytest.mark.parametrize("valid", list(itertools.product([True, False], repeat=4)))
def test_only_right_state_cookie_integration_and_issuer_together_proceed(
    deployment: Deployment, browser: Browser, valid: tuple[bool, bool, bool, bool], completion: str
) -> None:
    """S-02: the whole table, 2^4."""
    state_is_valid, cookie_is_valid, integration_is_valid, issuer_is_valid = valid
    created = deployment.created(integrations=["crm", "crm2"], completion=completion)
    answered = urlsplit(provider_answer(browser.departs(created)))
    query = answered.query.replace("state=", "state=" if state_is_valid else "state=x")
    query = query if issuer_is_valid else query.replace("id.crm.test", "evil.test")
    cookies = [f"{name}={value if cookie_is_valid else 'x' * 43}" for name, value in browser.jar.items()]
    if all(valid):
        deployment.provider.then(tokens())
    response = came_back(deployment, query, cookies, "crm" if integration_is_valid else "crm2")
    flow = deployment.flow(created)
    if all(valid):
        assert response["statusCode"] == 303
        assert len(deployment.provider.requests) == (1 if completion == "direct" else 0)
        return
    assert 400 <= response["statusCode"] < 500
    assert deployment.provider.requests == []
    assert deployment.connection() is None
    # Either nobody touched the flow, or the right browser brought an answer that another issuer gave.
    wrong_issuer_alone = valid == (True, True, True, False)
    assert flow.status is (FlowStatus.FAILED if wrong_issuer_alone else FlowStatus.STARTED)
    assert flow.code == b""


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", ISSUER.upper(), "https://evil.test", f"{ISSUER}?", f" {ISSUER}"])
@pytest.mark.parametrize("answer", [{}, {"code": "", "error": "access_denied"}])
def test_an_issuer_is_compared_to_the_character_before_code_or_error_is_used(
    deployment: Deployment, browser: Browser, issuer: str, answer: dict[str, str]
) -> None:
    created = deployment.created()
    response = browser.consents(created, iss=issuer, **answer)
    assert response["statusCode"] == 400
    assert deployment.flow(created).outcome == "issuer_mismatch"


def test_a_provider_that_always_names_itself_must_do_so(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created(integrations=["desk"])
    assert browser.consents(created, "desk")["statusCode"] == 400
    assert deployment.flow(created, "desk").outcome == "issuer_missing"
    assert browser.consents(created, "desk", iss="https://desk.test")["statusCode"] == 303


def test_another_browser_gets_nothing_and_takes_nothing_away(deployment: Deployment, browser: Browser) -> None:
    """S-02: one jar's answer in another one."""
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    stranger = Browser(deployment)
    assert stranger.open(url)["statusCode"] == 403
    stranger.departs(deployment.created())
    assert stranger.open(url)["statusCode"] == 403
    assert browser.open(url)["statusCode"] == 303


def test_a_victim_sent_to_the_provider_alone_has_no_cookie_and_is_refused(deployment: Deployment) -> None:
    """S-01 f."""
    attacker, victim = Browser(deployment), Browser(deployment)
    location = attacker.departs(deployment.created())
    assert victim.open(provider_answer(location))["statusCode"] == 403
    assert deployment.provider.requests == []


def test_a_cookie_of_another_flow_does_not_open_this_one(deployment: Deployment, browser: Browser) -> None:
    url = provider_answer(browser.departs(deployment.created()))
    other = Browser(deployment)
    other.departs(deployment.created())
    state = dict(each.split("=") for each in urlsplit(url).query.split("&"))["state"]
    stolen = next(iter(other.jar.values()))
    response = came_back(deployment, urlsplit(url).query, [f"{cookie_name(digest(state))}={stolen}"])
    assert response["statusCode"] == 410  # as a state that there is not: a made-up cookie learns nothing


@pytest.mark.parametrize("name", ["code", "state", "iss"])
def test_a_repeated_parameter_is_refused_even_with_the_same_value(
    deployment: Deployment, browser: Browser, name: str
) -> None:
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    pair = next(each for each in urlsplit(url).query.split("&") if each.startswith(f"{name}="))
    assert browser.open(f"{url}&{pair}")["statusCode"] == 400
    assert browser.open(f"{url}&{name}=other")["statusCode"] == 400
    assert deployment.flow(created).status is FlowStatus.STARTED
    assert browser.open(url)["statusCode"] == 303


def test_a_comma_belongs_to_the_code(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created(**DIRECT)
    deployment.provider.then(tokens())
    assert browser.consents(created, code="a,b")["statusCode"] == 200
    assert deployment.provider.forms[0]["code"] == "a,b"


@pytest.mark.parametrize(
    "query",
    [
        "", "code=x", "state=x", "code[]=x&state=y", "code=%00&state=x", "code=%ff%fe&state=x", "state=%0d%0a&code=x",
        f"code={'x' * 5000}&state=y", f"{'a' * 20_000}", "code=x;state=y", "code=x&error=y&state=z", "&&==&%", "é=é",
    ],
)  # fmt: skip
def test_malformed_answers_are_refused_without_a_call(deployment: Deployment, query: str) -> None:
    deployment.dynamo.calls.clear()
    response = came_back(deployment, query, [])
    assert 400 <= response["statusCode"] < 500
    assert deployment.dynamo.calls == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("access_denied", "access_denied"), ("server_error", "server_error"), ("invalid_scope", "invalid_scope"),
        ("temporarily_unavailable", "temporarily_unavailable"), ("consent_required", "provider_refused"),
        ("<script>alert(1)</script>", "provider_refused"), ("x" * 300, "provider_refused"),
    ],
)  # fmt: skip
def test_a_refused_consent_goes_back_with_one_of_five_codes(
    deployment: Deployment, browser: Browser, error: str, told: str
) -> None:
    created = deployment.created()
    response = browser.consents(created, code="", error=error, error_description="CNRY-description")
    assert response["statusCode"] == 303
    assert query_of(response) == {"session": created["session"], "integration": "crm", "error": told}
    assert deployment.flow(created).status is FlowStatus.FAILED
    assert browser.jar == {}


@pytest.mark.parametrize("error", ["access_denied", "server_error", "invalid_scope", "odd", "<img src=x onerror=y>"])
def test_a_refused_consent_without_a_return_url_is_a_page_without_the_provider_s_words(
    deployment: Deployment, browser: Browser, error: str
) -> None:
    created = deployment.created(**DIRECT)
    response = browser.consents(
        created, code="", error=error, error_description="The user said <no> CNRY-description", error_uri="//evil.test"
    )
    assert response["statusCode"] == 200
    assert "Not connected" in response["body"]
    assert "CNRY-description" not in response["body"]
    assert "evil.test" not in response["body"]
    assert "<img" not in response["body"]


def test_a_refusal_is_taken_once(deployment: Deployment, browser: Browser) -> None:
    url = provider_answer(browser.departs(deployment.created()), code="", error="access_denied")
    jar = dict(browser.jar)
    assert browser.open(url)["statusCode"] == 303
    browser.jar = jar
    again = browser.open(url)
    assert again["statusCode"] == 409
    assert "did not work out" in again["body"]
    assert "nothing of it is stored" in again["body"]
    assert "received already" not in again["body"]


def test_a_refusal_does_not_undo_a_code_that_was_received_meanwhile(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    location = browser.departs(created)
    parked: list[Response] = []

    def overtaken(operation: str) -> None:
        if operation == "update_item" and not parked:
            deployment.ports.before = ignore
            parked.append(browser.open(provider_answer(location)))

    deployment.ports.before = overtaken
    refused = browser.open(provider_answer(location, code="", error="access_denied"))
    assert refused["statusCode"] == 409
    assert "received already" in refused["body"]
    assert deployment.flow(created).status is FlowStatus.CODE_RECEIVED
    deployment.provider.then(tokens())
    assert deployment.completed(query_of(parked[0]))["statusCode"] == 200


def test_a_reload_gets_one_more_handle_once_and_both_work_once(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    first, second, third = browser.open(url), browser.open(url), browser.open(url)
    assert [each["statusCode"] for each in (first, second, third)] == [303, 303, 409]
    assert query_of(first)["handle"] != query_of(second)["handle"]
    deployment.provider.then(tokens())
    assert deployment.completed(query_of(first))["statusCode"] == 200
    assert deployment.completed(query_of(second))["statusCode"] == 409
    assert len(deployment.provider.requests) == 1


def test_the_second_handle_of_a_reload_works_as_well(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    browser.open(url)
    returned = query_of(browser.open(url))
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


def test_a_reload_after_the_minute_gets_no_handle(deployment: Deployment, browser: Browser) -> None:
    url = provider_answer(browser.departs(deployment.created()))
    assert browser.open(url)["statusCode"] == 303
    deployment.clock.advance(60)
    assert browser.open(url)["statusCode"] == 409


def test_a_reload_after_direct_completion_redeems_nothing_again(deployment: Deployment, browser: Browser) -> None:
    url = provider_answer(browser.departs(deployment.created(**DIRECT)))
    jar = dict(browser.jar)
    deployment.provider.then(tokens())
    assert browser.open(url)["statusCode"] == 200
    browser.jar = jar
    assert browser.open(url)["statusCode"] == 409
    assert len(deployment.provider.requests) == 1


def test_an_expired_state_is_answered_like_an_unknown_one(deployment: Deployment, browser: Browser) -> None:
    """S-03: expired, and not yet deleted."""
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    unknown = deployment.tickets.state("x" * 22, "crm", "y" * 43)
    cookies = [*(f"{name}={value}" for name, value in browser.jar.items()), f"{cookie_name(digest(unknown))}=z"]
    answers = []
    deployment.clock.advance(601)
    for query in (urlsplit(url).query, urlencode({"code": "c", "state": unknown}), "code=c&state=garbage"):
        request = event(
            CALLBACK, parameters={"integration": "crm"}, query=query, cookies=cookies, request_id="the same"
        )
        answers.append(deployment.callback(request))
    assert answers[0]["statusCode"] == 410
    assert answers[1:] == [answers[0], answers[0]]
    assert deployment.flow(created).status is FlowStatus.STARTED


def at_once(deployment: Deployment, browser: Browser, url: str, count: int = 64) -> list[Response]:
    requests = [browser.event(url) for _ in range(count)]
    deployment.ports.after = everyone_reads_before_anyone_writes(count)
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(deployment.callback, requests))
    deployment.ports.after = ignore
    return answers


def test_of_64_callbacks_at_once_one_redeems(deployment: Deployment, browser: Browser) -> None:
    """S-03."""
    created = deployment.created(completion="direct")
    url = provider_answer(browser.departs(created))
    deployment.provider.then(tokens(), tokens(), tokens())
    statuses = [each["statusCode"] for each in at_once(deployment, browser, url)]
    assert sorted(statuses) == [303] + [409] * 63
    assert len(deployment.provider.requests) == 1
    assert deployment.flow(created).status is FlowStatus.DONE


def test_of_64_callbacks_at_once_one_parks(deployment: Deployment, browser: Browser) -> None:
    """S-03."""
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    answers = at_once(deployment, browser, url)
    assert sorted(each["statusCode"] for each in answers) == [303] + [409] * 63
    (parked,) = (query_of(each) for each in answers if each["statusCode"] == 303)
    assert deployment.flow(created).handle_hashes == (digest(parked["handle"]),)


def test_of_64_reloads_at_once_one_gets_a_handle(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    first = query_of(browser.open(url))["handle"]
    answers = at_once(deployment, browser, url)
    (second,) = (query_of(each)["handle"] for each in answers if each["statusCode"] == 303)
    assert deployment.flow(created).handle_hashes == (digest(first), digest(second))


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (answer(500, b"CNRY-trouble"), "provider_trouble"),
        (answer(400, {"error": "invalid_grant"}), "code_refused"),
        (Undetermined("deadline"), "provider_silent"),
    ],
)
def test_a_direct_consent_that_fails_goes_back_with_the_code_of_the_failure(
    deployment: Deployment, browser: Browser, log_lines: Log, step: Step, code: str
) -> None:
    created = deployment.created(completion="direct")
    deployment.provider.then(step)
    response = browser.consents(created)
    assert response["statusCode"] == 303
    assert query_of(response) == {"session": created["session"], "integration": "crm", "error": code}
    assert deployment.flow(created).outcome == code
    (told,) = log_lines.named("consent")
    assert (told["outcome"], told["code"], told["level"]) == ("failed", code, "WARNING")
    assert told["detail"]


def test_a_direct_consent_that_fails_for_the_operator_s_sake_is_logged_as_an_error(
    deployment: Deployment, browser: Browser, log_lines: Log
) -> None:
    deployment.secrets.values = {}
    assert query_of(browser.consents(deployment.created(completion="direct")))["error"] == "misconfigured"
    assert log_lines.named("consent")[0]["level"] == "ERROR"


def test_a_direct_consent_that_fails_without_a_return_url_is_a_page(deployment: Deployment, browser: Browser) -> None:
    deployment.provider.then(Undetermined("deadline"))
    response = browser.consents(deployment.created(**DIRECT))
    assert response["statusCode"] == 502
    assert "CRM did not answer" in response["body"]


@pytest.mark.parametrize("operation", ["client_secrets", "seal", "open"])
@pytest.mark.parametrize("return_url", ["", RETURN_URL])
def test_a_direct_consent_that_fails_before_the_claim_may_be_opened_again(
    deployment: Deployment, browser: Browser, operation: str, return_url: str
) -> None:
    created = deployment.created(completion="direct", return_url=return_url)
    url = provider_answer(browser.departs(created))
    deployment.ports.before = failing(operation, lambda _: StorageUnavailable("It is away."))
    failed = browser.open(url)
    deployment.ports.before = ignore
    assert failed["statusCode"] == (303 if return_url else 503)
    assert deployment.flow(created).status is FlowStatus.STARTED
    deployment.provider.then(tokens())
    assert browser.open(url)["statusCode"] == (303 if return_url else 200)
    assert deployment.flow(created).status is FlowStatus.DONE


def test_a_direct_consent_that_comes_with_too_little_time_left_asks_nobody(
    deployment: Deployment, browser: Browser
) -> None:
    created = deployment.created(completion="direct")
    url = provider_answer(browser.departs(created))
    deployment.invocation_seconds = 22.9
    assert query_of(browser.open(url))["error"] == "no_time_left"
    assert deployment.provider.requests == []
    assert deployment.flow(created).status is FlowStatus.STARTED
    deployment.invocation_seconds = 23.0
    deployment.provider.then(tokens())
    assert query_of(browser.open(url))["status"] == "active"


def unregistered(deployment: Deployment) -> None:
    deployment.return_urls = frozenset({OTHER_RETURN_URL})


def test_no_handle_goes_to_an_address_that_is_no_longer_registered(deployment: Deployment, browser: Browser) -> None:
    url = provider_answer(browser.departs(deployment.created()))
    unregistered(deployment)
    response = browser.open(url)
    assert response["statusCode"] == 409
    assert "Location" not in response["headers"]
    assert "not registered here any more" in response["body"]
    assert "crm." not in response["body"]
    assert "CNRY-" not in response["body"]


def test_nothing_else_goes_there_either(deployment: Deployment, browser: Browser) -> None:
    urls = [provider_answer(browser.departs(deployment.created(completion="direct", name=f"n{n}"))) for n in range(2)]
    urls.append(provider_answer(browser.departs(deployment.created()), code="", error="access_denied"))
    unregistered(deployment)
    deployment.provider.then(tokens(), answer(500, b""))
    connected, failed, denied = (browser.open(url) for url in urls)
    assert [each["statusCode"] for each in (connected, failed, denied)] == [200, 502, 200]
    assert not any("Location" in each["headers"] for each in (connected, failed, denied))
    assert "The connection works" in connected["body"]
    assert "You chose not to allow" in denied["body"]


def failing(operation: str, error: Callable[[str], Exception] = unavailable, times: int = 100) -> Callable[[str], None]:
    left = [times]

    def fail(name: str) -> None:
        if name == operation and left[0] > 0:
            left[0] -= 1
            raise error(name)

    return fail


@pytest.mark.parametrize("operation", ["get_item", "update_item", "open", "seal", "client_secrets"])
@pytest.mark.parametrize("wanted", [{}, DIRECT])
def test_a_storage_failure_is_a_503_page_and_nothing_is_exchanged(
    deployment: Deployment, browser: Browser, operation: str, wanted: dict[str, Any]
) -> None:
    url = provider_answer(browser.departs(deployment.created(**wanted)))
    used = {"get_item", "update_item", *({"open", "seal", "client_secrets"} if wanted else {"seal"})}
    deployment.ports.before = failing(operation, lambda _: ConnectionError("CNRY-what-the-driver-said"))
    response = browser.open(url)
    assert response["statusCode"] == (503 if operation in used else 303)
    assert "CNRY-" not in response["body"]
    assert response["headers"]["Cache-Control"] == "no-store"
    assert deployment.provider.requests == []
    deployment.ports.before = ignore
    assert deployment.connection() is None


def test_dynamodb_in_trouble_is_told_without_its_words(deployment: Deployment, browser: Browser) -> None:
    url = provider_answer(browser.departs(deployment.created()))
    deployment.ports.before = failing("update_item")
    response = browser.open(url)
    assert response["statusCode"] == 503
    assert "CNRY-" not in response["body"]
    deployment.ports.before = ignore
    assert browser.open(url)["statusCode"] == 303


def test_a_code_whose_parking_was_applied_but_not_answered_is_found_by_the_reload(
    deployment: Deployment, browser: Browser
) -> None:
    created = deployment.created()
    url = provider_answer(browser.departs(created))
    deployment.ports.after = failing("update_item", times=1)
    assert browser.open(url)["statusCode"] == 503
    returned = query_of(browser.open(url))
    deployment.provider.then(tokens())
    assert deployment.completed(returned)["statusCode"] == 200


def test_the_cookie_lives_until_the_code_is_parked_for_good(deployment: Deployment, browser: Browser) -> None:
    parked = browser.consents(deployment.created())
    assert "cookies" not in parked
    deployment.provider.then(tokens())
    done = browser.consents(deployment.created(name="second", **DIRECT))
    _, value, attributes = parsed_cookie(done["cookies"][0])
    assert (value, attributes["Max-Age"], attributes["Path"]) == ("", "0", "/")
    assert {"Secure", "HttpOnly"} <= set(attributes)
