"""What an attacker sends: requests that are almost right, or wrong in one of the ways that have broken others.

Whatever is made up carries a mark. `MARK` may come back nowhere; `ENTERED` only as text in a form's own fields.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from urllib.parse import quote, quote_plus, urlencode

from tests.support.catalogue import ISSUER
from tests.support.events import Event, event

MARK: Final = "zqmarkqz"
ENTERED: Final = "zqtypedqz"
INTEGRATIONS: Final = ("crm", "metrics", "desk", "crm2")
PAYLOADS: Final = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'-->", "</title><svg onload=x>", "</style>x",
    "</textarea><b>", "javascript:alert(1)", "\r\nSet-Cookie: a=b", "\r\n\r\n<html>", "%0d%0aLocation: //evil.test",
    "//evil.test", "\\\\evil.test", "${7*7}", "$name", "{{7*7}}", "%(x)s", "../../etc/passwd", "\x00", "\x1b[31m",
    "\u202e", "\u2028", "\ud800", "\U0001f4a9", "a" * 300, "&lt;", "&#x3c;", "=?utf-8?q?x?=", "'; DROP TABLE x;--",
    "__proto__", "constructor", "-1", "9" * 40, "1e999", "NaN", "true", "null", "[]", "{}", "é", "İ", "ß", "\u00a0",
)  # fmt: skip
NAMES: Final = ("session", "code", "state", "iss", "error", "error_description", "error_uri", "handle", "user_ref", "x")
FIELDS: Final = ("form", "label", "description", "input-client_id", "input-client_secret", "input-site_id", "x", "")
HEADERS: Final = (
    "host", "x-forwarded-host", "x-forwarded-proto", "forwarded", "accept-language", "origin", "referer", "purpose",
    "sec-purpose", "sec-fetch-site", "sec-fetch-mode", "content-type", "authorization", "x-http-method-override",
    "user-agent", "if-none-match", "range", "x-amz-date",
)  # fmt: skip
METHODS: Final = ("POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "", MARK)
ENDING: Final = "ANY /connect/{integration}/disconnect"
FORM: Final = "application/x-www-form-urlencoded"
TYPES: Final = (FORM, FORM, FORM, f"{FORM}; charset=utf-8", "multipart/form-data; boundary=x", "application/json", "")


@dataclass(frozen=True, slots=True)
class Known:
    """What is really valid: an honest person's own session, as far as the attacker has come by it."""

    tickets: Sequence[str]
    states: Sequence[str]
    cookies: Sequence[str]
    forms: Sequence[str]
    consents: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Attacker:
    chance: Random
    known: Known

    def one[T](self, *choices: T) -> T:
        return choices[int(self.chance.random() * len(choices))]

    def likely(self, probability: float) -> bool:
        return self.chance.random() < probability

    def text(self, mark: str = MARK) -> str:
        """Return a payload with a mark in or around it, or a random text."""
        if self.likely(0.7):
            payload = self.one(*PAYLOADS)
            return str(self.one(mark + payload, payload + mark, mark + payload + mark))
        length = int(self.chance.random() * 30)
        return mark + "".join(
            chr(self.one(0x20, 0x80, 0x250, 0xFFFF) + int(self.chance.random() * 96)) for _ in range(length)
        )

    def almost(self, right: str) -> str:
        """Return something that was right before somebody changed it."""
        at = int(self.chance.random() * len(right))
        before, after, other = right[:at], right[at + 1 :], self.one("A", "é", "%", "|", "\x00")
        changed = self.one(
            before, right + MARK, before + MARK + right[at:], right.swapcase(), before + other + after, right[::-1],
            f" {right}", f"{right}\n", right * 2,
        )  # fmt: skip
        return str(changed)

    def value(self, valid: Sequence[str]) -> str:
        if valid and self.likely(0.5):
            return str(self.one(*valid))
        return self.almost(self.one(*valid)) if valid and self.likely(0.5) else self.text()

    def _of(self, name: str) -> str:
        return self.value({"session": self.known.tickets, "state": self.known.states}.get(name, ()))

    def query(self, *wanted: str) -> str:
        pairs = [(name, self._of(name)) for name in wanted if self.likely(0.9)]
        while self.likely(0.25):
            name = self.one(*NAMES) if self.likely(0.8) else self.text()
            pairs.insert(int(self.chance.random() * (len(pairs) + 1)), (name, self._of(name)))
        joined = self.one("&", "&", "&", "&", "&", "&", "&", ";", "&&").join(
            f"{self.escaped(n)}={self.escaped(v)}" for n, v in pairs
        )
        if self.likely(0.03):
            return joined[: int(self.chance.random() * len(joined))] + self.one(
                "%", "%f", "%ff%fe", "=", "&" * 500, MARK * 900
            )
        return joined

    def escaped(self, text: str) -> str:
        """Percent-encode as some client does; lone surrogates travel as they are."""
        if self.likely(0.05):
            return text
        how: Callable[..., str] = self.one(quote, quote_plus)
        return how(text, safe="", errors="surrogatepass")

    def integration(self, likeliest: str) -> str:
        if self.likely(0.8):
            return likeliest
        return self.one(*INTEGRATIONS) if self.likely(0.5) else self.text()

    def cookies(self) -> list[str]:
        found = [each for each in self.known.cookies if self.likely(0.6)]
        while self.likely(0.2):
            name = self.one("__Host-cv-0a1b2c3d", "__Host-cf", "\u2000__Host-cf", "__host-cf", "a", "", self.text())
            found.insert(0, f"{name}={self.text()}")
        if found and self.likely(0.1):
            at = int(self.chance.random() * len(found))
            name, _, value = found[at].partition("=")
            found[at] = self.one(f"{name}={self.almost(value)}", self.almost(found[at]))
        return found

    def headers(self) -> dict[str, str]:
        found = {}
        while self.likely(0.3):
            found[self.one(*HEADERS)] = self.text()
        if self.likely(0.1):
            found["accept-language"] = self.one("pt", "pt;q=nan", "en;q=1e999", "*;q=0.5,pt;q=" + MARK, ",;," * 50)
        return found

    def form(self) -> str:
        pairs = [("form", self.value(self.known.forms))]
        pairs += [(name, self.entry(name)) for name in FIELDS[1:6] if self.likely(0.85)]
        while self.likely(0.1):
            name = self.one(*FIELDS)
            pairs.append((name, self.entry(name)))
        return "&".join(f"{self.escaped(name)}={self.escaped(value)}" for name, value in pairs)

    def entry(self, name: str) -> str:
        if name == "input-client_secret":
            return self.one("right", MARK, self.text(), "", "x" * 81)
        return self.one("", "7", self.text(ENTERED), self.text(ENTERED), f"{ENTERED}\r\n{ENTERED}", ENTERED + "x" * 600)

    def body(self) -> tuple[str, bool]:
        """Return a body as the gateway hands it over, and whether it is base64."""
        text = self.form() if self.likely(0.85) else self.one(self.text(), "{}", "&" * 200, "a=1&" * 80, MARK * 9000)
        if self.likely(0.15):
            return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode(), True
        return text, self.likely(0.03)


def connect(attacker: Attacker) -> Event:
    return _event(attacker, "ANY /connect", {}, attacker.query("session"))


def form_get(attacker: Attacker) -> Event:
    return _event(attacker, "ANY /connect/{integration}", _at(attacker, "metrics"), attacker.query("session"))


def form_post(attacker: Attacker) -> Event:
    if attacker.likely(0.3):
        return _typed(attacker)
    body, encoded = attacker.body()
    headers = {
        "content-type": attacker.one(*TYPES),
        "sec-fetch-site": attacker.one("same-origin", "same-origin", "none"),
    }
    made = _event(attacker, "ANY /connect/{integration}", _at(attacker, "metrics"), attacker.query("session"))
    made["headers"] = headers | made["headers"] if attacker.likely(0.5) else made["headers"] | headers
    context = made["requestContext"]
    post = {**context, "http": {**context["http"], "method": "POST"}}
    return made | {"requestContext": post, "body": body, "isBase64Encoded": encoded}


def ending_get(attacker: Attacker) -> Event:
    return _event(attacker, ENDING, _at(attacker, "metrics"), attacker.query("session"))


def ending_post(attacker: Attacker) -> Event:
    """Return the answer to the question before a disconnect: right, almost right, or a body of anything."""
    known = attacker.known
    if attacker.likely(0.3):
        body, encoded = attacker.body()
    else:
        fields = {"form": attacker.value(known.forms), "consent": attacker.value(known.consents)}
        body, encoded = urlencode(fields, errors="surrogatepass"), False
    made = event(
        ENDING,
        method="POST",
        parameters=_at(attacker, "metrics"),
        query=f"session={known.tickets[0]}" if attacker.likely(0.7) else attacker.query("session"),
        headers={"content-type": FORM, "sec-fetch-site": "same-origin", "origin": "null"} | attacker.headers(),
        cookies=known.cookies if attacker.likely(0.7) else attacker.cookies(),
        body=body,
        request_id="r",
    )
    return made | {"isBase64Encoded": encoded}


def _typed(attacker: Attacker) -> Event:
    """Return what a person's own browser sends, whatever she typed."""
    known = attacker.known
    fields = {"form": known.forms[0], **{name: attacker.entry(name) for name in FIELDS[1:6]}}
    return event(
        "ANY /connect/{integration}",
        method="POST",
        parameters={"integration": "metrics"},
        query=f"session={known.tickets[0]}",
        headers={"content-type": FORM, "sec-fetch-site": "same-origin", "origin": "null"},
        cookies=known.cookies,
        body=urlencode(fields, errors="surrogatepass"),
        request_id="r",
    )


def authorize(attacker: Attacker) -> Event:
    return _event(attacker, "ANY /authorize/{integration}", _at(attacker, "crm"), attacker.query("session"))


def callback(attacker: Attacker) -> Event:
    if attacker.likely(0.2):
        return _returned(attacker)
    wanted = attacker.one(("code", "state", "iss"), ("code", "state"), ("error", "state"), ("code", "error", "state"))
    return _event(attacker, "ANY /callback/{integration}", _at(attacker, "crm"), attacker.query(*wanted))


def _returned(attacker: Attacker) -> Event:
    """Return what a person's own browser brings back, whatever the provider said."""
    known, said = attacker.known, attacker.one("code", "code", "error")
    given = {said: attacker.text(), "state": known.states[0], "error_description": attacker.text()}
    issuer = {"iss": attacker.one(ISSUER, ISSUER, attacker.text())} if attacker.likely(0.8) else {}
    return event(
        "ANY /callback/{integration}",
        parameters={"integration": "crm"},
        query=urlencode(given | issuer, errors="surrogatepass"),
        cookies=known.cookies,
        request_id="r",
    )


def health(attacker: Attacker) -> Event:
    return _event(attacker, "ANY /health", {}, attacker.query())


def script(attacker: Attacker) -> Event:
    return _event(attacker, "ANY /connect.js", {}, attacker.query("session"))


ENDPOINTS: Final[Mapping[str, Callable[[Attacker], Event]]] = {
    "GET /connect": connect,
    "GET /connect/{integration}": form_get,
    "POST /connect/{integration}": form_post,
    "GET /connect/{integration}/disconnect": ending_get,
    "POST /connect/{integration}/disconnect": ending_post,
    "GET /authorize/{integration}": authorize,
    "GET /callback/{integration}": callback,
    "GET /connect.js": script,
    "GET /health": health,
}


def _at(attacker: Attacker, integration: str) -> dict[str, str]:
    return {"integration": attacker.integration(integration)}


def _event(attacker: Attacker, route: str, parameters: Mapping[str, str], query: str) -> Event:
    return event(
        route,
        method="GET" if attacker.likely(0.9) else attacker.one(*METHODS),
        parameters=parameters,
        query=query,
        headers=attacker.headers(),
        cookies=attacker.cookies(),
        request_id="r",
    )
