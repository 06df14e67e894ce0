"""Conditions as IAM evaluates them: every operator and key known here was looked up, any other one is an error.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.infrastructure.iam.statements import TAG, Tags, Unsupported, matches
from tests.infrastructure.transformed import listed

type Context = Mapping[str, Sequence[str]]

# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html and ..._awskms.html
# ..._amazoneventbridge.html says that events:source has many values: a PutEvents has many entries.
MANY: Final = frozenset({
    "dynamodb:Attributes", "dynamodb:LeadingKeys", "kms:EncryptionContextKeys", "events:source",
})  # fmt: skip
ONE: Final = frozenset({"dynamodb:Select", "dynamodb:ReturnValues", "aws:SecureTransport"})
PREFIXES: Final = ("kms:EncryptionContext:", TAG)
OPERATORS: Final = frozenset({"StringEquals", "StringLike", "Bool", "Null"})


def holds(condition: Mapping[str, Mapping[str, Any]], context: Context, tags: Tags) -> bool:
    """Whether every operator holds for every key that it names."""
    told = {**context, **{TAG + name: [value] for name, value in tags.items()}}
    judged = [
        _holds(operator, key, [str(each) for each in listed(wanted)], told, tags)
        for operator, keys in condition.items()
        for key, wanted in keys.items()
    ]
    return all(judged)  # all of them first: what is unknown must be heard of


def _holds(operator: str, key: str, wanted: list[str], context: Context, tags: Tags) -> bool:
    quantifier, _, rest = operator.rpartition(":")
    name = rest.removesuffix("IfExists")
    _check(quantifier, name, key)
    if name == "Null":
        return all(_is_missing(context.get(key)) is (each.lower() == "true") for each in wanted)
    values = context.get(key)
    if not values:  # ForAllValues is true of none, ForAnyValue and the plain operators are not
        return quantifier == "ForAllValues" or rest.endswith("IfExists")
    judged = [any(_equals(name, each, value, tags) for each in wanted) for value in values]
    return any(judged) if quantifier == "ForAnyValue" else all(judged)


def _check(quantifier: str, name: str, key: str) -> None:
    if name not in OPERATORS or quantifier not in {"", "ForAllValues", "ForAnyValue"}:
        raise Unsupported(f"operator {quantifier}:{name}")
    if key not in MANY | ONE and not key.startswith(PREFIXES):
        raise Unsupported(f"condition key {key}")
    if name != "Null" and (key in MANY) is not bool(quantifier):
        raise Unsupported(f"{name} on {key}: set operators are for keys with many values, and only for those")


def _is_missing(values: Sequence[str] | None) -> bool:
    return not values


def _equals(operator: str, wanted: str, value: str, tags: Tags) -> bool:
    if operator == "Bool":
        return wanted.lower() == value.lower()
    return matches(wanted, value, tags, wildcards=operator == "StringLike")
