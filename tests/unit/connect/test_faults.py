"""A fault at every single call of a port, one at a time: the answer is generic and nothing goes on past it (S-53)."""

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlencode

import pytest

from consentry.web.response import Response
from tests.support.deployment import PUT_CREDENTIALS, Browser, Deployment, provider_answer, query_of
from tests.support.events import json_event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import tokens
from tests.support.tables import ignore, unavailable

type Step = Callable[[], Response]
type Moment = Literal["before", "after"]


def authorize(deployment: Deployment, name: str) -> Step:
    created = deployment.created(name=name)
    return lambda: Browser(deployment).open(created["authorize_urls"]["crm"])


def callback(deployment: Deployment, name: str, **wanted: Any) -> Step:  # noqa: ANN401 - handed on
    browser = Browser(deployment)
    url = provider_answer(browser.departs(deployment.created(name=name, **wanted)))
    return lambda: browser.open(url)


def direct_callback(deployment: Deployment, name: str) -> Step:
    return callback(deployment, name, completion="direct")


def complete(deployment: Deployment, name: str) -> Step:
    returned = query_of(callback(deployment, name)())
    return lambda: deployment.completed(returned)


def credentials(deployment: Deployment, name: str) -> Step:
    parameters = {"tenant": "acme", "integration": "metrics", "name": name}
    body = {"inputs": {"client_id": "c", "client_secret": "CNRY-customer-secret"}}
    return lambda: deployment.manage(json_event(PUT_CREDENTIALS, parameters, body))


def page(deployment: Deployment, name: str) -> Step:
    url = deployment.created(integrations=["crm", "metrics"], name=name)["connect_url"]
    return lambda: Browser(deployment).open(url)


def form(deployment: Deployment, name: str) -> Step:
    browser, url = Browser(deployment), deployment.created(integrations=["metrics"], name=name)["connect_url"]
    url = url.replace("/connect?", "/connect/metrics?")
    value = Outline(browser.open(url)["body"]).one("input", name="form")["value"]
    body = urlencode({"form": value, "input-client_id": "c", "input-client_secret": "CNRY-customer-secret"})
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    return lambda: browser.open(url, method="POST", body=body, headers=headers)


def calls_of(deployment: Deployment, step: Step) -> int:
    calls: list[str] = []
    deployment.ports.before = calls.append
    deployment.provider.script = [tokens()]
    assert step()["statusCode"] < 400
    deployment.ports.before = ignore
    return len(calls)


def told_by(response: Response) -> str:
    """The error that a browser takes back to the company."""
    return query_of(response).get("error", "") if "Location" in response["headers"] else ""


class Fault:
    """Fails the k-th call, and remembers how many token requests had gone out by then."""

    def __init__(self, deployment: Deployment, k: int, *, of_aws: bool) -> None:
        self._deployment = deployment
        self._left = k
        self._of_aws = of_aws
        self.requests_then = 0
        self.happened = False

    def __call__(self, operation: str) -> None:
        self._left -= 1
        if self._left < 0 and not self.happened:
            self.happened = True
            self.requests_then = len(self._deployment.provider.requests)
            raise unavailable(operation) if self._of_aws else RuntimeError("CNRY-what-went-wrong")


@pytest.mark.parametrize(("moment", "of_aws"), [("before", True), ("before", False), ("after", True)])
@pytest.mark.parametrize("prepare", [authorize, callback, direct_callback, complete, credentials, page, form])
def test_after_a_fault_nothing_goes_out_and_nothing_is_told(
    deployment: Deployment, prepare: Callable[[Deployment, str], Step], moment: Moment, of_aws: bool
) -> None:
    count = calls_of(deployment, prepare(deployment, "happy"))
    assert count >= 3
    happened = 0
    for k in range(count):
        step = prepare(deployment, f"n{k}")
        fault = Fault(deployment, k, of_aws=of_aws)
        deployment.provider.requests, deployment.provider.script = [], [tokens()]
        setattr(deployment.ports, moment, fault)
        response = step()
        setattr(deployment.ports, moment, ignore)
        happened += fault.happened
        assert "CNRY-" not in response["body"]
        assert response["headers"]["Cache-Control"] == "no-store"
        if fault.happened:
            assert len(deployment.provider.requests) == fault.requests_then
            went_back = prepare is direct_callback and of_aws and told_by(response).endswith("_unavailable")
            assert response["statusCode"] == 503 or went_back or fault.requests_then == 1
        if fault.happened and fault.requests_then == 0:
            assert all(deployment.connection(each, f"n{k}") is None for each in ("crm", "metrics"))
    assert happened >= (count if moment == "before" else 1)


@pytest.mark.parametrize("prepare", [direct_callback, complete])
def test_once_the_tokens_are_committed_nothing_fails_any_more(
    deployment: Deployment, prepare: Callable[[Deployment, str], Step], log_lines: Log
) -> None:
    step = prepare(deployment, "late")
    deployment.provider.script = [tokens()]

    def fail(operation: str) -> None:
        if deployment.dynamo.calls.count("update_item") > writes + 2 or after_the_commit(operation):
            raise unavailable(operation)

    def after_the_commit(operation: str) -> bool:
        return operation == "get_item" and deployment.dynamo.calls.count("update_item") == writes + 2

    writes = deployment.dynamo.calls.count("update_item")
    deployment.ports.before = fail
    response = step()
    deployment.ports.before = ignore
    assert response["statusCode"] == (200 if prepare is complete else 303)
    assert told_by(response) == ""
    assert deployment.connection("crm", "late") is not None
    (line,) = log_lines.named("end of consent not written")
    assert (line["level"], line["outcome"], line["detail"]) == ("ERROR", "active", "finish flow: InternalServerError")
