"""Inputs by the thousand against one endpoint's handler: each is answered, and nothing of it comes back."""

import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from consentry.model import ConnectionKey
from consentry.web.response import Response
from tests.attacks.handlers import MAC_KEY, World, overheard, world
from tests.attacks.inputs import ENDPOINTS, ENTERED, FORM, MARK, Attacker, Known
from tests.support.client_secrets import CLIENT_SECRET
from tests.support.deployment import BASE_URL, RETURN_URL, query_of
from tests.support.events import Event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import TOKEN_ANSWER

CHUNK: Final = 500
_FRESH: Final = {
    "POST /connect/{integration}": 20,
    "GET /connect/{integration}/disconnect": 100,
    "POST /connect/{integration}/disconnect": 20,
    "GET /callback/{integration}": 25,
}
_SECRETS: Final = (MAC_KEY, CLIENT_SECRET, str(TOKEN_ANSWER["access_token"]), str(TOKEN_ANSWER["refresh_token"]))
_HEADER: Final = re.compile(r"[\x20-\x7e]*")
_COOKIE: Final = re.compile(
    r"__Host-(cv-[0-9a-f]{8}|cf)=[A-Za-z0-9_-]{0,43}; Max-Age=(0|600|1800); Path=/; Secure; HttpOnly; SameSite=Lax"
)
_PLACES: Final = (f"{BASE_URL}/connect?session=", f"{RETURN_URL}?session=", "https://app.crm.test/authorize?")
_CARRIED: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SCRIPT: Final = "text/javascript"
_ELEMENTS: Final = frozenset({
    "html", "head", "meta", "title", "style", "body", "header", "footer", "main", "svg", "rect", "text", "path", "span",
    "div", "h1", "h2", "h3", "p", "code", "form", "input", "label", "small", "textarea", "button", "a", "article", "ul",
    "li", "dl", "dt", "dd", "time", "strong",
})  # fmt: skip


CONNECTED: Final = ConnectionKey("acme", "metrics")


class Broken(Exception):
    """An answer that must not be; the text says which promise, and how to make the input again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`CHUNK` inputs for one endpoint, the same ones for the same number and seed."""

    endpoint: str
    number: int
    seed: int
    inputs: int = CHUNK

    @property
    def chance(self) -> Random:
        return Random(f"{self.seed} {self.endpoint} {self.number}")  # noqa: S311 - inputs that can be made again


def run(chunk: Chunk) -> Counter[str]:
    """Send a chunk's inputs; return how often each status was answered. Raise `Broken` for the first broken promise."""
    counts: Counter[str] = Counter()
    with world() as at, overheard() as (log, printed):
        for number, request in enumerate(_requests(at, chunk)):
            _forget(log, printed)
            try:
                response = at.answer(request)
                check(request, response, log.text + printed.getvalue())
            except Exception as error:
                message = f"{chunk!r}, input {number}: {type(error).__name__}: {error}\n{request!r}"
                raise Broken(message) from error
            counts[str(response["statusCode"])] += 1
    return counts


def _requests(at: World, chunk: Chunk) -> Iterator[Event]:
    chance, make = chunk.chance, ENDPOINTS[chunk.endpoint]
    fresh = _FRESH.get(chunk.endpoint, CHUNK)
    learned = connected if chunk.endpoint.endswith("/disconnect") else known
    attacker = Attacker(chance, learned(at))
    for number in range(chunk.inputs):
        if number % fresh == 0:
            attacker = Attacker(chance, learned(at, completion="direct" if number % (2 * fresh) else "confirm"))
        yield make(attacker)


def known(at: World, **wanted: object) -> Known:
    """Let an honest person begin a consent and open the form; return what her requests carry."""
    session = at.session("crm", "metrics", **wanted)
    departed = at.at(session["authorize_urls"]["crm"])
    form = at.at(session["connect_url"].replace("/connect?", "/connect/metrics?"))
    cookies = [each.partition(";")[0] for each in (*departed["cookies"], *form["cookies"])]
    (field,) = Outline(form["body"]).all("input", name="form")
    (ticket,) = dict(parse_qsl(urlsplit(session["connect_url"]).query)).values()
    return Known([ticket], [query_of(departed)["state"]], cookies, [field["value"]])


def connected(at: World, **wanted: object) -> Known:
    """Let an honest person connect anew, and open the question before a disconnect; return what she knows then."""
    at.forget(CONNECTED)
    found = known(at, **wanted)
    fields = {"form": found.forms[0], "input-client_id": "4711", "input-client_secret": "right"}
    url = f"{BASE_URL}/connect/metrics?session={found.tickets[0]}"
    headers = {"content-type": FORM, "sec-fetch-site": "same-origin", "origin": "null"}
    at.at(url, method="POST", cookies=found.cookies, headers=headers, body=urlencode(fields))
    asked = Outline(at.at(url.replace("metrics?", "metrics/disconnect?"), cookies=found.cookies)["body"])
    (form,), (consent,) = asked.all("input", name="form"), asked.all("input", name="consent")
    return replace(found, forms=[form["value"]], consents=[consent["value"]])


def _forget(log: Log, printed: io.StringIO) -> None:
    for stream in (log._stream, printed):
        stream.seek(0)
        stream.truncate()


def check(request: Event, response: Response, said: str) -> None:
    """Hold an answer, and what was logged and printed meanwhile, against what every answer promises."""
    headers, cookies = response["headers"], response.get("cookies", ())
    shown = f"{response['statusCode']} {headers} {cookies} {response['body']}"
    for promise, kept in _promises(response, headers, cookies, shown, said):
        if not kept:
            raise AssertionError(promise)
    if ENTERED in shown:
        _check_entered(request, response, headers)


def _promises(
    response: Response, headers: Mapping[str, str], cookies: tuple[str, ...], shown: str, said: str
) -> Iterator[tuple[str, bool]]:
    yield "no status is 5xx", 200 <= response["statusCode"] < 500
    yield (
        "headers and cookies are one line of ASCII",
        all(map(_HEADER.fullmatch, (*headers, *headers.values(), *cookies))),
    )
    kept = {"Cache-Control": "public, max-age=3600"} if headers.get("Content-Type", "").startswith(_SCRIPT) else {}
    yield "every header is carried", (_CARRIED | kept).items() <= headers.items()
    yield "the policy forbids what it does not name", "default-src 'none'" in headers["Content-Security-Policy"]
    yield "cookies are ours", all(map(_COOKIE.fullmatch, cookies))
    yield "nobody is sent elsewhere", headers.get("Location", _PLACES[0]).startswith(_PLACES)
    yield "nothing of the request comes back", MARK not in shown
    yield "nothing of the request is logged", MARK not in said and ENTERED not in said
    yield "no secret is told", not any(each in text for each in _SECRETS for text in (shown, said))
    yield "nothing unforeseen happens", '"unforeseen"' not in said


def _check_entered(request: Event, response: Response, headers: Mapping[str, str]) -> None:
    """What was typed into a form may come back into its fields, and a connection's names may be shown: as text."""
    assert ENTERED not in f"{headers} {response.get('cookies')}", "what was entered stands in no header"
    assert request["routeKey"].startswith("ANY /connect"), "what was entered is shown on our own pages alone"
    page = Outline(response["body"])
    assert {tag for tag, _ in page.elements} <= _ELEMENTS, "what was entered makes no element"
    named = [(name, value or "") for _, attributes in page.elements for name, value in attributes]
    acting = [name for name, _ in named if name[:2] == "on" or name in {"src", "style", "formaction"}]
    assert not acting, f"what was entered makes no attribute: {acting}"
    links = [value for name, value in named if name in {"href", "action"}]
    assert all(each.startswith(f"{BASE_URL}/") and ENTERED not in each for each in links), "every link is ours"
    assert page.unbalanced == page.open == []


def chunks(inputs: int, seed: int, endpoints: tuple[str, ...] = tuple(ENDPOINTS)) -> Iterator[Chunk]:
    for endpoint in endpoints:
        for number, start in enumerate(range(0, inputs, CHUNK)):
            yield Chunk(endpoint, number, seed, min(CHUNK, inputs - start))


def tried(chunk: Chunk) -> dict[str, Any]:
    """Run a chunk; return what came of it, for a process of its own."""
    try:
        return {"endpoint": chunk.endpoint, "inputs": chunk.inputs, "counts": run(chunk), "broken": []}
    except Broken as error:
        sys.stderr.write(f"\n{error}\n")
        return {"endpoint": chunk.endpoint, "inputs": chunk.inputs, "counts": Counter(), "broken": [str(error)]}
