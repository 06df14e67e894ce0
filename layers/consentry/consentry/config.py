"""What the deployment tells its functions: the environment variables of `docs/architecture.md`, read at first use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from consentry.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment as this process found it. A missing variable is an error that names it."""

    variables: Mapping[str, str]

    def text(self, name: str) -> str:
        if value := self.variables.get(name, ""):
            return value
        raise Misconfigured(
            "Consentry is not configured completely. The operator's log names what is missing.",
            detail=f"environment variable {name} is not set: deploy the current template",
        )

    def number(self, name: str, default: int) -> int:
        value = self.variables.get(name, "") or str(default)
        if value.isdecimal():
            return int(value)
        raise Misconfigured(
            "Consentry is not configured correctly. The operator's log names what is wrong.",
            detail=f"environment variable {name} must be a whole number",
        )

    def listing(self, name: str) -> frozenset[str]:
        return frozenset(part.strip() for part in self.variables.get(name, "").split(",") if part.strip())

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        return cls(dict(variables))
