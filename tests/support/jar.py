"""A browser's cookie jar by draft-ietf-httpbis-rfc6265bis: prefixes, SameSite, hosts; what goes with which request."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PREFIXES: Final = ("__host-", "__secure-")
_DEFAULT: Final = "default"
_BLANK: Final = " \t"


class Kind(Enum):
    """What makes the request: the address bar or a link, a frame, or a script (`fetch`, an image)."""

    TOP_LEVEL = "top-level"
    FRAME = "frame"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    name: str
    value: str
    host: str
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    same_site: str
    ends_at: float
    born: int = 0


@dataclass
class Jar:
    """Cookies of one browser. `now` is in seconds, and moves only when it is told to."""

    now: float = 0.0
    cookies: list[Cookie] = field(default_factory=list)
    _births: int = 0

    def keep(self, set_cookie: str, url: str) -> bool:
        """Take a `Set-Cookie` of an answer of `url`; return whether a browser keeps it (section 5.7)."""
        cookie = parsed(set_cookie, url, self.now)
        if cookie is None:
            return False
        same = [each for each in self.cookies if _identity(each) == _identity(cookie)]
        self._births += 1
        born = same[0].born if same else self._births
        self.cookies = [each for each in self.cookies if each not in same]
        if cookie.ends_at > self.now:
            self.cookies.append(replace(cookie, born=born))
        return True

    def sent(self, url: str, *, site: str, method: str = "GET", kind: Kind = Kind.TOP_LEVEL) -> list[str]:
        """Return `name=value` of what goes along (section 5.8.3); `site` is the registrable domain that asks."""
        parts = urlsplit(url)
        host, same_site = parts.hostname or "", site_of(parts.hostname or "") == site
        going = [
            each
            for each in self.cookies
            if each.ends_at > self.now
            and (host == each.host if each.host_only else _within(host, each.host))
            and (parts.path or "/").startswith(each.path)
            and (parts.scheme == "https" or not each.secure)
            and (same_site or _crosses(each, method, kind))
        ]
        going.sort(key=lambda each: (-len(each.path), each.born))
        return [f"{each.name}={each.value}" if each.name else each.value for each in going]


def site_of(host: str) -> str:
    """Return the registrable domain, where every public suffix has one label (`test`)."""
    return ".".join(host.split(".")[-2:])


def parsed(set_cookie: str, url: str, now: float) -> Cookie | None:
    """Return the cookie; None for one that a browser ignores."""
    pair, *rest = set_cookie.split(";")
    if _CONTROL.search(set_cookie):
        return None
    name, sign, value = (each.strip(_BLANK) for each in pair.partition("="))
    name, value = (name, value) if sign else ("", name)
    attributes = dict(_attribute(each) for each in rest)
    host = urlsplit(url).hostname or ""
    domain = attributes.get("domain", "").lstrip(".").lower()
    if domain and (not _within(host, domain) or "." not in domain):
        return None
    cookie = Cookie(
        name=name,
        value=value,
        host=domain or host,
        host_only=not domain,
        path=attributes["path"] if attributes.get("path", "").startswith("/") else "/",
        secure="secure" in attributes,
        http_only="httponly" in attributes,
        same_site=attributes.get("samesite", _DEFAULT).lower(),
        ends_at=now + float(attributes.get("max-age", "inf")),
    )
    return cookie if _allowed(cookie, attributes.get("path", ""), urlsplit(url).scheme) else None


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = (each.strip(_BLANK) for each in text.partition("="))
    return name.lower(), value


def _allowed(cookie: Cookie, path: str, scheme: str) -> bool:
    """Whether the rules of `Secure`, `SameSite=None` and the prefixes let it be."""
    if cookie.secure and scheme != "https":
        return False
    if cookie.same_site == "none" and not cookie.secure:
        return False
    if not cookie.name and cookie.value.lower().startswith(_PREFIXES):
        return False
    if cookie.name.lower().startswith("__secure-"):
        return cookie.secure
    if cookie.name.lower().startswith("__host-"):
        return cookie.secure and cookie.host_only and path == "/"
    return True


def _crosses(cookie: Cookie, method: str, kind: Kind) -> bool:
    """Whether the cookie goes with a request that another site began."""
    if cookie.same_site == "none":
        return True
    safe = method in {"GET", "HEAD", "OPTIONS", "TRACE"}
    return cookie.same_site in {"lax", _DEFAULT} and kind is Kind.TOP_LEVEL and safe


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _identity(cookie: Cookie) -> Sequence[object]:
    return cookie.name, cookie.host, cookie.host_only, cookie.path
