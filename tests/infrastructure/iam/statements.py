"""Policy statements as IAM reads them; what this evaluator does not know is an error, never a silent yes.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.infrastructure.transformed import listed

KNOWN: Final = frozenset({"Sid", "Effect", "Action", "Resource", "Condition", "Principal"})
VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
TAG: Final = "aws:PrincipalTag/"

type Tags = Mapping[str, str]
type Grant = tuple[str, str, str]
"""The statement that it stands in, one action and one resource, as written."""


class Unsupported(Exception):
    """A policy says something that this evaluator cannot judge."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `where` is the role or policy it stands in, and its place there."""

    where: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, Any]]

    @classmethod
    def parse(cls, where: str, raw: Mapping[str, Any]) -> "Statement":
        """Raise `Unsupported` for NotAction, NotResource, NotPrincipal, principals other than the account and all."""
        if unknown := raw.keys() - KNOWN:
            raise Unsupported(f"{where}: {', '.join(sorted(unknown))}")
        principal = raw.get("Principal", "*")
        if principal != "*" and not str(principal.get("AWS", "")).endswith(":root"):
            raise Unsupported(f"{where}: principal {principal}")
        if raw["Effect"] not in {"Allow", "Deny"}:
            raise Unsupported(f"{where}: effect {raw['Effect']}")
        actions, resources = tuple(listed(raw["Action"])), tuple(listed(raw["Resource"]))
        return cls(where, raw["Effect"], actions, resources, raw.get("Condition", {}))

    def covers(self, action: str, resource: str, tags: Tags) -> bool:
        """Whether action (without regard to case) and resource match; conditions are looked at elsewhere."""
        named = any(matches(each.lower(), action.lower(), {}) for each in self.actions)
        return named and any(matches(each, resource, tags) for each in self.resources)

    def grants(self) -> Iterator[tuple[Grant, "Statement"]]:
        """Yield each action on each resource as a statement of its own."""
        for action in self.actions:
            for resource in self.resources:
                alone = replace(self, actions=(action,), resources=(resource,))
                yield (self.where, action, resource), alone


def matches(pattern: str, value: str, tags: Tags, *, wildcards: bool = True) -> bool:
    """Whether a value is what a policy says: variables filled in, a variable without a value matches nothing.

    `*` and `?` are wildcards where the policy writes them, not where a tag brings them along.
    """
    parts = VARIABLE.split(pattern)  # text, variable, text, variable, ...
    expression = ""
    for number, part in enumerate(parts):
        if number % 2:
            if (filled := _value_of(part, tags)) is None:
                return False
            expression += re.escape(filled)
        elif wildcards:
            expression += re.escape(part).replace(r"\*", ".*").replace(r"\?", ".")
        else:
            expression += re.escape(part)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _value_of(variable: str, tags: Tags) -> str | None:
    if variable in {"*", "?", "$"}:
        return variable
    if not variable.startswith(TAG):
        raise Unsupported(f"variable {variable}")
    return tags.get(variable.removeprefix(TAG))
