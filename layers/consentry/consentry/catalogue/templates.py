"""What must hold for a URL with variables: whatever a customer enters, the host stays below a name in the file."""

import re
from collections.abc import Iterator
from typing import Final

from consentry.oauth.provider import Provider
from consentry.oauth.variables import NAME, PLACE, urls_of

_URL: Final = re.compile(r"([a-z]*)://([^/?#]*)([^?#]*)(.*)")
# One variable as the whole first label, and then the fixed name: two labels at least, the last of them no number, so
# that nothing makes an address of it.
_HOST: Final = re.compile(
    r"\{[^{}]*\}((?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+)\.([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
)
_SEGMENT: Final = re.compile(r"\{[^{}]*\}")
# Names below which anybody may register one: in part of the world the second label is the registry's too (co.uk).
_REGISTRIES: Final = frozenset({
    "ac", "asso", "biz", "co", "com", "edu", "firm", "gen", "go", "gob", "gouv", "gov", "gv", "ind", "info", "ltd",
    "me", "mil", "name", "ne", "net", "nhs", "nom", "or", "org", "plc", "police", "pro", "sch", "web",
})  # fmt: skip
_COUNTRY: Final = 2
# Never names of the public internet (RFC 6761, RFC 8375, ICANN's reservation of `internal`).
_PRIVATE: Final = frozenset({"arpa", "internal", "intranet", "lan", "local", "localdomain", "localhost", "onion"})
_SAMPLE: Final = "x"


def sample(provider: Provider, url: str) -> str:
    """Return the URL as it would look with a value: what is no declared variable stays, and is refused as it was."""
    return PLACE.sub(lambda place: _SAMPLE if place.group(1) in provider.variables else place.group(), url)


def variable_problems(provider: Provider) -> Iterator[str]:
    """Yield what is wrong with the declarations themselves."""
    used = {name for url in urls_of(provider).values() for name in PLACE.findall(url)}
    kept = {*provider.token.keep, *(each.name for each in provider.credential_inputs)}
    kept |= {*provider.introspection.keep} if provider.introspection else set()
    for name in provider.variables:
        if not NAME.fullmatch(name):
            yield f"variables has the name {name!r}: use lower-case letters, digits and _, 32 at most"
        if name not in used:
            yield f"variables.{name} stands in no URL: write {{{name}}} where its value goes, or remove it"
        if name in kept:
            yield f"variables.{name} has the name of a kept field or an input: readers find both in the metadata"


def template_problems(provider: Provider, url: str) -> Iterator[str]:
    """Yield where a URL has a variable in a place that could lead elsewhere; of a URL without any, nothing."""
    found = _URL.fullmatch(url)
    if found is None or not any(name in provider.variables for name in PLACE.findall(url)):
        return  # what is no URL at all has been said already
    scheme, host, path, rest = found.groups()
    if PLACE.search(host):
        yield from _host_problems(scheme, host)
    if any(PLACE.search(each) and not _SEGMENT.fullmatch(each) for each in path.split("/")):
        yield "may have a variable as a whole segment of its path alone: /{name}/"
    if PLACE.search(rest):
        yield "must not have a variable in its query: write it into the host or the path"


def _host_problems(scheme: str, host: str) -> Iterator[str]:
    found = _HOST.fullmatch(host)
    if scheme != "https" or not found:
        yield (
            "may have one variable in its host, as the whole first label, directly before a fixed name of two labels "
            "at least, without a port: https://{name}.example.com/"
        )
        return
    *above, second = found.group(1).removeprefix(".").split(".")
    last = found.group(2)
    if last in _PRIVATE:
        yield f"must not lead to names below .{last}: they are not the provider's"
    elif not above and len(last) == _COUNTRY and second in _REGISTRIES:
        yield f"must not let anybody's name into it: whoever registers one below {second}.{last} would be asked"
