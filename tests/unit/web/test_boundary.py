"""The edge of every function behind the API: whatever happens becomes an answer, and one line in the log."""

from typing import NoReturn

import pytest

from consentry.errors import ConsentryError, InvalidRequest, Misconfigured
from consentry.web.boundary import for_people, for_programs, place
from consentry.web.request import Request
from consentry.web.response import Response, answer
from tests.support.deployment import body_of
from tests.support.events import event
from tests.support.logs import Log

EVENT = event("ANY /authorize/{integration}", parameters={"integration": "crm"}, request_id="r-1")


def trouble(_request: Request) -> NoReturn:
    secret = "CNRY-in-a-variable"
    raise KeyError(f"CNRY-in-a-text {secret}")


def test_an_unforeseen_error_is_a_503_page_without_its_text(log_lines: Log) -> None:
    response = for_people(EVENT, trouble)
    assert response["statusCode"] == 503
    assert "Something went wrong on our side" in response["body"]
    assert "r-1" in response["body"]
    assert "CNRY-" not in response["body"]
    assert "KeyError" not in response["body"]
    assert "Traceback" not in log_lines.text


def test_an_unforeseen_error_is_one_line_that_says_where_and_holds_no_secret(log_lines: Log) -> None:
    for_programs(EVENT, trouble)
    (line,) = log_lines.lines
    assert (line["message"], line["level"]) == ("unforeseen", "ERROR")
    assert (line["error"], line["correlation_id"]) == ("KeyError", "r-1")
    assert line["where"].startswith("tests.unit.web.test_boundary:")
    assert "CNRY-" not in log_lines.text


def test_an_unforeseen_error_is_a_problem_for_programs(log_lines: Log) -> None:
    response = for_programs(EVENT, trouble)
    assert body_of(response) == {
        "type": "about:blank",
        "title": "Unforeseen",
        "status": 503,
        "detail": "Something went wrong on our side. Try again in a moment.",
        "code": "unforeseen",
        "correlation_id": "r-1",
    }


@pytest.mark.parametrize(
    ("error", "level"), [(InvalidRequest("no", detail="why"), "WARNING"), (Misconfigured("no", detail="why"), "ERROR")]
)
def test_a_refusal_is_logged_with_its_detail_and_told_without_it(
    log_lines: Log, error: ConsentryError, level: str
) -> None:
    def refuse(_request: Request) -> NoReturn:
        raise error

    response = for_programs(EVENT, refuse)
    (line,) = log_lines.lines
    assert (line["message"], line["level"], line["code"], line["detail"]) == ("refused", level, error.code, "why")
    assert line["status"] == error.status == response["statusCode"]
    assert line["route"] == "ANY /authorize/{integration}"
    assert "why" not in response["body"]


def test_an_answer_is_logged_by_route_and_status_alone(log_lines: Log) -> None:
    for_programs(event("ANY /x", query="code=CNRY-code", body="CNRY-body"), lambda _: answer(204))
    (line,) = log_lines.lines
    assert (line["message"], line["status"], line["route"]) == ("answered", 204, "ANY /x")
    assert "CNRY-" not in log_lines.text


def test_programs_may_use_any_method_and_people_only_look(log_lines: Log) -> None:
    def made(_request: Request) -> Response:
        return answer(201)

    posted = event("ANY /x", method="POST")
    assert for_programs(posted, made)["statusCode"] == 201
    assert for_people(posted, made)["statusCode"] == 405
    assert for_people(event("ANY /x"), made)["statusCode"] == 201


def test_an_event_of_another_shape_is_answered_too(log_lines: Log) -> None:
    assert for_people({}, trouble)["statusCode"] == 405
    assert for_programs({"headers": None, "cookies": None}, trouble)["statusCode"] == 503


def test_the_place_is_module_and_line_of_the_innermost_frame() -> None:
    with pytest.raises(KeyError) as raised:
        trouble(Request.of(EVENT))
    assert place(raised.value) == f"{__name__}:{trouble.__code__.co_firstlineno + 2}"
    assert place(ValueError()) == ""
