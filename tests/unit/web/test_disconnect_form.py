"""Disconnecting on the page: asked before, done to what was shown and nothing else, and by nobody who only looks."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consentry.aws.dynamodb import to_item
from consentry.model import Connection, Status
from consentry.oauth.provider import Revocation
from consentry.pages.look import Look
from consentry.web.credentials import COOKIE
from consentry.web.response import Response
from tests.support.catalogue import CRM, DESK, METRICS, FakeCatalogue
from tests.support.deployment import CREATE, RETURN_URL, Browser, Deployment, body_of, parsed_cookie
from tests.support.events import json_event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import tokens
from tests.support.tables import items, unavailable

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", "origin": "null"}
CONSENT = "C" * 43
CIPHERTEXT = b"CNRY-ciphertext"


def row(deployment: Deployment, integration: str = "crm", /, **changes: object) -> None:
    """A connection as it stands in the table."""
    item = {
        "tenant": "acme", "connection": f"{integration}#default", "v": 1, "provider": "crm", "gen": 3, "epoch": 1,
        "grant_type": "authorization_code", "status": "active", "created_at": 1_790_000_000, "consent_id": CONSENT,
        "refreshed_at": 1_799_999_000, "access_token": CIPHERTEXT, "grant": CIPHERTEXT, "account": "4711", **changes,
    }  # fmt: skip
    kept = {name: value for name, value in item.items() if value is not None}
    deployment.dynamo.client.put_item(TableName=deployment.names["ConnectionsTable"], Item=to_item(kept))


class Person(Browser):
    """A person with a session, who answers the question as the page puts it."""

    def __init__(self, deployment: Deployment, integration: str = "crm", **wanted: object) -> None:
        super().__init__(deployment)
        self.created = deployment.created(**{"integrations": [integration], **wanted})
        self.page = str(self.created["connect_url"])
        self.url = self.page.replace("/connect?", f"/connect/{integration}/disconnect?")

    def asked(self) -> Outline:
        response = self.open(self.url)
        assert response["statusCode"] == 200, response
        return Outline(response["body"])

    def fields(self) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.asked().all("input", type="hidden")}

    def sends(self, fields: Mapping[str, str], headers: Mapping[str, str] | None = None, **changes: Any) -> Response:  # noqa: ANN401 - handed on
        given = {"method": "POST", "body": urlencode(fields), "headers": FORM if headers is None else headers}
        return self.open(self.url, **{**given, **changes})

    def disconnects(self) -> Response:
        return self.sends(self.fields())


@pytest.fixture
def person(deployment: Deployment) -> Person:
    row(deployment)
    return Person(deployment)


def stands(deployment: Deployment, integration: str = "crm") -> Connection:
    connection = deployment.connection(integration)
    assert connection is not None
    return connection


def alive(deployment: Deployment, integration: str = "crm") -> bool:
    return stands(deployment, integration).status is Status.ACTIVE


def test_the_person_is_asked_what_ends_for_whom_and_that_it_is_for_good(deployment: Deployment, person: Person) -> None:
    deployment.look = Look(company="Globex")
    row(deployment, label="Shop", description="The shop's\nnumbers")
    found = person.asked()
    for text in (
        "Disconnect CRM? - Globex", "4711", "Shop", "The shop's", "2026-09-21 14:13 UTC",
        "Globex gets no access to this account any more, at once.",
        "This is for everybody at acme, not for you alone.", "It cannot be undone.",
    ):  # fmt: skip
        assert text in found.text, text
    assert found.one("a")["href"] == f"{person.page}#name-crm"
    assert found.one("form")["action"] == person.url
    assert found.unbalanced == found.open == []
    assert alive(deployment)


def test_the_answer_disconnects_and_leads_back_to_the_page_that_says_so(
    deployment: Deployment, person: Person, log_lines: Log
) -> None:
    response = person.disconnects()
    assert (response["statusCode"], response["headers"]["Location"]) == (303, f"{person.page}#name-crm")
    ended = stands(deployment)
    assert (ended.status, ended.access_token, ended.grant) == (Status.DELETING, b"", CIPHERTEXT)
    assert (ended.deleting_since, ended.due_at, ended.removal) == (
        deployment.clock.now(),
        ended.deleting_since,
        "revoke",
    )
    shown = Outline(person.open(person.page)["body"])
    assert shown.one("h2")["id"] == "name-crm"
    assert "Being removed" in shown.text
    assert "nobody gets access by it any more" in shown.text
    assert "What it will allow" not in shown.text
    assert [each.get("href") for each in shown.all("a")] == [f"{RETURN_URL}?session={person.created['session']}"]
    (line,) = log_lines.named("disconnected")
    told = (line["tenant"], line["connection"], line["session"])
    assert told == ("acme", "crm#default", person.created["session"])


@pytest.mark.parametrize(
    ("url", "said"),
    [("https://api.crm.test/revoke", "The access is withdrawn at CRM too"), ("", "CRM cannot be told by us")],
)
def test_what_becomes_of_the_access_at_the_provider_is_said_as_it_is(
    deployment: Deployment, person: Person, url: str, said: str
) -> None:
    deployment.catalogue = FakeCatalogue(replace(CRM, revocation_url=url, revocation=Revocation.TOKEN), DESK, METRICS)
    assert said in person.asked().text


def test_credentials_stay_the_customer_s_own(deployment: Deployment) -> None:
    row(deployment, "metrics", provider="metrics", grant_type="client_credentials")
    person = Person(deployment, "metrics")
    assert "They stay valid at Metrics until you end them there." in person.asked().text
    assert person.disconnects()["statusCode"] == 303
    assert stands(deployment, "metrics").status is Status.DELETING


@pytest.mark.parametrize("status", ["reauth_required", "scope_insufficient"])
def test_what_needs_its_customer_can_be_disconnected_as_well(deployment: Deployment, status: str) -> None:
    row(deployment, status=status)
    Person(deployment).disconnects()
    assert stands(deployment).status is Status.DELETING


def test_the_question_speaks_the_session_s_language(deployment: Deployment) -> None:
    row(deployment)
    found = Person(deployment, language="pt").asked()
    assert "Desconectar CRM?" in found.text
    assert "O aplicativo deixa de ter acesso a esta conta, imediatamente." in found.text


@pytest.mark.parametrize("changes", [{"status": "deleting", "due_at": 1_800_000_000, "due_shard": 0}, None], ids=str)
def test_where_nothing_is_connected_any_more_the_person_comes_to_the_page(
    deployment: Deployment, changes: dict[str, Any] | None
) -> None:
    if changes is not None:
        row(deployment, **changes)
    person = Person(deployment)
    response = person.open(person.url)
    assert (response["statusCode"], response["headers"]["Location"]) == (303, f"{person.page}#name-crm")
    assert response.get("cookies") is None


def test_pressing_again_changes_nothing_and_ends_at_the_same_page(
    deployment: Deployment, person: Person, log_lines: Log
) -> None:
    fields = person.fields()
    first = person.sends(fields)
    since = stands(deployment).deleting_since
    deployment.clock.advance(10)
    assert person.sends(fields)["headers"]["Location"] == first["headers"]["Location"]
    assert stands(deployment).deleting_since == since
    key = {"tenant": {"S": "acme"}, "connection": {"S": "crm#default"}}
    deployment.dynamo.client.delete_item(TableName=deployment.names["ConnectionsTable"], Key=key)
    assert person.sends(fields)["statusCode"] == 303
    assert deployment.connection() is None
    assert len(log_lines.named("disconnected")) == 2  # and nothing of the one that was gone


def test_sixty_four_copies_of_one_answer_are_one_disconnect(deployment: Deployment, person: Person) -> None:
    """S-03."""
    fields = person.fields()
    with ThreadPoolExecutor(64) as pool:
        statuses = set(pool.map(lambda _: person.sends(fields)["statusCode"], range(64)))
    assert statuses == {303}
    assert stands(deployment).status is Status.DELETING


@pytest.mark.parametrize("consent", ["D" * 43, None])
def test_a_connection_that_was_made_anew_meanwhile_is_left_as_it_is(
    deployment: Deployment, person: Person, consent: str | None
) -> None:
    """An old tab, sent again after the connection was ended and made again, or changed to another account."""
    fields = person.fields()
    row(deployment, consent_id=consent)
    response = person.sends(fields)
    assert (response["statusCode"], "was made anew in the meantime" in response["body"]) == (409, True)
    assert alive(deployment)


def test_a_refresh_in_between_is_no_other_connection(deployment: Deployment, person: Person) -> None:
    fields = person.fields()
    row(deployment, gen=4)
    assert person.sends(fields)["statusCode"] == 303
    assert not alive(deployment)


def test_a_record_from_before_consents_had_names_is_disconnected_too(deployment: Deployment) -> None:
    row(deployment, consent_id=None)
    Person(deployment).disconnects()
    assert not alive(deployment)


def test_a_row_that_cannot_be_read_is_not_touched(deployment: Deployment, person: Person) -> None:
    fields = person.fields()
    row(deployment, v=2)
    response = person.sends(fields)
    assert (response["statusCode"], "cannot be read" in response["body"]) == (503, True)


def test_afterwards_the_same_link_connects_again(deployment: Deployment, person: Person) -> None:
    person.disconnects()
    assert person.open(person.created["authorize_urls"]["crm"])["statusCode"] == 302


def test_the_whole_way_ends_what_a_consent_made(deployment: Deployment) -> None:
    deployment.provider.then(tokens())
    person = Person(deployment, completion="direct", return_url="")
    person.consents(person.created)
    assert alive(deployment)
    person.disconnects()
    assert stands(deployment).status is Status.DELETING


# S-37: only our own form, from its own page, in its own browser


FOREIGN: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site", "origin": "https://evil.test"},
    {"sec-fetch-site": "same-site", "origin": "https://other.vault.test"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "null"},
    {"sec-fetch-site": "same-origin", "origin": "https://evil.test"},
    {"origin": "https://vault.test.evil.test"},
    {"referer": "https://vault.test/connect/crm/disconnect"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_an_answer_from_another_site_is_refused_before_any_call(
    deployment: Deployment, person: Person, headers: dict[str, str]
) -> None:
    """S-37: cookie and value are right, as in a browser that sends cookies anywhere."""
    fields = person.fields()
    before = len(deployment.dynamo.calls)
    response = person.sends(fields, {"content-type": FORM["content-type"], **headers})
    assert (response["statusCode"], len(deployment.dynamo.calls)) == (403, before)
    assert alive(deployment)


def forgeries(person: Person, deployment: Deployment) -> dict[str, dict[str, str]]:
    """Fields that are not those of the person's own question."""
    other = Person(deployment, "desk")
    row(deployment, "desk", provider="desk")
    fields, elsewhere = person.fields(), other.fields()
    stranger = Person(deployment).fields()
    credentials = deployment.tickets.form(person.created["session"], "crm", person.jar[COOKIE], "r" * 43)
    return {
        "none": {},
        "no value": {"consent": fields["consent"]},
        "no consent": {"form": fields["form"]},
        "another consent": {**fields, "consent": "D" * 43},
        "a changed value": {**fields, "form": f"{fields['form'][:-1]}{'A' if fields['form'][-1] != 'A' else 'B'}"},
        "another integration's and session's": elsewhere,
        "another browser's": stranger,
        "that of the other form": {**fields, "form": credentials},
        "that of the other form, shortened": {**fields, "form": credentials[43:]},
        "text": {"form": "é|", "consent": "|"},
    }


@pytest.mark.parametrize("name", [
    "none", "no value", "no consent", "another consent", "a changed value", "another integration's and session's",
    "another browser's", "that of the other form", "that of the other form, shortened", "text",
])  # fmt: skip
def test_a_question_that_we_did_not_ask_here_is_refused_before_any_call(
    deployment: Deployment, person: Person, name: str
) -> None:
    """S-37."""
    fields = forgeries(person, deployment)[name]
    before = len(deployment.dynamo.calls)
    response = person.sends(fields)
    assert (response["statusCode"], len(deployment.dynamo.calls)) == (403, before)
    assert alive(deployment)


def test_a_value_for_the_other_form_opens_it_no_more_than_this_one_opens_the_other(
    deployment: Deployment, person: Person
) -> None:
    fields = person.fields()
    binding = person.jar[COOKIE]
    for form in (fields["form"], "r" * 43 + fields["form"]):
        assert deployment.tickets.verify_form(form, person.created["session"], "crm", binding) is None


@pytest.mark.parametrize("cookies", [[], [f"{COOKIE}="], [f"{COOKIE}={'x' * 43}"], ["__Host-cf2=x"]], ids=str)
def test_without_the_browser_s_own_cookie_nothing_is_ended(
    deployment: Deployment, person: Person, cookies: list[str]
) -> None:
    """S-37, S-18."""
    fields = person.fields()
    response = person.sends(fields, cookies=cookies)
    assert (response["statusCode"], "takes no cookies" in response["body"]) == (403, True)
    assert alive(deployment)


def test_the_cookie_is_as_every_one_of_ours_and_kept(person: Person) -> None:
    """S-18."""
    response = person.open(person.url)
    name, value, attributes = parsed_cookie(response["cookies"][0])
    assert name == COOKIE
    assert attributes == {"Max-Age": "1800", "Path": "/", "Secure": "", "HttpOnly": "", "SameSite": "Lax"}
    assert parsed_cookie(person.open(person.url)["cookies"][0])[1] == value


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "multipart/form-data"])
def test_only_a_form_is_an_answer(deployment: Deployment, person: Person, content_type: str) -> None:
    response = person.sends(person.fields(), FORM | {"content-type": content_type})
    assert response["statusCode"] == 400
    assert alive(deployment)


def test_whoever_only_looks_ends_nothing(deployment: Deployment, person: Person) -> None:
    """S-46: link scanners, previews and prefetchers."""
    fields = urlencode(person.fields())
    before = len(deployment.dynamo.calls)
    assert person.open(person.url, method="HEAD")["statusCode"] == 405
    for headers in ({"sec-purpose": "prefetch;prerender"}, {"purpose": "prefetch"}):
        assert person.open(person.url, headers=headers)["statusCode"] == 204
        assert person.sends({}, FORM | headers)["statusCode"] == 204
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        refused = person.open(person.url, method=method, headers=FORM, body=fields)
        assert (refused["statusCode"], refused["headers"]["Allow"]) == (405, "GET, POST")
    assert len(deployment.dynamo.calls) == before
    for _ in range(3):
        assert person.open(f"{person.url}&{fields}")["statusCode"] == 200
    assert set(deployment.dynamo.calls[before:]) == {"get_item"}
    assert alive(deployment)


# S-19: what the session does not allow is as if it were not there


def refusal(deployment: Deployment, url: str, method: str = "GET", jar: str = "", body: str = "") -> Response:
    browser = Browser(deployment)
    browser.jar = {COOKIE: jar} if jar else {}
    return browser.open(url, method=method, headers=FORM, body=body or None, request_id="r")


def test_unknown_expired_foreign_and_forbidden_links_are_answered_alike_to_the_byte(deployment: Deployment) -> None:
    """S-19: for looking and for sending, whoever has a value of ours for it."""
    for integration in ("crm", "desk"):
        row(deployment, integration, provider=integration)
    known, forbidden = Person(deployment), Person(deployment, allow_disconnect=False)
    gone = Person(deployment)
    key = {"id": {"S": f"session#{gone.created['session']}"}}
    deployment.dynamo.client.delete_item(TableName=deployment.names["PendingTable"], Key=key)
    unknown, unknown_id = deployment.tickets.ticket("u" * 43)
    base = known.url.partition("?")[0]
    cases = {
        f"{base}?session={unknown}": (unknown_id, "crm"),
        gone.url: (gone.created["session"], "crm"),
        forbidden.url: (forbidden.created["session"], "crm"),
        known.url.replace("/crm/", "/desk/"): (known.created["session"], "desk"),
        known.url.replace("/crm/", "/nowhere/"): (known.created["session"], "nowhere"),
    }
    binding = "b" * 43
    answers = [refusal(deployment, f"{base}?session={each}") for each in ("", "garbage", f"{unknown[:-1]}-")]
    for url, (session, integration) in cases.items():
        fields = {
            "form": deployment.tickets.disconnect_form(session, integration, binding, CONSENT),
            "consent": CONSENT,
        }
        answers.append(refusal(deployment, url))
        answers.append(refusal(deployment, url, "POST", binding, urlencode(fields)))
    deployment.clock.advance(1800)
    answers.append(refusal(deployment, known.url))
    assert answers[0]["statusCode"] == 410
    assert [each for each in answers if each != answers[0]] == []
    assert alive(deployment)
    assert alive(deployment, "desk")


def test_a_link_ends_connections_of_its_own_tenant_and_name_alone(deployment: Deployment) -> None:
    """S-19: the tenant comes from the session; nothing that the browser sends can name another."""
    row(deployment, tenant="globex")
    row(deployment, connection="crm#second")
    person = Person(deployment)
    assert person.open(person.url)["statusCode"] == 303  # there is nothing of acme's
    row(deployment)
    fields = person.fields() | {"tenant": "globex", "name": "second", "integration": "desk"}
    assert (
        person.sends(fields, parameters={"integration": "crm", "tenant": "globex", "name": "second"})["statusCode"]
        == 303
    )
    assert not alive(deployment)
    for name, tenant in (("second", "acme"), ("default", "globex")):
        other = deployment.connection(name=name, tenant=tenant)
        assert other is not None
        assert other.status is Status.ACTIVE


def test_a_session_for_another_name_ends_that_one(deployment: Deployment, person: Person) -> None:
    row(deployment, connection="crm#second")
    Person(deployment, name="second").disconnects()
    assert alive(deployment)
    other = deployment.connection(name="second")
    assert other is not None
    assert other.status is Status.DELETING


def test_garbage_costs_no_call(deployment: Deployment) -> None:
    """S-20."""
    before = len(deployment.dynamo.calls)
    url = "https://vault.test/connect/crm/disconnect?session="
    for number in range(500):
        assert refusal(deployment, f"{url}{number:065d}")["statusCode"] == 410
        body = urlencode({"form": f"{number:022d}", "consent": CONSENT})
        assert refusal(deployment, f"{url}{number:065d}", "POST", "b" * 43, body)["statusCode"] == 410
    assert len(deployment.dynamo.calls) == before


def test_a_table_that_is_away_ends_nothing_and_says_so_in_the_session_s_language(deployment: Deployment) -> None:
    row(deployment)
    person = Person(deployment, language="pt")
    fields = person.fields()

    def fail(operation: str) -> None:
        if operation == "update_item":
            raise unavailable(operation)

    deployment.ports.before = fail
    response = person.sends(fields)
    assert (response["statusCode"], "O armazenamento do Consentry" in response["body"]) == (503, True)
    assert alive(deployment)


@pytest.mark.parametrize("value", [True, False])
def test_a_session_says_whether_its_page_may_disconnect(deployment: Deployment, value: bool) -> None:
    session = deployment.sessions.session(deployment.created(allow_disconnect=value)["session"])
    assert session is not None
    assert session.allow_disconnect is value


def test_a_session_that_says_nothing_may_and_one_from_before_may_not(deployment: Deployment) -> None:
    created = deployment.created()
    session = deployment.sessions.session(created["session"])
    assert session is not None
    assert session.allow_disconnect is True
    client, table = deployment.dynamo.client, deployment.names["PendingTable"]
    (row,) = [each for each in items(client, table) if each["id"]["S"] == f"session#{created['session']}"]
    del row["session"]["M"]["allow_disconnect"]
    client.put_item(TableName=table, Item=row)
    older = deployment.sessions.session(created["session"])
    assert older is not None
    assert older.allow_disconnect is False


@pytest.mark.parametrize("value", ["yes", 1, None, "false", []])
def test_a_wish_that_is_no_boolean_is_refused(deployment: Deployment, value: object) -> None:
    body = {"user_ref": "u", "integrations": ["crm"], "return_url": "", "allow_disconnect": value}
    response = deployment.manage(json_event(CREATE, {"tenant": "acme"}, body))
    assert (response["statusCode"], body_of(response)["detail"]) == (400, "allow_disconnect must be true or false")


# S-10, S-13, S-16


def test_nothing_of_the_request_s_addresses_is_in_the_question(person: Person) -> None:
    """S-13."""
    person.open(person.url)
    evil = {"host": "evil.test", "x-forwarded-host": "evil.test", "forwarded": "host=evil.test"}
    assert person.open(person.url, headers=evil) == person.open(person.url)


def test_the_question_loads_nothing_and_its_form_goes_here_alone(person: Person) -> None:
    """S-16."""
    response = person.open(person.url)
    assert "form-action 'self';" in response["headers"]["Content-Security-Policy"]
    found = Outline(response["body"])
    assert not {"script", "img", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in found.elements}
    tags = [tag for tag, _ in found.elements]
    assert [each for each in tags if each in {"h1", "h2", "h3"}] == ["h1", "h2"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(label=TEXTS, account=TEXTS, description=TEXTS)
def test_whatever_was_entered_stays_text(deployment: Deployment, label: str, account: str, description: str) -> None:
    """S-10."""
    row(deployment, label="l", account="a", description="d")
    person = Person(deployment)
    plain = person.asked()
    row(deployment, label=label, account=account, description=description)
    assert person.asked().skeleton == plain.skeleton
