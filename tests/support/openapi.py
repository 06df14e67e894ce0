"""The document of the management API (`docs/openapi.yaml`), and whether an answer is one that it describes."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "openapi.yaml"
PROBLEM: Final = "application/problem+json"
METHODS: Final = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})
UNMET: Final = "invalid_body"  # the answer to an event that no gateway sends: a body that it did not encode
_HERE: Final = "urn:openapi"

type Json = dict[str, Any]


class Undescribed(AssertionError):
    """An answer that the document does not describe."""


@cache
def document() -> Json:
    """The document as it is written, for all to read and nobody to change."""
    loaded: Json = yaml.load(DOCUMENT.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return loaded


def operations() -> Iterator[tuple[str, Json]]:
    """Yield each operation after its route, as the template writes it: `GET /integrations`."""
    for path, item in document()["paths"].items():
        yield from ((f"{name.upper()} {path}", content) for name, content in item.items() if name in METHODS)


def operation(route: str) -> Json | None:
    return dict(operations()).get(route)


def resolved(part: Json) -> Json:
    """Follow a reference, and what it may lead to."""
    while "$ref" in part:
        found: Any = document()
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def codes_of(answer: Json) -> frozenset[str]:
    """Return the codes that a described answer may carry; none for one that is no problem."""
    content = resolved(answer).get("content", {}).get(PROBLEM)
    return frozenset(content["schema"]["properties"]["code"]["enum"]) if content else frozenset()


def closed(described: Json) -> Json:
    """Return a copy in which objects have no other fields than those that are described."""
    copy = deepcopy(described)
    for schema in copy["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return copy


@cache
def formats() -> FormatChecker:
    """Those of the document itself."""
    known = FormatChecker(formats=())
    known.checks("printable")(lambda text: not isinstance(text, str) or text.isprintable())
    known.checks("printable-lines")(lambda text: not isinstance(text, str) or text.replace("\n", "").isprintable())
    return known


def validator(pointer: str) -> Draft202012Validator:
    """Return the validator of a schema in the closed document, by its JSON pointer."""
    return Draft202012Validator({"$ref": f"{_HERE}#{pointer}"}, registry=_registry(), format_checker=formats())


@cache
def _registry() -> Registry[Any]:
    found: Registry[Any] = Registry().with_resource(_HERE, DRAFT202012.create_resource(closed(document())))
    return found


@cache
def _answers(route: str) -> Mapping[str, Mapping[str, Draft202012Validator]]:
    """Return the validators of an operation's answers by status and media type."""
    method, _, path = route.partition(" ")
    return {
        status: {
            media: validator(_schema_at(answer, path, method.lower(), status, media))
            for media in resolved(answer).get("content", {})
        }
        for status, answer in (operation(route) or {})["responses"].items()
    }


def _schema_at(answer: Json, path: str, method: str, status: str, media: str) -> str:
    start = answer.get("$ref", "#" + pointer("paths", path, method, "responses", status)).removeprefix("#")
    return f"{start}{pointer('content', media, 'schema')}"


def pointer(*names: str) -> str:
    """Return a JSON pointer (RFC 6901) as a URI's fragment takes it."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def require_described(route: str, response: Mapping[str, Any]) -> None:
    """Raise `Undescribed` unless the operation is described with this status, media type, headers and body.

    `response` is what a function hands to the gateway. A route that is not in the document is not looked at.
    """
    described, body = operation(route), json.loads(response["body"])
    if described is None or body.get("code") == UNMET:
        return
    status, headers = str(response["statusCode"]), {name.lower(): value for name, value in response["headers"].items()}
    media = headers.get("content-type", "")
    known = _answers(route).get(status, {}).get(media)
    if known is None:
        message = f"{route}: {status} with {media} is not in the document"
        raise Undescribed(message)
    wrong = [f"{error.json_path}: {error.validator}" for error in known.iter_errors(body)]
    wanted = resolved(described["responses"][status]).get("headers", {})
    wrong += [f"no {name}" for name, header in wanted.items() if _is_missing(name, resolved(header), headers)]
    if wrong:
        message = f"{route}: {status} is not as the document says: {', '.join(wrong)}"
        raise Undescribed(message)


def _is_missing(name: str, header: Json, headers: Mapping[str, str]) -> bool:
    return bool(header.get("required")) and name.lower() not in headers
