"""CloudFormation's intrinsic functions and conditions.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from dev.mistakes import Mistake

NO_VALUE: Final = object()
VARIABLE: Final = re.compile(r"\$\{(!?[^}]*)\}")


class Lookup(Protocol):
    """What resources answer to Ref and Fn::GetAtt."""

    def reference(self, logical_id: str) -> object: ...

    def attribute(self, logical_id: str, name: str) -> object: ...


class Resolver:
    """Resolves the values of one transformed template."""

    def __init__(
        self, template: Mapping[str, Any], parameters: Mapping[str, object], pseudo: Mapping[str, object]
    ) -> None:
        self._conditions: Mapping[str, Any] = template.get("Conditions") or {}
        self._mappings: Mapping[str, Any] = template.get("Mappings") or {}
        self._values: Mapping[str, object] = {**pseudo, **parameters, "AWS::NoValue": NO_VALUE}
        self.lookup: Lookup | None = None
        self._functions: Mapping[str, Callable[[Any], object]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::If": self._if,
            "Fn::Equals": lambda pair: self.resolve(pair[0]) == self.resolve(pair[1]),
            "Fn::Not": lambda terms: not self.resolve(terms[0]),
            "Fn::And": lambda terms: all(self.resolve(term) for term in terms),
            "Fn::Or": lambda terms: any(self.resolve(term) for term in terms),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda text: base64.b64encode(str(self.resolve(text)).encode()).decode(),
        }

    def resolve(self, value: object) -> Any:  # noqa: ANN401 - a template's values have any shape
        """Return `value` without intrinsics; entries that come to AWS::NoValue are left out."""
        if isinstance(value, dict):
            if len(value) == 1 and (name := next(iter(value))) and (name in self._functions or name.startswith("Fn::")):
                return self._call(name, value[name])
            resolved = {key: self.resolve(inner) for key, inner in value.items()}
            return {key: inner for key, inner in resolved.items() if inner is not NO_VALUE}
        if isinstance(value, list):
            return [inner for inner in map(self.resolve, value) if inner is not NO_VALUE]
        return value

    def condition(self, name: str) -> bool:
        if name not in self._conditions:
            raise Mistake(f"template: there is no condition {name}; declare it under Conditions")
        return bool(self.resolve(self._conditions[name]))

    def _call(self, name: str, argument: object) -> object:
        function = self._functions.get(name)
        if function is None:
            raise Mistake(f"template: the local stack does not know {name}; use another intrinsic, or add it")
        return function(argument)

    def _ref(self, name: str) -> object:
        if name in self._values:
            return self._values[name]
        if name.startswith("AWS::") or self.lookup is None:
            raise Mistake(f"template: the local stack cannot resolve !Ref {name} here")
        return self.lookup.reference(name)

    def _get_att(self, path: str | list[str]) -> object:
        logical_id, _, attribute = (path if isinstance(path, str) else ".".join(path)).partition(".")
        if self.lookup is None:
            raise Mistake(f"template: the local stack cannot resolve !GetAtt {logical_id}.{attribute} here")
        return self.lookup.attribute(logical_id, attribute)

    def _sub(self, argument: str | list[Any]) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def replace(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in given:
                return str(self.resolve(given[name]))
            return str(self._get_att(name) if "." in name else self._ref(name))

        return VARIABLE.sub(replace, text)

    def _join(self, argument: list[Any]) -> str:
        return str(argument[0]).join(str(part) for part in self.resolve(argument[1]))

    def _split(self, argument: list[Any]) -> list[str]:
        return str(self.resolve(argument[1])).split(str(argument[0]))

    def _select(self, argument: list[Any]) -> object:
        choices: list[object] = self.resolve(argument[1])
        return choices[int(self.resolve(argument[0]))]

    def _if(self, argument: list[Any]) -> object:
        return self.resolve(argument[1] if self.condition(argument[0]) else argument[2])

    def _find_in_map(self, argument: list[Any]) -> object:
        name, first, second = (str(self.resolve(part)) for part in argument[:3])
        try:
            return self.resolve(self._mappings[name][first][second])
        except KeyError as missing:
            raise Mistake(f"template: there is no {name}.{first}.{second} under Mappings") from missing
