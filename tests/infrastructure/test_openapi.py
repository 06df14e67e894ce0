"""docs/openapi.yaml is the management API: its routes are the template's, its codes and limits are the code's."""

import ast
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any, Final

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from consentry.connect import attention, credentials, sessions
from consentry.model import IDENTIFIER, MOST_TEXT, Cause, Completion, Grant, Status
from consentry.web import manage
from tests.infrastructure.transformed import ROOT, resources, transformed
from tests.support import openapi
from tests.support.openapi import Json, codes_of, document, operations, pointer, require_described, resolved, validator

LAYER: Final = ROOT / "layers" / "consentry" / "consentry"
# Codes that no caller of the management API meets, and where they are met instead.
ELSEWHERE: Final = {
    "on the public pages": {
        "ambiguous_answer", "connection_replaced", "foreign_form", "form_sent", "invalid_form", "issuer_mismatch",
        "issuer_missing", "malformed_parameter", "missing_code", "missing_state", "other_browser",
        "oversized_parameter", "return_url_unregistered", "session_expired", "stale_form", "state_mismatch",
        "too_many_tries",
    },
    "in the answers of functions that operators invoke": {
        "escrow_not_empty", "invalid_key", "invalid_row", "key_does_not_open", "not_opened",
    },
    "in a process that reads with Vault": {"insecure_address", "record_rolled_back"},
    "nowhere: kinds of errors, each of whose members has a code of its own": {
        "conflict", "forbidden", "internal", "operator_must_act", "try_later",
    },
    "nowhere: the gateway would have to hand over a route that it does not have, or a body that it did not encode": {
        "invalid_body", "not_found",
    },
    "nowhere: what is checked before does not let it come to that": {"missing_input", "secret_too_large"},
}  # fmt: skip


def schemas() -> Json:
    found: Json = document()["components"]["schemas"]
    return found


def properties(name: str) -> Json:
    found: Json = schemas()[name]["properties"]
    return found


def signed_routes() -> set[str]:
    routes = resources(transformed(), "AWS::ApiGatewayV2::Route").values()
    return {each["RouteKey"] for each in routes if each["AuthorizationType"] == "AWS_IAM"}


@cache
def raised_codes() -> frozenset[str]:
    """Every code that stands in the layer: a class's own, one that is given when an error is made, a named one."""
    return frozenset(code for file in LAYER.rglob("*.py") for code in codes_in(ast.parse(file.read_text())))


def codes_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))) if code:
                yield code
            case ast.Assign(targets=[ast.Name(id="default_code")], value=ast.Constant(value=str(code))):
                yield code
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(code))) if name in {
                "TABLE_UNAVAILABLE", "default_code",
            }:  # fmt: skip
                yield code
            case _:
                pass


def documented_codes() -> set[str]:
    return {code for _, each in operations() for answer in each["responses"].values() for code in codes_of(answer)}


def test_the_document_is_one_of_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_the_signed_routes_of_the_template_are_the_operations_of_the_document() -> None:
    assert {route for route, _ in operations()} == signed_routes()


def test_every_operation_wants_a_signature_and_has_a_name_of_its_own() -> None:
    assert document()["security"] == [{"sigv4": []}]
    assert [route for route, each in operations() if "security" in each] == []
    names = [each["operationId"] for _, each in operations()]
    assert len(names) == len(set(names))


def test_every_variable_of_a_path_is_described_and_no_other() -> None:
    for path, item in document()["paths"].items():
        described = [resolved(each) for each in item.get("parameters", [])]
        assert [each["name"] for each in described] == re.findall(r"\{(\w+)\}", path)
        assert all(each["in"] == "path" and each["required"] for each in described)


def test_the_codes_of_the_code_are_those_of_the_document_but_for_what_is_met_elsewhere() -> None:
    elsewhere = set().union(*ELSEWHERE.values())
    assert documented_codes() == raised_codes() - elsewhere
    assert elsewhere <= raised_codes()
    assert sum(map(len, ELSEWHERE.values())) == len(elsewhere)


def test_a_new_code_would_be_seen() -> None:
    tree = ast.parse(
        'class A(B):\n    default_code = "one"\nraise C("text", code="two")\nTABLE_UNAVAILABLE: F = "three"'
    )
    assert set(codes_in(tree)) == {"one", "two", "three"}


@pytest.mark.parametrize("route", [route for route, _ in operations()])
def test_every_operation_describes_what_any_request_may_meet(route: str) -> None:
    answers = (openapi.operation(route) or {})["responses"]
    assert {"403", "429", "500", "503"} <= answers.keys()
    assert ("404" in answers) == ("{" in route)
    assert {"misconfigured", "unforeseen"} <= codes_of(answers["503"])
    for status, answer in answers.items():
        assert (openapi.PROBLEM in resolved(answer)["content"]) <= status.startswith(("4", "5"))


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (["Status"], Status),
        (["Cause"], ["", *Cause]),
        (["NewSession", "properties", "completion"], Completion),
        (["Integration", "properties", "grant"], Grant),
        (["Flagged", "properties", "status"], attention.ATTENTION),
        (["BeingRemoved", "properties", "status"], [Status.DELETING]),
    ],
)
def test_values_by_name_are_those_of_the_code(schema: list[str], values: list[StrEnum]) -> None:
    found: Any = schemas()
    for name in schema:
        found = found[name]
    assert found.get("enum", [found.get("const")]) == [str(each) for each in values]


def test_fields_of_requests_and_answers_are_those_of_the_code() -> None:
    assert properties("NewSession").keys() == sessions._KNOWN
    assert properties("Credentials").keys() == credentials._KNOWN
    assert all(schemas()[name]["additionalProperties"] is False for name in ("NewSession", "Credentials"))
    for name in ("Connection", "Flagged", "Problem", "Token", "CreatedSession", "ConnectionPage", "FlaggedPage"):
        assert set(schemas()[name]["required"]) == properties(name).keys()


def test_limits_are_those_of_the_code() -> None:
    wanted, limit = properties("NewSession"), resolved({"$ref": "#/components/parameters/limit"})["schema"]
    assert wanted["integrations"]["maxItems"] == wanted["scopes"]["maxItems"] == sessions._MAX_INTEGRATIONS
    assert wanted["user_ref"]["maxLength"] == sessions._MAX_TEXT
    assert {properties("Credentials")[name]["maxLength"] for name in ("label", "description")} == {MOST_TEXT}
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 100)
    assert schemas()["Identifier"]["pattern"] == f"^{IDENTIFIER.pattern}$"
    assert wanted["language"]["pattern"] == f"^({sessions._LANGUAGE.pattern})?$"


def test_a_scope_holds_the_characters_that_the_code_takes() -> None:
    described = properties("NewSession")["scopes"]["items"]["pattern"]
    texts = [chr(number) for number in range(0x180)] + ["a" * 256, "a" * 257, ""]
    assert [text for text in texts if bool(re.search(described, text)) != bool(sessions._SCOPE.fullmatch(text))] == []


def examples() -> Iterator[tuple[str, str, object]]:
    """Yield where an example's schema is, its name, and its value."""
    for path, item in document()["paths"].items():
        for method in openapi.METHODS & item.keys():
            contents: dict[tuple[str, ...], Json] = {("requestBody",): item[method].get("requestBody", {})}
            contents |= {("responses", status): each for status, each in item[method]["responses"].items()}
            for place, each in contents.items():
                yield from _examples_in(pointer("paths", path, method, *place), each)
    for name, each in document()["components"]["responses"].items():
        yield from _examples_in(pointer("components", "responses", name), each)


def _examples_in(place: str, described: Json) -> Iterator[tuple[str, str, object]]:
    for media, content in described.get("content", {}).items():
        for name, example in content.get("examples", {}).items():
            yield f"{place}{pointer('content', media, 'schema')}", name, example["value"]


def test_every_example_is_valid() -> None:
    found = list(examples())
    assert len(found) > 12
    wrong = {
        f"{place} {name}": [each.message for each in validator(place).iter_errors(value)]
        for place, name, value in found
    }
    assert {place: messages for place, messages in wrong.items() if messages} == {}


def test_every_request_body_and_every_success_has_an_example_or_a_schema_with_one() -> None:
    shown = {place.partition("/content/")[0] for place, _, _ in examples()}
    bodies = [pointer("paths", *_split(route), "requestBody") for route, each in operations() if "requestBody" in each]
    assert [each for each in bodies if each not in shown] == []


def _split(route: str) -> tuple[str, str]:
    method, _, path = route.partition(" ")
    return path, method.lower()


def test_examples_of_parameters_are_valid() -> None:
    for each in document()["components"]["parameters"].values():
        if "example" in each:
            assert validator(pointer("components", "parameters", each["name"], "schema")).is_valid(each["example"])


def test_the_routes_that_the_code_knows_are_those_of_the_document() -> None:
    known = re.findall(r'"((?:GET|PUT|POST|DELETE) /[^"]*)": self\._', (LAYER / "web" / "manage.py").read_text())
    assert set(known) == {route for route, _ in operations()}
    assert manage.WAIT_SECONDS == 20


PROBLEM_404: Final = {
    "type": "about:blank", "title": "NotConnected", "status": 404, "detail": "None.", "code": "not_connected",
    "correlation_id": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "media", "body"),
    [
        (200, openapi.PROBLEM, PROBLEM_404),
        (404, "text/html", PROBLEM_404),
        (418, openapi.PROBLEM, PROBLEM_404),
        (404, openapi.PROBLEM, {**PROBLEM_404, "code": "unknown_session"}),
        (404, openapi.PROBLEM, {**PROBLEM_404, "status": 400}),
        (404, openapi.PROBLEM, {**PROBLEM_404, "more": 1}),
        (404, openapi.PROBLEM, {"code": "not_connected"}),
    ],
)
def test_an_answer_that_is_not_described_would_be_seen(status: int, media: str, body: Json) -> None:
    route = "GET /tenants/{tenant}/connections/{integration}/{name}"
    require_described(route, answer(404, openapi.PROBLEM, PROBLEM_404))
    with pytest.raises(openapi.Undescribed):
        require_described(route, answer(status, media, body))


def test_a_missing_header_would_be_seen() -> None:
    route = "POST /tenants/{tenant}/connections/{integration}/{name}/refresh"
    pending = answer(202, "application/json", {"generation": 1, "outcome": "pending"})
    with pytest.raises(openapi.Undescribed, match="no Retry-After"):
        require_described(route, pending)
    pending["headers"]["Retry-After"] = "5"
    require_described(route, pending)


def answer(status: int, media: str, body: Json) -> Json:
    return {"statusCode": status, "headers": {"Content-Type": media}, "body": json.dumps(body)}
