"""Every secret of a run is a canary: none may sing in a log, on the output, or in clear in a table (S-15)."""

from typing import Any
from urllib.parse import urlencode

import pytest

from consentry.connect.tickets import Tickets
from consentry.model import Secret
from consentry.ports import NotDelivered, Undetermined
from consentry.web.credentials import COOKIE
from consentry.web.response import Response
from tests.support.client_secrets import CLIENT_SECRET
from tests.support.deployment import CODE, PUT_CREDENTIALS, Browser, Deployment, provider_answer, query_of
from tests.support.disguises import disguises
from tests.support.events import json_event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import TOKEN_ANSWER, answer, tokens
from tests.support.randomness import CANARY

CUSTOMER_SECRET = "CNRY-customer-secret-2b7d"
CANARIES = [str(TOKEN_ANSWER["access_token"]), str(TOKEN_ANSWER["refresh_token"]), CLIENT_SECRET, CODE, CUSTOMER_SECRET]


def everything(deployment: Deployment) -> list[str]:
    """Go through every use case, the failing ones too; return the secrets that only existed on the way."""
    browser, on_the_way, url = Browser(deployment), list[str](), ""
    deployment.provider.then(tokens(), answer(400, {"error": CODE, "error_description": CODE}), Undetermined("x"))
    for changes in ({}, {}, {}, {"user_ref": "u-2"}, {"handle": "crm.CNRY-wrong"}):
        created = deployment.created()
        url = provider_answer(browser.departs(created))
        returned = query_of(browser.open(url))
        deployment.completed({**returned, **changes}, **changes)
        on_the_way += [created["connect_url"].partition("session=")[2], returned["handle"], *browser.jar.values(), url]
    browser.consents(deployment.created(), code="", error=CODE, error_description=CODE)
    browser.consents(deployment.created(), iss=f"https://{CODE}.test")
    Browser(deployment).open(url)
    deployment.provider.script = [tokens(), tokens(refresh_token=None), NotDelivered("x"), answer(401, {"error": CODE})]
    browser.consents(deployment.created(completion="direct", return_url="", name="direct"))
    for inputs in ({}, {}, {}, {"client_id": CODE, "password": CODE}):
        put(deployment, {"client_id": "c", "client_secret": CUSTOMER_SECRET} | inputs)
    on_the_way += forms(deployment, browser)
    deployment.ports.before = broken
    browser.open(f"{deployment.base_url}/authorize/crm?session={on_the_way[0]}")
    return on_the_way


def forms(deployment: Deployment, browser: Browser) -> list[str]:
    """Enter credentials on our own page: one that works, one that does not, one that is wrong."""
    page = deployment.created(integrations=["metrics"], return_url="")["connect_url"]
    url, values = page.replace("/connect?", "/connect/metrics?"), list[str]()
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    deployment.provider.script = [tokens(refresh_token=None), answer(401, {"error": CODE})]
    for secret in (CUSTOMER_SECRET, CUSTOMER_SECRET, f"{CUSTOMER_SECRET}\t"):
        values.append(Outline(browser.open(url)["body"]).one("input", name="form")["value"])
        fields = {"form": values[-1], "input-client_id": "c", "input-client_secret": secret}
        shown = browser.open(url, method="POST", body=urlencode(fields), headers=headers)
        assert CUSTOMER_SECRET not in f"{shown}"
    return [page.partition("session=")[2], *values, browser.jar[COOKIE]]


def put(deployment: Deployment, inputs: dict[str, str]) -> Response:
    parameters = {"tenant": "acme", "integration": "metrics", "name": "default"}
    return deployment.manage(json_event(PUT_CREDENTIALS, parameters, {"inputs": inputs}))


def broken(_operation: str) -> None:
    raise RuntimeError(*CANARIES)


def test_no_secret_is_logged_printed_or_stored_in_clear(
    deployment: Deployment, log_lines: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = [*CANARIES, *everything(deployment)]
    printed = capfd.readouterr()
    said = f"{log_lines.text}\n{printed.out}\n{printed.err}"
    stored = "\n".join(deployment.stored_texts())
    assert len(log_lines.lines) > 20
    assert '"Consents"' in printed.out
    assert len(stored) > 1000
    for secret in secrets:
        for disguise in disguises(secret):
            assert disguise not in said
            assert disguise not in stored
    assert CANARY not in said
    assert CANARY not in stored


def test_a_canary_would_be_found(deployment: Deployment, browser: Browser, capfd: pytest.CaptureFixture[str]) -> None:
    created = deployment.created(user_ref=CODE)
    browser.departs(created)
    assert CODE in "\n".join(deployment.stored_texts())
    print(CODE)  # noqa: T201 - shows that the scan sees what is printed
    assert CODE in capfd.readouterr().out


def test_objects_on_the_way_do_not_print_their_secrets(deployment: Deployment, browser: Browser) -> None:
    created: dict[str, Any] = deployment.created()
    returned = query_of(browser.consents(created))
    shown = [repr(deployment.flow(created)), repr(deployment.sessions.session(created["session"]))]
    deployment.provider.then(tokens())
    deployment.completed(returned)
    shown += [repr(each) for each in deployment.provider.requests]
    shown += [repr(deployment.connection()), repr(Tickets(Secret("CNRY-mac")))]
    connection = deployment.connection()
    assert connection is not None
    # The commit's id is random, and no secret.
    assert CANARY not in "\n".join(shown).replace(connection.commit_id, "")
