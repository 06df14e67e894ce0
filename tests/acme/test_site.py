import pytest

from dev.acme.trouble import Trouble
from tests.acme.fakes import URL, Visitor, connection


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


def test_a_card_shows_the_state_of_its_connection(visitor: Visitor) -> None:
    visitor.consentry.existing["acme"] = [connection()]
    page = visitor.home()
    for text in ("Connected", "62515", "oauth tickets", "<dd>7</dd>", "in 42 s", "Show tickets"):
        assert text in page


def test_a_connection_that_ended_says_why_and_shows_nothing_to_read(visitor: Visitor) -> None:
    visitor.consentry.existing["acme"] = [connection(status="reauth_required", cause="grant_revoked")]
    page = visitor.home()
    assert "Connect again" in page
    assert "grant revoked" in page
    assert "Show tickets" not in page


def test_each_user_sees_the_own_tenant(visitor: Visitor) -> None:
    visitor.consentry.existing["globex"] = [connection(account="62516")]
    assert "62516" not in visitor.home()
    visitor.post("/user", user="user-2")
    assert "62516" in visitor.home()


def test_connecting_begins_a_session_to_be_confirmed_and_goes_to_its_address(visitor: Visitor) -> None:
    answer = visitor.post("/connect/hubspot-ticketing")
    assert (answer.status_code, answer.location) == (
        303,
        "https://localhost:3000/authorize/hubspot-ticketing?session=1",
    )
    tenant, wanted = visitor.consentry.begun[0]
    assert tenant == "acme"
    assert wanted == {
        "user_ref": "user-1",
        "integrations": ["hubspot-ticketing"],
        "completion": "confirm",
        "return_url": f"{URL}/return",
        "allow_account_change": False,
    }


def test_the_hosted_page_is_opened_with_a_session_for_everything(visitor: Visitor) -> None:
    answer = visitor.post("/connect")
    assert (answer.status_code, answer.location) == (303, "https://localhost:3000/connect?session=1")
    assert visitor.consentry.begun[0][1]["integrations"] == ["hubspot-ticketing", "hotjar"]


def test_credentials_that_were_entered_on_the_hosted_page_need_no_completion(visitor: Visitor) -> None:
    visitor.post("/connect")
    answer = visitor.get("/return?session=session-1&integration=hotjar&status=active")
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Connected with the credentials that you entered." in visitor.home()
    assert visitor.consentry.completed == []


def test_another_account_is_allowed_only_when_ticked(visitor: Visitor) -> None:
    visitor.post("/connect/hubspot-ticketing", other_account="yes")
    assert visitor.consentry.begun[0][1]["allow_account_change"] is True


def test_a_return_is_completed_for_the_signed_in_user_and_leaves_a_clean_address(visitor: Visitor) -> None:
    visitor.post("/connect/hubspot-ticketing")
    answer = visitor.get("/return?session=session-1&integration=hubspot-ticketing&handle=h.1")
    assert (answer.status_code, answer.location) == (303, "/")
    assert visitor.consentry.completed == [("acme", "session-1", "h.1", "user-1")]
    assert "Connected: hubspot-ticketing" in visitor.home()
    assert "Connected: hubspot-ticketing" not in visitor.home()


def test_a_return_that_another_browser_began_is_not_completed(visitor: Visitor) -> None:
    visitor.get("/return?session=session-1&integration=hubspot-ticketing&handle=h.1")
    assert visitor.consentry.completed == []
    assert "not_begun_here" in visitor.home()


def test_a_return_for_a_user_who_signed_out_meanwhile_is_not_completed(visitor: Visitor) -> None:
    visitor.post("/connect/hubspot-ticketing")
    visitor.post("/user", user="user-2")
    visitor.get("/return?session=session-1&integration=hubspot-ticketing&handle=h.1")
    assert visitor.consentry.completed == []
    assert "not_begun_here" in visitor.home()


def test_a_return_counts_once(visitor: Visitor) -> None:
    visitor.post("/connect/hubspot-ticketing")
    for _ in range(2):
        visitor.get("/return?session=session-1&integration=hubspot-ticketing&handle=h.1")
    assert len(visitor.consentry.completed) == 1


@pytest.mark.parametrize(
    ("error", "said"), [("access_denied", "You did not allow"), ("<img onerror=x>", "The provider did not allow")]
)
def test_a_refused_consent_is_explained_in_our_own_words(visitor: Visitor, error: str, said: str) -> None:
    visitor.post("/connect/hubspot-ticketing")
    visitor.client.get("/return", base_url=URL, query_string={"session": "session-1", "error": error})
    page = visitor.home()
    assert said in page
    assert "onerror" not in page
    assert visitor.consentry.completed == []


def test_credentials_are_passed_on_and_never_shown_again(visitor: Visitor) -> None:
    visitor.post("/credentials/hotjar", client_id="mine", client_secret="CNRY-secret", site_id="", stray="x")
    inputs = {"client_id": "mine", "client_secret": "CNRY-secret"}
    assert visitor.consentry.entered == [("acme", "hotjar", inputs)]
    assert "CNRY-secret" not in visitor.home()


def test_a_refusal_of_the_api_is_a_sentence_and_a_code(visitor: Visitor) -> None:
    visitor.consentry.trouble = Trouble("Hotjar does not accept these credentials.", "credential_rejected", status=400)
    answer = visitor.post("/credentials/hotjar", client_id="mine", client_secret="wrong")
    assert answer.status_code == 303
    page = visitor.home()
    assert "Hotjar does not accept these credentials." in page
    assert "<code>credential_rejected</code>" in page


def test_a_form_without_its_token_is_refused(visitor: Visitor) -> None:
    for path in ("/user", "/connect", "/connect/hubspot-ticketing", "/credentials/hotjar"):
        for fields in ({}, {"form_token": "guessed"}, {"form_token": "gü"}):
            assert visitor.client.post(path, base_url=URL, data=fields).status_code == 403
    assert visitor.consentry.begun == []
    assert visitor.consentry.entered == []


def test_a_reading_is_a_table_of_escaped_text(visitor: Visitor) -> None:
    page = visitor.get("/read/hubspot-ticketing").text
    assert "&lt;b&gt;late&lt;/b&gt;" in page
    assert "1 from <code>hubspot-ticketing</code>, read in 2 pages" in page


def test_a_reading_from_an_ended_connection_says_what_to_press(visitor: Visitor) -> None:
    visitor.readings.answer = Trouble("POST /tenants/acme/sessions ...", "reauth_required")
    answer = visitor.get("/read/hubspot-ticketing")
    assert answer.status_code == 502
    assert "press Connect again" in answer.text


@pytest.mark.parametrize(
    ("path", "status"), [("/read/hotjar", 404), ("/read/nothing", 404), ("/nowhere", 404), ("/connect/hotjar", 405)]
)
def test_what_does_not_exist_is_explained_on_a_page(visitor: Visitor, path: str, status: int) -> None:
    answer = visitor.get(path)
    assert answer.status_code == status
    assert "This did not work" in answer.text


def test_acme_answers_to_its_own_name_only(visitor: Visitor) -> None:
    assert visitor.client.get("/", base_url="http://rebound.example").status_code == 400


def test_every_page_forbids_scripts_frames_and_caches(visitor: Visitor) -> None:
    for path in ("/", "/nowhere", "/return"):
        headers = visitor.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


def test_the_cookie_is_acmes_own_and_unreadable_to_scripts(visitor: Visitor) -> None:
    cookie = visitor.get("/").headers["Set-Cookie"]
    assert cookie.startswith("acme_example_visit=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
