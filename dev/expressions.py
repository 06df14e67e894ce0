"""What DynamoDB's expressions name: just enough of their grammar to tell attributes from everything else.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import re
from collections.abc import Mapping
from typing import Any, Final

# A name or placeholder at the start of a path: what follows a dot is inside an attribute, what follows a colon a value.
NAME: Final = re.compile(r"(?<![\w.:#])(#\w++|[A-Za-z_]\w*+)(?!\s*\()")
WORDS: Final = frozenset({"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN", "BETWEEN"})


def attribute_names(expression: str, names: Mapping[str, str]) -> set[str]:
    """Return the top-level attributes that an expression names; `names` are its ExpressionAttributeNames."""
    found = NAME.findall(expression)
    return {names.get(each, each) for each in found if each.upper() not in WORDS}


def partition_value(query: Mapping[str, Any], partition_key: str) -> Mapping[str, str] | None:
    """Return the value, as DynamoDB shapes it, that a Query's key condition wants the partition key to have."""
    names = query.get("ExpressionAttributeNames") or {}
    for name, placeholder in re.findall(r"(#?\w+)\s*=\s*(:\w+)", query["KeyConditionExpression"]):
        if names.get(name, name) == partition_key:
            value: Mapping[str, str] = query["ExpressionAttributeValues"][placeholder]
            return value
    return None
