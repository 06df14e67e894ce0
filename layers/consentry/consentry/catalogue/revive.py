"""A provider from plain JSON values: checked when it was compiled, so that nothing is checked at a cold start."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin

from consentry.oauth.provider import Provider


def revived(table: object) -> Provider:
    """Return what `dataclasses.asdict` took apart. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    return cast("Provider", _dataclass(Provider, table))


def _dataclass(kind: type[Any], table: object) -> object:
    values = cast("Mapping[str, object]", table)
    if set(values) - kind.__dataclass_fields__.keys():  # a later version's: what it asks for would be left out here
        raise ValueError
    return kind(**{field.name: _value(field.type, values[field.name]) for field in fields(kind)})


def _value(annotation: object, value: object) -> object:
    if isinstance(annotation, UnionType):
        if value is None:
            return None
        annotation = next(kind for kind in get_args(annotation) if kind is not NoneType)
    if get_origin(annotation) is tuple:
        return tuple(_value(get_args(annotation)[0], each) for each in cast("list[object]", value))
    if get_origin(annotation) is Mapping:
        table = cast("Mapping[str, object]", value)
        return {name: _value(get_args(annotation)[1], each) for name, each in table.items()}
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return annotation(cast("str", value))
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _dataclass(annotation, value)
    return value
