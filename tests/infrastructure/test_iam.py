"""The evaluator that proves the roles: what IAM's documentation says, and that it says no to what it does not know."""

from typing import Any

import pytest

from dev.recording import Call
from tests.infrastructure.iam.asked import key, listing, queue, read, table
from tests.infrastructure.iam.conditions import holds
from tests.infrastructure.iam.judge import Judge, Principal, readings
from tests.infrastructure.iam.statements import Statement, Unsupported, matches
from tests.infrastructure.transformed import Template, transformed

ATTRIBUTES = {"dynamodb:Attributes": ["tenant", "gen"]}


@pytest.fixture(scope="module")
def template() -> Template:
    return transformed()


def anybody(template: Template, **statement: Any) -> tuple[Judge, Principal]:  # noqa: ANN401 - a policy's own shapes
    raw = {"Effect": "Allow", "Action": "*", "Resource": "*", **statement}
    return Judge(template), Principal([Statement.parse("somebody[0]", raw)])


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["tenant", "gen", "v"]}}, ATTRIBUTES, True),
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["tenant"]}}, ATTRIBUTES, False),
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["tenant"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"dynamodb:Attributes": "gen"}}, ATTRIBUTES, True),
        ({"ForAnyValue:StringEquals": {"dynamodb:Attributes": "gen"}}, {}, False),
        ({"ForAllValues:StringLike": {"dynamodb:Attributes": ["t*", "g?n"]}}, ATTRIBUTES, True),
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["t*", "g?n"]}}, ATTRIBUTES, False),
        ({"Null": {"dynamodb:Attributes": "false"}}, {}, False),
        ({"Null": {"dynamodb:Attributes": "true"}}, {}, True),
        ({"StringEquals": {"dynamodb:Select": "COUNT"}}, {}, False),
        ({"StringEqualsIfExists": {"dynamodb:Select": "COUNT"}}, {}, True),
        ({"StringEqualsIfExists": {"dynamodb:Select": "COUNT"}}, {"dynamodb:Select": ["ALL_ATTRIBUTES"]}, False),
        (
            {"StringEquals": {"kms:EncryptionContext:field": ["flow", "grant"]}},
            {"kms:EncryptionContext:field": ["grant"]},
            True,
        ),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": ["true"]}, False),
        (
            {"StringEquals": {"dynamodb:Select": "COUNT"}, "Null": {"dynamodb:Attributes": "false"}},
            {"dynamodb:Select": ["COUNT"]},
            False,
        ),
    ],
)
def test_conditions_hold_as_the_documentation_says(
    condition: dict[str, Any], context: dict[str, list[str]], expected: bool
) -> None:
    assert holds(condition, context, {}) is expected


@pytest.mark.parametrize(
    "condition",
    [
        {"StringNotEquals": {"dynamodb:Select": "COUNT"}},
        {"ArnLike": {"aws:PrincipalArn": "*"}},
        {"StringEquals": {"aws:SourceIp": "10.0.0.1"}},
        {"StringEquals": {"dynamodb:Attributes": "tenant"}},
        {"ForAllValues:StringEquals": {"kms:EncryptionContext:field": "grant"}},
        {"ForSomeValues:StringEquals": {"dynamodb:Attributes": "tenant"}},
        # found although another condition has failed already
        {"StringEquals": {"dynamodb:Select": "COUNT", "aws:SourceIp": "10.0.0.1"}},
    ],
)
def test_a_condition_that_is_not_known_is_an_error(condition: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        holds(condition, {}, {})


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "NotAction": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "kms:*", "NotResource": "*"},
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": {"Service": "sns.amazonaws.com"}},
        {"Effect": "Perhaps", "Action": "kms:*", "Resource": "*"},
    ],
)
def test_a_statement_that_is_not_known_is_an_error(statement: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        Statement.parse("somebody[0]", statement)


@pytest.mark.parametrize(
    ("pattern", "value", "tags", "expected"),
    [
        ("tenants/*/sessions", "tenants/a/b/sessions", {}, True),  # a wildcard takes slashes, too
        ("tenants/?/sessions", "tenants/ab/sessions", {}, False),
        ("tenants/${aws:PrincipalTag/t}/sessions", "tenants/acme/sessions", {"t": "acme"}, True),
        ("tenants/${aws:PrincipalTag/t}/sessions", "tenants/acme/sessions", {"t": "*"}, False),
        ("tenants/${aws:PrincipalTag/t}/sessions", "tenants//sessions", {}, False),
        ("${aws:PrincipalTag/t}", "${aws:PrincipalTag/t}", {}, False),
        ("a${*}b", "a*b", {}, True),
        ("a${*}b", "axb", {}, False),
    ],
)
def test_patterns_match_as_the_documentation_says(
    pattern: str, value: str, tags: dict[str, str], expected: bool
) -> None:
    assert matches(pattern, value, tags) is expected


def test_a_variable_that_is_not_known_is_an_error() -> None:
    with pytest.raises(Unsupported):
        matches("${aws:username}", "me", {})


def test_actions_are_matched_without_regard_to_case(template: Template) -> None:
    judge, somebody = anybody(template, Action="DYNAMODB:getitem")
    assert judge.allows(somebody, read("acme"))
    assert judge.denies(somebody, listing("acme"))


def test_whoever_may_do_everything_still_needs_the_keys_own_policy(template: Template) -> None:
    judge, administrator = anybody(template)
    assert judge.allows(administrator, key("Decrypt", "AccessKey", "access_token"))
    assert judge.denies(administrator, key("Decrypt", "AccessKey", "grant"))
    assert judge.denies(administrator, key("Encrypt", "GrantKey", "grant"))


def test_a_denial_outweighs_every_permission(template: Template) -> None:
    judge, administrator = anybody(template)
    assert judge.allows(administrator, queue("SendMessage", "EscrowQueue"))
    refusing = Statement.parse("somebody[1]", {"Effect": "Deny", "Action": "sqs:*", "Resource": "*"})
    assert judge.denies(Principal([*administrator.statements, refusing]), queue("SendMessage", "EscrowQueue"))


def test_a_read_without_names_is_one_of_everything() -> None:
    selects = [each.get("dynamodb:Select") for each in readings(table("dynamodb:GetItem", "ConnectionsTable", "acme"))]
    assert selects == [["ALL_ATTRIBUTES"], None]
    of_index = table("dynamodb:Query", "ConnectionsTable", "acme", index="due")
    assert ["ALL_PROJECTED_ATTRIBUTES"] in [each.get("dynamodb:Select") for each in readings(of_index)]


def test_a_refused_write_that_shows_the_item_counts_as_returning_it() -> None:
    written = table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["gen"])
    showing = Call(
        **{name: getattr(written, name) for name in ("number", "caller", "operation", "resource", "context")},
        returns_on_refusal=True,
    )
    assert ["ALL_OLD"] in [each.get("dynamodb:ReturnValues") for each in readings(showing)]
    assert ["ALL_OLD"] not in [each.get("dynamodb:ReturnValues") for each in readings(written)]
