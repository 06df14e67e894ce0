"""The form for credentials: shown, taken once, tried at most five times, and never telling what was entered."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consentry.connect.ports import MOST_TRIES
from consentry.model import ConnectionKey, Field
from consentry.ports import Undetermined
from consentry.tokens import grant_secrets
from consentry.web.credentials import COOKIE
from consentry.web.response import Response
from tests.support.deployment import (
    ENTER,
    OTHER_RETURN_URL,
    RETURN_URL,
    Browser,
    Deployment,
    parsed_cookie,
    query_of,
)
from tests.support.events import event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import Step, answer, tokens
from tests.support.tables import unavailable

SECRET = "CNRY-customer-secret-2b7d"
ENTERED = {
    "label": "Shop",
    "description": "Ours\r\nalone",
    "input-client_id": "customer-1",
    "input-client_secret": SECRET,
}
MINTED = tokens(refresh_token=None, hub_id=None)
REJECTED = answer(401, {"error": "invalid_client"})
FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", "origin": "null"}


class Person(Browser):
    """A person with a session for `metrics`, who fills in the form as the page has it."""

    def __init__(self, deployment: Deployment, **wanted: object) -> None:
        super().__init__(deployment)
        self.created = deployment.created(**{"integrations": ["metrics"], **wanted})
        self.page = self.created["connect_url"]
        self.url = self.page.replace("/connect?", "/connect/metrics?")

    def form(self) -> Outline:
        response = self.open(self.url)
        assert response["statusCode"] == 200, response["body"]
        return Outline(response["body"])

    def fields(self, **changes: str) -> dict[str, str]:
        return {"form": self.form().one("input", name="form")["value"], **ENTERED, **changes}

    def sends(self, fields: Mapping[str, str], headers: Mapping[str, str] | None = None, **changes: Any) -> Response:  # noqa: ANN401 - handed on
        given = {"method": "POST", "body": urlencode(fields), "headers": FORM if headers is None else headers}
        return self.open(self.url, **{**given, **changes})

    def enters(self, **changes: str) -> Response:
        return self.sends(self.fields(**changes))


@pytest.fixture
def person(deployment: Deployment) -> Person:
    return Person(deployment)


def test_credentials_that_mint_a_token_are_stored_and_the_person_goes_back(
    deployment: Deployment, person: Person, log_lines: Log
) -> None:
    deployment.provider.then(MINTED)
    response = person.enters()
    assert response["statusCode"] == 303
    assert response["headers"]["Location"].startswith(f"{RETURN_URL}?")
    told = {"session": person.created["session"], "integration": "metrics", "status": "active"}
    assert query_of(response) == told
    connection = deployment.connection("metrics")
    assert connection is not None
    assert (connection.label, connection.description, connection.gen) == ("Shop", "Ours\nalone", 1)
    payload = deployment.envelopes.open(connection.grant, connection.key.encryption_context(Field.GRANT))
    entered = {name: secret.reveal() for name, secret in grant_secrets(payload).items()}
    assert entered == {"client_id": "customer-1", "client_secret": SECRET}
    (line,) = log_lines.named("consent")
    assert (line["connection"], line["outcome"]) == ("metrics#default", "connected")


def test_the_connection_has_the_session_s_name(deployment: Deployment) -> None:
    deployment.provider.then(MINTED)
    Person(deployment, name="second").enters()
    assert deployment.connections.read(ConnectionKey("acme", "metrics", "second")) is not None


def test_a_return_url_with_a_query_keeps_it(deployment: Deployment) -> None:
    deployment.provider.then(MINTED)
    response = Person(deployment, return_url=OTHER_RETURN_URL).enters()
    assert response["headers"]["Location"].startswith(f"{OTHER_RETURN_URL}&session=")


@pytest.mark.parametrize("return_url", ["", RETURN_URL])
def test_without_a_registered_return_url_the_person_comes_to_the_page(deployment: Deployment, return_url: str) -> None:
    """S-09: it is looked at again when somebody is sent there."""
    person = Person(deployment, return_url=return_url)
    deployment.return_urls = frozenset()
    deployment.provider.then(MINTED)
    response = person.enters()
    assert response["headers"]["Location"] == person.page
    assert "Replace the credentials for Metrics" in person.open(person.page)["body"]


def test_a_name_left_empty_stays_what_it_was(deployment: Deployment, person: Person) -> None:
    deployment.provider.then(MINTED, MINTED)
    person.enters()
    Person(deployment).enters(label=" ", description="")
    connection = deployment.connection("metrics")
    assert connection is not None
    assert (connection.label, connection.description, connection.gen) == ("Shop", "Ours\nalone", 2)


def test_every_entry_has_a_label_and_secrets_are_hidden_and_not_kept(person: Person) -> None:
    form = person.form()
    entries = [each for each in (*form.all("input"), *form.all("textarea")) if each.get("type") != "hidden"]
    labelled = {each["for"] for each in form.all("label")}
    assert {each["id"] for each in entries} == labelled
    kinds = {each["name"]: each.get("type") for each in entries}
    assert kinds["input-client_secret"] == "password"
    assert kinds["input-client_id"] == "text"
    secret = form.one("input", name="input-client_secret")
    assert (secret["autocomplete"], secret["spellcheck"], secret["maxlength"]) == ("off", "false", "80")
    assert "required" in secret
    assert "required" not in form.one("input", name="input-site_id")
    ids = {each["id"] for tag, _ in form.elements for each in form.all(tag) if "id" in each}
    described = {each["aria-describedby"] for each in entries if "aria-describedby" in each}
    assert described <= ids
    assert form.unbalanced == form.open == []
    assert form.one("form")["method"] == "post"
    assert form.one("form")["action"] == person.url


def test_the_form_may_be_sent_here_and_lead_to_the_return_url_and_nowhere_else(person: Person) -> None:
    policy = person.open(person.url)["headers"]["Content-Security-Policy"]
    assert "form-action 'self' https://app.test;" in policy


@pytest.mark.parametrize(
    ("step", "status", "said"),
    [
        (REJECTED, 400, "Metrics does not accept these credentials."),
        (answer(401, b"<html>CNRY-no</html>"), 400, "Metrics does not accept these credentials."),
        (answer(500, b""), 502, "Metrics has trouble at the moment."),
        (Undetermined("deadline"), 502, "Metrics did not answer."),
    ],
)
def test_credentials_that_mint_nothing_come_back_as_the_form_with_the_reason(
    deployment: Deployment, person: Person, log_lines: Log, step: Step, status: int, said: str
) -> None:
    deployment.provider.then(step)
    response = person.sends(person.fields(), request_id="JKJaXmPLvHcESHA=")
    form = Outline(response["body"])
    assert response["statusCode"] == status
    assert said in form.text
    assert "JKJaXmPLvHcESHA=" in form.text
    assert form.one("div", role="alert")["aria-live"] == "assertive"
    assert form.one("input", name="input-client_id")["value"] == "customer-1"
    assert form.one("input", name="label")["value"] == "Shop"
    assert "value" not in form.one("input", name="input-client_secret")
    assert "CNRY-" not in response["body"].replace("CNRY-random", "")
    assert deployment.connection("metrics") is None
    (line,) = log_lines.named("credentials refused")
    assert (line["tenant"], line["connection"]) == ("acme", "metrics#default")
    assert "CNRY-" not in log_lines.text


def test_after_a_refusal_the_form_can_be_corrected_and_sent_again(deployment: Deployment, person: Person) -> None:
    deployment.provider.then(REJECTED, MINTED)
    refused = Outline(person.enters()["body"])
    fields = {**ENTERED, "form": refused.one("input", name="form")["value"]}
    assert person.sends(fields)["statusCode"] == 303


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"input-client_id": ""}, "client_id", "Client ID: enter 1 to 40 visible characters."),
        ({"input-client_id": "   "}, "client_id", "Client ID: enter 1 to 40 visible characters."),
        ({"input-client_id": "x" * 41}, "client_id", "Client ID: enter 1 to 40 visible characters."),
        ({"input-client_secret": "a\tb"}, "client_secret", "Client secret: enter 1 to 80 visible characters."),
        ({"input-site_id": "12a"}, "site_id", "Site ID: this does not look as Metrics writes it."),
    ],
)
def test_an_entry_that_cannot_be_used_is_marked_costs_no_try_and_asks_nobody(
    deployment: Deployment, person: Person, changes: dict[str, str], field: str, said: str
) -> None:
    response = person.enters(**changes)
    form = Outline(response["body"])
    assert response["statusCode"] == 400
    assert said in form.text
    marked = form.one("input", aria_invalid="true")
    assert (marked["name"], marked["aria-describedby"]) == (f"input-{field}", "trouble")
    assert "autofocus" in marked
    assert form.text.startswith("Trouble: ")
    assert deployment.provider.requests == []
    assert tries_of(deployment, person) == 0


def test_a_name_that_is_too_long_is_refused_in_words(deployment: Deployment, person: Person) -> None:
    response = person.enters(label="x" * 501)
    assert (response["statusCode"], "at most 500 visible characters" in response["body"]) == (400, True)
    assert tries_of(deployment, person) == 0


def test_the_form_speaks_the_session_s_language_labels_included(deployment: Deployment) -> None:
    person = Person(deployment, language="pt")
    assert "ID do cliente" in person.form().text
    assert "Client ID: informe" not in person.enters(**{"input-client_id": ""})["body"]
    assert "ID do cliente: informe de 1 a 40" in person.enters(**{"input-client_id": ""})["body"]
    assert "Este formulário" in person.sends({**person.fields(), "form": "x"}, FORM | {"accept-language": "pt"})["body"]


def tries_of(deployment: Deployment, person: Person) -> int:
    key = {"id": {"S": f"session#{person.created['session']}"}}
    item = deployment.dynamo.client.get_item(TableName=deployment.names["PendingTable"], Key=key)["Item"]
    return int(item.get("tries", {"N": "0"})["N"])


# S-37: five tries, each form once


def test_the_sixth_try_is_refused_and_ends_the_session(deployment: Deployment, person: Person) -> None:
    """S-37: whatever it tries, and everywhere."""
    deployment.provider.then(*[REJECTED] * MOST_TRIES)
    fields = [person.fields() for _ in range(MOST_TRIES + 2)]
    assert [person.sends(each)["statusCode"] for each in fields] == [400] * MOST_TRIES + [429, 410]
    assert len(deployment.provider.requests) == MOST_TRIES
    assert {person.open(each)["statusCode"] for each in (person.url, person.page)} == {410}
    assert "That was tried too often." not in person.open(person.page)["body"]


def test_the_end_of_tries_is_told_in_the_session_s_language(deployment: Deployment) -> None:
    person = Person(deployment, language="pt")
    deployment.provider.then(*[REJECTED] * MOST_TRIES)
    told = [person.enters() for _ in range(MOST_TRIES + 1)][-1]
    assert "Foram tentativas demais." in told["body"]


def test_a_session_that_ended_by_tries_opens_no_consent_either(deployment: Deployment) -> None:
    person = Person(deployment, integrations=["metrics", "crm"])
    deployment.provider.then(*[REJECTED] * MOST_TRIES)
    for _ in range(MOST_TRIES + 1):
        person.enters()
    assert person.open(person.created["authorize_urls"]["crm"])["statusCode"] == 410


def test_a_form_that_is_sent_twice_counts_once(deployment: Deployment, person: Person) -> None:
    deployment.provider.then(MINTED)
    fields = person.fields()
    assert person.sends(fields)["statusCode"] == 303
    again = person.sends(fields)
    assert (again["statusCode"], "sent already" in again["body"]) == (409, True)
    assert len(deployment.provider.requests) == 1


def test_sixty_four_copies_of_one_form_are_one_try(deployment: Deployment, person: Person) -> None:
    deployment.provider.then(MINTED)
    fields = person.fields()
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda _: person.sends(fields)["statusCode"], range(64)))
    assert (statuses.count(303), statuses.count(409)) == (1, 63)
    assert len(deployment.provider.requests) == 1
    assert tries_of(deployment, person) == 1


def test_a_table_that_is_away_is_found_out_before_the_provider_is_asked(deployment: Deployment, person: Person) -> None:
    fields = person.fields()

    def fail(operation: str) -> None:
        if operation == "update_item":
            raise unavailable(operation)

    deployment.ports.before = fail
    assert person.sends(fields)["statusCode"] == 503
    assert deployment.provider.requests == []


def test_too_little_time_is_told_on_the_form(deployment: Deployment, person: Person) -> None:
    deployment.invocation_seconds = 22.9
    response = person.enters()
    assert (response["statusCode"], "Consentry is too slow" in response["body"]) == (503, True)
    assert deployment.provider.requests == []


# Cross-site


FOREIGN: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site", "origin": "https://evil.test"},
    {"sec-fetch-site": "same-site", "origin": "https://other.vault.test"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "null"},
    {"sec-fetch-site": "same-origin", "origin": "https://evil.test"},
    {"sec-fetch-site": "", "origin": "https://evil.test"},
    {"origin": "https://vault.test.evil.test"},
    {"origin": "http://vault.test"},
    {"origin": "https://vault.test:444"},
    {"referer": "https://vault.test/connect/metrics"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_from_another_site_is_refused_before_any_call(
    deployment: Deployment, person: Person, headers: dict[str, str]
) -> None:
    """S-37: cookie and value are right, as in a browser that sends cookies anywhere."""
    fields = person.fields()
    before = len(deployment.dynamo.calls)
    response = person.sends(fields, {"content-type": FORM["content-type"], **headers})
    assert response["statusCode"] == 403
    assert (deployment.provider.requests, len(deployment.dynamo.calls)) == ([], before)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": "https://vault.test"},
        {"sec-fetch-site": "same-origin"},
        {"origin": "https://vault.test"},
        {"origin": "null"},
    ],
    ids=str,
)
def test_browsers_old_and_new_may_send_the_form_from_its_page(
    deployment: Deployment, person: Person, headers: dict[str, str]
) -> None:
    deployment.provider.then(MINTED)
    assert person.sends(person.fields(), {"content-type": FORM["content-type"], **headers})["statusCode"] == 303


def refused(deployment: Deployment, response: Response) -> bool:
    return response["statusCode"] == 403 and deployment.provider.requests == []


def test_without_the_cookie_or_with_another_browser_s_the_form_is_refused(
    deployment: Deployment, person: Person
) -> None:
    fields, other = person.fields(), Person(deployment)
    other.form()
    for jar in ({}, dict(other.jar), {COOKIE: "x"}, {COOKIE: "x" * 43}, {COOKIE: "|" * 43}):
        person.jar = jar
        assert refused(deployment, person.sends(fields))


def test_a_value_of_another_session_integration_or_making_is_refused(deployment: Deployment, person: Person) -> None:
    """The attacker's own form, posted for the victim's session and the other way round."""
    good = person.fields()
    other = Person(deployment)
    other.jar = person.jar
    assert refused(deployment, other.sends(good))
    for value in ("", "x", good["form"][:-1] + "-", "y" * 65, good["form"] + "x", "\ud800"):
        assert refused(deployment, person.sends({**good, "form": value.encode("utf-8", "replace").decode()}))
    ticket, elsewhere = urlsplit(person.url).query, {"integration": "metrics|x"}
    odd = event(ENTER, parameters=elsewhere, query=ticket, method="POST", headers=FORM, body=urlencode(good),
                cookies=[f"{COOKIE}={person.jar[COOKIE]}"])  # fmt: skip
    assert refused(deployment, deployment.enter(odd))


def test_the_cookie_is_kept_for_the_other_tab_and_made_anew_where_it_is_none_of_ours(
    deployment: Deployment, person: Person
) -> None:
    first = person.fields()
    kept = person.jar[COOKIE]
    person.form()
    assert person.jar[COOKIE] == kept
    deployment.provider.then(MINTED)
    assert person.sends(first)["statusCode"] == 303
    person.jar = {COOKIE: "short; Domain=evil.test"}
    assert person.open(person.url)["cookies"] == [
        f"{COOKIE}={person.jar[COOKIE]}; Max-Age=1800; Path=/; Secure; HttpOnly; SameSite=Lax"
    ]
    assert parsed_cookie(f"{COOKIE}={person.jar[COOKIE]}")[1].startswith("CNRY-random-")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("a=1", {"content-type": "application/json"}),
        ("a=1", {"content-type": "multipart/form-data; boundary=x"}),
        ("a=1", {"content-type": ""}),
        ("a=1&a=2", {}),
        ("a=%ff", {}),
        ("é=1", {}),
        ("&".join(f"f{number}=1" for number in range(51)), {}),
    ],
)
def test_what_is_no_form_of_ours_is_refused(
    deployment: Deployment, person: Person, body: str, headers: dict[str, str]
) -> None:
    response = person.sends({}, FORM | headers, body=body)
    assert (response["statusCode"], "is not this page&#x27;s form" in response["body"]) == (400, True)


def test_a_form_of_more_than_64_kilobytes_is_refused(person: Person) -> None:
    response = person.sends({"label": "x" * 65_536})
    assert (response["statusCode"], "too large" in response["body"]) == (400, True)


def test_a_form_in_base64_is_read_as_the_gateway_sends_it(deployment: Deployment, person: Person) -> None:
    assert (
        person.sends({"form": "x"}, FORM | {"content-type": "Application/X-WWW-Form-URLencoded; charset=UTF-8"})[
            "statusCode"
        ]
        == 403
    )


# S-19


def test_links_that_open_no_form_are_answered_alike_to_the_byte(deployment: Deployment) -> None:
    person, consent, gone = Person(deployment), Person(deployment, integrations=["crm"]), Person(deployment)
    key = {"id": {"S": f"session#{gone.created['session']}"}}
    deployment.dynamo.client.delete_item(TableName=deployment.names["PendingTable"], Key=key)

    def opened(url: str, integration: str = "metrics") -> Response:
        parameters = {"integration": integration}
        return deployment.enter(event(ENTER, parameters=parameters, query=urlsplit(url).query, request_id="r"))

    answers = [
        opened("?session=garbage"),
        opened("?"),
        opened(person.url + "x"),
        opened(gone.url),
        opened(consent.url),
        opened(consent.url, "crm"),
        opened(person.url, "crm"),
        opened(person.url, "nothing"),
        opened(person.url, "\ud800é/.."),
    ]
    deployment.dynamo.client.delete_item(
        TableName=deployment.names["IntegrationsTable"], Key={"integration": {"S": "metrics"}}
    )
    answers.append(opened(person.url))
    deployment.clock.advance(1800)
    answers.append(opened(person.url))
    assert answers[0]["statusCode"] == 410
    assert [each for each in answers if each != answers[0]] == []


def test_credentials_have_no_consent(deployment: Deployment, person: Person) -> None:
    assert person.open(person.url.replace("/connect/", "/authorize/"))["statusCode"] == 410


def test_head_and_prefetch_get_no_form(person: Person) -> None:
    """S-46."""
    head = person.open(person.url, method="HEAD")
    assert (head["statusCode"], head["headers"]["Allow"]) == (405, "GET, POST")
    assert person.open(person.url, headers={"purpose": "prefetch"})["statusCode"] == 204
    assert person.jar == {}


# S-10 and S-14


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
MARKUP = st.sampled_from(['"><script>alert(1)</script>', "</textarea><img src=x onerror=y>", "'--></style>", "&quot;"])
NAMES = ("label", "description", "input-client_id", "input-site_id")


@given(texts=st.lists(TEXT | MARKUP, min_size=5, max_size=5))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_entered_the_form_s_structure_is_the_same_and_no_secret_comes_back(
    deployment: Deployment, texts: list[str]
) -> None:
    """S-10, S-14: 1,000 strings; those that cannot be shown are left out."""
    person = Person(deployment)
    secret = f"CNRY-entered-{texts[4]}"
    entered = {**dict(zip(NAMES, texts, strict=False)), "input-client_id": texts[2] + "x" * 41}
    response = person.enters(**entered, **{"input-client_secret": secret})
    plain = person.enters(**{**dict.fromkeys(NAMES, "z"), "input-client_id": "z" * 41})
    assert response["statusCode"] == plain["statusCode"] == 400
    assert values_apart(response) == values_apart(plain)
    assert "CNRY-entered" not in response["body"]
    for text in (*response["headers"].values(), *response["cookies"]):
        assert text.isascii()
        assert text.isprintable()


def values_apart(response: Response) -> list[tuple[str, list[str]]]:
    """The structure, but for whether an entry has a value, and which entry is marked as the wrong one."""
    varying = {"value", "aria-invalid", "aria-describedby", "autofocus"}
    return [(tag, [name for name in names if name not in varying]) for tag, names in Outline(response["body"]).skeleton]


def test_what_was_entered_comes_back_as_it_was(person: Person) -> None:
    entered = {"label": 'a "b" <c> & d', "description": "\n\nx\r\ny </textarea>", "input-client_id": "y" * 41}
    html = person.enters(**entered)["body"]
    form = Outline(html)
    assert form.one("input", name="label")["value"] == entered["label"]
    assert form.one("input", name="input-client_id")["value"] == entered["input-client_id"]
    assert ">\n\n\nx\ny &lt;/textarea&gt;</textarea>" in html
    assert dict(parse_qsl(urlencode(entered)))["label"] == entered["label"]
