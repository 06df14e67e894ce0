"""Finds the route of an HTTP API for a request, as API Gateway does.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

DEFAULT: Final = "$default"


@dataclass(frozen=True)
class Route:
    """A route key (`GET /things/{id}`), the function behind it, and whether callers have to sign."""

    key: str
    function_arn: str
    signed: bool
    timeout_seconds: float = 30.0

    @property
    def method(self) -> str:
        return self.key.partition(" ")[0]

    @cached_property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.key.partition(" ")[2].strip("/").split("/"))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join("/" + _segment_pattern(segment) for segment in self.segments))

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """Return the path parameters, or None if the route does not fit. `path` is decoded."""
        if self.key == DEFAULT:
            return {}
        found = self._pattern.fullmatch(path)
        return found.groupdict() if found and self.method in ("ANY", method) else None

    @property
    def precedence(self) -> tuple[object, ...]:
        """Literal segments before variables before greedy ones, a named method before ANY, $default last."""
        return (self.key == DEFAULT, [_rank(segment) for segment in self.segments], self.method == "ANY")


def find_route(routes: Sequence[Route], method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    for route in sorted(routes, key=lambda route: route.precedence):
        parameters = route.match(method, path)
        if parameters is not None:
            return route, parameters
    return None


def _segment_pattern(segment: str) -> str:
    variable = re.fullmatch(r"\{([A-Za-z0-9_]+)(\+?)\}", segment)
    if not variable:
        return re.escape(segment)
    return f"(?P<{variable[1]}>{'.+' if variable[2] else '[^/]+'})"


def _rank(segment: str) -> int:
    if not segment.startswith("{"):
        return 0
    return 2 if segment.endswith("+}") else 1
