"""Turns a TOML table into a dataclass by its annotations, and says everything that does not fit, field by field."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, get_args, get_origin

NEVER: Final = "never"  # TOML has no null; this is how a lifetime says that there is none

# Asked for by some authorization servers, not done here. Words as in the registries of RFC 7591 and RFC 9126.
UNSUPPORTED: Final = {
    "private_key_jwt": "client authentication by private_key_jwt",
    "client_secret_jwt": "client authentication by client_secret_jwt",
    "tls_client_auth": "client authentication by a TLS certificate",
    "self_signed_tls_client_auth": "client authentication by a TLS certificate",
    "pushed_authorization_request_endpoint": "pushed authorization requests (PAR)",
    "require_pushed_authorization_requests": "pushed authorization requests (PAR)",
    "pushed_authorization_request_url": "pushed authorization requests (PAR)",
    "par": "pushed authorization requests (PAR)",
    "request_uri": "pushed authorization requests (PAR)",
    "dpop": "DPoP-bound tokens",
    "dpop_jkt": "DPoP-bound tokens",
    "dpop_bound_access_tokens": "DPoP-bound tokens",
}

_FIT: Final = {str: "a string in quotes", bool: "true or false", int: "a whole number, without quotes"}


class Misfit(Exception):
    """A value that does not fit its field. The text completes the sentence that begins with the field's name."""


class Reader:
    """Reads tables and collects problems; each is one sentence that begins with the field's dotted name."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def table[T](self, kind: type[T], table: Mapping[str, object], path: str = "") -> T | None:
        """Return an instance of the dataclass `kind`, or `None` if the table does not fit (see `problems`)."""
        before = len(self.problems)
        known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # `kind` is a dataclass by contract
        for key in sorted(table.keys() - known.keys()):
            self.problems.append(_unknown(_join(path, key), key, list(known)))
        values = {}
        for name, field in known.items():
            where = _join(path, name)
            if name not in table:
                if _required(field):
                    self.problems.append(f"{where} is missing: add it")
                continue
            values[name] = self._fitting(field.type, table[name], where)
        return kind(**values) if len(self.problems) == before else None

    def _fitting(self, annotation: object, value: object, where: str) -> object:
        try:
            return self._value(annotation, value, where)
        except Misfit as misfit:
            self.problems.append(f"{where} {misfit}")
            return None

    def _value(self, annotation: object, value: object, where: str) -> object:
        if isinstance(annotation, types.UnionType):
            if value == NEVER and int in get_args(annotation):
                return None
            annotation = next(kind for kind in get_args(annotation) if kind is not types.NoneType)
        if get_origin(annotation) is tuple:
            return self._list(get_args(annotation)[0], value, where)
        if get_origin(annotation) is Mapping:
            return self._mapping(get_args(annotation)[1], value, where)
        if isinstance(annotation, type) and issubclass(annotation, StrEnum):
            return _choice(annotation, value)
        if isinstance(annotation, type) and is_dataclass(annotation):
            return self.table(annotation, _table(value), where)
        return _scalar(annotation, value)

    def _mapping(self, kind: object, value: object, where: str) -> Mapping[str, object]:
        if kind is str:
            return _strings(value)
        return {name: self._fitting(kind, each, _join(where, name)) for name, each in _table(value).items()}

    def _list(self, kind: object, value: object, where: str) -> tuple[object, ...]:
        if not isinstance(value, list):
            message = "must be a list" if kind is str else f"must be written as [[{where}]], once for each"
            raise Misfit(message)
        return tuple(self._fitting(kind, item, f"{where}[{index}]") for index, item in enumerate(value))


def _required(field: "Field[object]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown(where: str, key: str, known: list[str]) -> str:
    if key.lower() in UNSUPPORTED:
        return f"{where} needs {UNSUPPORTED[key.lower()]}, which Consentry does not do: this provider cannot be added"
    close = get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"remove it, or use one of {', '.join(known)}"
    return f"{where} is not a known field: {remedy}"


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        message = "must be a table"
        raise Misfit(message)
    return value


def _strings(value: object) -> Mapping[str, str]:
    table = _table(value)
    wrong = [key for key, item in table.items() if not isinstance(item, str)]
    if wrong:
        message = f"must map names to strings: put the value of {', '.join(wrong)} in quotes"
        raise Misfit(message)
    return {key: str(item) for key, item in table.items()}


def _choice(annotation: type[StrEnum], value: object) -> StrEnum:
    members = {str(member): member for member in annotation}
    if isinstance(value, str) and value in members:
        return members[value]
    if isinstance(value, str) and value in UNSUPPORTED:
        message = f"needs {UNSUPPORTED[value]}, which Consentry does not do: this provider cannot be added"
        raise Misfit(message)
    message = f"must be one of {', '.join(members)}"
    raise Misfit(message)


def _scalar(annotation: object, value: object) -> object:
    for kind, fit in _FIT.items():
        if annotation is kind:
            if type(value) is kind:  # exactly: a bool is no number here
                return value
            message = f"must be {fit}"
            raise Misfit(message)
    message = f"has no reader for {annotation}"
    raise TypeError(message)
