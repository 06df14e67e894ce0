"""What can be changed about the servers while they run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self


class BadInput(Exception):
    """The sentence says what to send instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times in seconds; `iss` is None (only the generic system sends it), "omit", "send" or a literal to send.

    `opener_policy` is what the consent page sends as Cross-Origin-Opener-Policy; None for nothing.
    """

    access_ttl: float = 1800
    code_ttl: float = 60
    refresh_ttl: float | None = None
    rotation: str = "rotates"
    grace: float = 0
    iss: str | None = None
    auto_consent: str | None = None
    account: str | None = None
    scopes_granted: tuple[str, ...] | None = None
    opener_policy: str | None = None

    def changed(self, wishes: Mapping[str, object]) -> Self:
        """Return a copy with `wishes` applied; raise `BadInput` for a name or value that does not exist."""
        unknown = sorted(set(wishes) - set(CHECKS))
        if unknown:
            raise BadInput(f"unknown option '{unknown[0]}'; there are {', '.join(CHECKS)}")
        checked: dict[str, Any] = {name: CHECKS[name](name, value) for name, value in wishes.items()}
        return replace(self, **checked)


def seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**9:
        raise BadInput(f"'{name}' must be a number of seconds, 0 or more")
    return value


def text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput(f"'{name}' must be a string that is not empty")
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise BadInput(f"'{name}' must be a list of strings")
    return tuple(value)


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"'{name}' must be true or false")
    return value


def one_of(*choices: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise BadInput(f"'{name}' must be one of {', '.join(choices)}")
        return value

    return check


def nullable(check: Callable[[str, object], object]) -> Callable[[str, object], object]:
    return lambda name, value: None if value is None else check(name, value)


CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "access_ttl": seconds,
    "code_ttl": seconds,
    "refresh_ttl": nullable(seconds),
    "rotation": one_of("none", "rotates"),
    "grace": seconds,
    "iss": nullable(text),
    "auto_consent": nullable(one_of("allow", "deny")),
    "account": nullable(text),
    "scopes_granted": nullable(texts),
    "opener_policy": nullable(one_of("same-origin", "same-origin-allow-popups", "noopener-allow-popups")),
}
