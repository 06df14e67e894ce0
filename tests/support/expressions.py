"""DynamoDB's condition and update expressions, parsed once for each text and evaluated on low-level items.

What Consentry's adapters send, and nothing else: comparisons, IN, BETWEEN, NOT, AND, OR, parentheses, the functions
`attribute_exists`, `attribute_not_exists`, `contains` (of a set of strings) and `if_not_exists`; SET with + and -,
REMOVE, ADD of numbers and of sets of strings.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from operator import ge, gt, le, lt
from typing import Any, Final

type Value = dict[str, Any]
type Item = dict[str, Value]
type Names = Mapping[str, str]
type Operand = Callable[[Item, Names, Item], Value | None]
type Condition = Callable[[Item, Names, Item], bool]
type Change = Callable[[Item, Item, Names, Item], None]
type Order = Callable[[Any, Any], bool]

_TOKEN: Final = re.compile(r"\s*(#\w+|:\w+|<>|<=|>=|[()=<>,+-]|\w+)")
_ORDERS: Final[Mapping[str, Order]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_CLAUSES: Final = {"SET", "REMOVE", "ADD"}


class NotAnExpression(ValueError):
    """The text is nothing that DynamoDB, or this small part of it, understands."""


@dataclass(frozen=True, slots=True)
class Compiled[T]:
    """What the expression does, and the placeholders that it uses."""

    act: T
    placeholders: frozenset[str]


def number(value: Mapping[str, Any]) -> int | Decimal:
    text = value["N"]
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


class _Tokens:
    def __init__(self, text: str) -> None:
        found, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise NotAnExpression(text)
            found.append(match[1])
            at = match.end()
        self.text = text
        self.left = found
        self.placeholders = frozenset(each for each in found if each[0] in "#:")

    def peek(self) -> str:
        return self.left[0] if self.left else ""

    def take(self, *expected: str) -> str:
        if not self.left or (expected and self.left[0] not in expected):
            raise NotAnExpression(f"{self.text!r} at {self.peek()!r}")
        return self.left.pop(0)

    def took(self, word: str) -> bool:
        if self.peek() == word:
            self.left.pop(0)
            return True
        return False

    def plain_equation(self) -> tuple[str, str] | None:
        """Take `#name = :value`, by far the most frequent part of all, if that is what comes next."""
        match self.left:
            case [name, "=", value, *rest] if name[0] == "#" and value[0] == ":" and rest[:1] not in (["+"], ["-"]):
                del self.left[:3]
                return name, value
        return None

    def separated(self) -> Iterator[None]:
        """Once for each part of a list with commas."""
        yield
        while self.took(","):
            yield


@cache
def condition(text: str) -> Compiled[Condition]:
    tokens = _Tokens(text)
    parsed = _either(tokens)
    if tokens.left:
        raise NotAnExpression(f"{text!r} at {tokens.peek()!r}")
    return Compiled(parsed, tokens.placeholders)


def _either(tokens: _Tokens) -> Condition:
    parts = [_both(tokens)]
    while tokens.took("OR"):
        parts.append(_both(tokens))
    return _joined(parts, decisive=True)


def _both(tokens: _Tokens) -> Condition:
    parts = [_negated(tokens)]
    while tokens.took("AND"):
        parts.append(_negated(tokens))
    return _joined(parts, decisive=False)


def _joined(parts: Sequence[Condition], *, decisive: bool) -> Condition:
    """OR is decided by the first part that holds, AND by the first that does not."""
    if len(parts) == 1:
        return parts[0]

    def joined(item: Item, names: Names, values: Item) -> bool:
        for part in parts:  # a loop costs half of `any` or `all` with a generator
            if part(item, names, values) is decisive:
                return decisive
        return not decisive

    return joined


def _negated(tokens: _Tokens) -> Condition:
    if tokens.took("NOT"):
        inner = _negated(tokens)
        return lambda item, names, values: not inner(item, names, values)
    return _primary(tokens)


def _primary(tokens: _Tokens) -> Condition:
    if tokens.took("("):
        inner = _either(tokens)
        tokens.take(")")
        return inner
    if tokens.peek() in {"attribute_exists", "attribute_not_exists"}:
        wanted = tokens.take() == "attribute_exists"
        tokens.take("(")
        operand = _operand(tokens)
        tokens.take(")")
        return lambda item, names, values: (operand(item, names, values) is not None) is wanted
    return _containing(tokens) if tokens.took("contains") else _comparison(tokens)


def _containing(tokens: _Tokens) -> Condition:
    tokens.take("(")
    among = _operand(tokens)
    tokens.take(",")
    wanted = _operand(tokens)
    tokens.take(")")

    def contains(item: Item, names: Names, values: Item) -> bool:
        held, one = among(item, names, values) or {}, wanted(item, names, values) or {}
        return one.get("S") in held.get("SS", ())

    return contains


def _comparison(tokens: _Tokens) -> Condition:
    if plain := tokens.plain_equation():
        attribute, wanted = plain
        return lambda item, names, values: _equal(item.get(names[attribute]), values[wanted])
    left = _operand(tokens)
    word = tokens.take("=", "<>", *_ORDERS, "IN", "BETWEEN")
    if word == "IN":
        tokens.take("(")
        among = [_operand(tokens) for _ in tokens.separated()]
        tokens.take(")")
        return lambda item, names, values: any(
            _equal(left(item, names, values), one(item, names, values)) for one in among
        )
    right = _operand(tokens)
    if word == "BETWEEN":
        tokens.take("AND")
        last = _operand(tokens)
        return lambda item, names, values: (
            _ordered(ge, left(item, names, values), right(item, names, values))
            and _ordered(le, left(item, names, values), last(item, names, values))
        )
    if word == "=":
        return lambda item, names, values: _equal(left(item, names, values), right(item, names, values))
    if word == "<>":
        return lambda item, names, values: not _equal(left(item, names, values), right(item, names, values))
    order = _ORDERS[word]
    return lambda item, names, values: _ordered(order, left(item, names, values), right(item, names, values))


def _equal(left: Value | None, right: Value | None) -> bool:
    """Values of different types, or a missing one, are unequal."""
    if left is None or right is None:
        return False
    return left == right or ("N" in left and "N" in right and number(left) == number(right))


def _ordered(order: Order, left: Value | None, right: Value | None) -> bool:
    """Values of different types, or a missing one, are in no order."""
    if left is None or right is None or left.keys() != right.keys():
        return False
    if "N" in left:
        return order(number(left), number(right))
    (ours,), (theirs,) = left.values(), right.values()
    return order(ours, theirs)


def _operand(tokens: _Tokens) -> Operand:
    token = tokens.take()
    if token.startswith(":"):
        return lambda _item, _names, values: values[token]
    if token.startswith("#"):
        return lambda item, names, _values: item.get(names[token])
    if token == "if_not_exists":
        tokens.take("(")
        path = _operand(tokens)
        tokens.take(",")
        otherwise = _operand(tokens)
        tokens.take(")")
        return lambda item, names, values: path(item, names, values) or otherwise(item, names, values)
    if not token[0].isalpha():
        raise NotAnExpression(f"{tokens.text!r} at {token!r}")
    return lambda item, _names, _values: item.get(token)


@dataclass(frozen=True, slots=True)
class Update:
    """Placeholders of attributes to set and of their values, of attributes to remove, and everything less simple."""

    plain: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]
    changes: tuple[Change, ...]

    def __call__(self, old: Item, new: Item, names: Names, values: Item) -> None:
        """Turn `new`, a copy of the item as it was, into the item to be."""
        for name, value in self.plain:
            new[names[name]] = values[value]
        for change in self.changes:
            change(old, new, names, values)
        for name in self.removed:
            new.pop(names[name], None)


@cache
def update(text: str) -> Compiled[Update]:
    tokens = _Tokens(text)
    parts: list[tuple[str, str] | str | Change] = []
    while tokens.left:
        clause = tokens.take(*_CLAUSES)
        part = {"SET": _set, "REMOVE": _remove, "ADD": _add}[clause]
        parts += [part(tokens) for _ in tokens.separated()]
    plain = tuple(part for part in parts if isinstance(part, tuple))
    removed = tuple(part for part in parts if isinstance(part, str))
    changes = tuple(part for part in parts if callable(part))
    return Compiled(Update(plain, removed, changes), tokens.placeholders)


def _path(tokens: _Tokens) -> Callable[[Names], str]:
    token = tokens.take()
    if token.startswith("#"):
        return lambda names: names[token]
    return lambda _names: token


def _set(tokens: _Tokens) -> tuple[str, str] | Change:
    if plain := tokens.plain_equation():
        return plain
    path = _path(tokens)
    tokens.take("=")
    first = _operand(tokens)
    if tokens.peek() in {"+", "-"}:
        first = _sum(first, tokens.take(), _operand(tokens))

    def change(old: Item, new: Item, names: Names, values: Item) -> None:
        value = first(old, names, values)
        if value is None:
            raise NotAnExpression(f"{tokens.text!r} refers to an attribute that is not there")
        new[path(names)] = value

    return change


def _sum(left: Operand, sign: str, right: Operand) -> Operand:
    def total(item: Item, names: Names, values: Item) -> Value:
        ours, theirs = left(item, names, values), right(item, names, values)
        if ours is None or theirs is None:
            raise NotAnExpression("a sum needs two numbers")
        return {"N": str(number(ours) + (number(theirs) if sign == "+" else -number(theirs)))}

    return total


def _remove(tokens: _Tokens) -> str | Change:
    if tokens.peek().startswith("#"):
        return tokens.take()
    path = _path(tokens)

    def change(_old: Item, new: Item, names: Names, _values: Item) -> None:
        new.pop(path(names), None)

    return change


def _add(tokens: _Tokens) -> Change:
    path, amount = _path(tokens), _operand(tokens)

    def change(old: Item, new: Item, names: Names, values: Item) -> None:
        added, standing = amount(old, names, values) or {"N": "0"}, old.get(path(names))
        if "SS" in added:
            new[path(names)] = {"SS": sorted({*added["SS"], *(standing or {}).get("SS", ())})}
            return
        new[path(names)] = {"N": str(number(standing or {"N": "0"}) + number(added))}

    return change
