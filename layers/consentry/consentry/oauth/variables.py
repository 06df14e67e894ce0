"""What a tenant may decide of a URL: one label of a host below a fixed name, or one segment of a path (S-12).

Values are checked whenever a URL is made of them, wherever they come from: a request, a session, or a stored record.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from consentry.errors import InvalidRequest, Misconfigured
from consentry.oauth.provider import Provider

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
PLACE: Final = re.compile(r"\{([^{}]*)\}")
# One label of a host name (RFC 1123 section 2.1): no dot, no port, no sign that would end the host.
LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# One segment of a path (RFC 3986 section 3.3) of unreserved characters alone, and no step upwards.
SEGMENT: Final = re.compile(r"(?!\.+\Z)[A-Za-z0-9._~-]{1,128}")
MOST: Final = 128


class InvalidVariable(InvalidRequest):
    """A value that is missing, or that no URL of the provider may hold. `variable` is its name."""

    default_code = "invalid_variable"

    def __init__(self, public: str, *, variable: str, missing: bool = False) -> None:
        super().__init__(public)
        self.variable = variable
        self.missing = missing


def urls_of(provider: Provider) -> dict[str, str]:
    """Return every URL that a provider file holds, by the name of its field; those left out are empty."""
    authorization, introspection = provider.authorization, provider.introspection
    return {
        "token.url": provider.token.url,
        "token.refresh_url": provider.token.refresh_url,
        "revocation_url": provider.revocation_url,
        "uninstall_url": provider.uninstall_url,
        **(
            {"authorization.url": authorization.url, "authorization.issuer": authorization.issuer}
            if authorization
            else {}
        ),
        **({"introspection.url": introspection.url} if introspection else {}),
    }


def names_in_host(url: str) -> list[str]:
    """Return the variables between `//` and the next slash."""
    return PLACE.findall(_host(url))


def checked_variables(provider: Provider, values: Mapping[str, object]) -> dict[str, str]:
    """Return a value for each of the provider's variables; raise `InvalidVariable` for the first that will not do."""
    return given_variables(provider, {**dict.fromkeys(provider.variables), **values})


def given_variables(provider: Provider, values: Mapping[str, object]) -> dict[str, str]:
    """Return these values, of which some may be left out; raise `InvalidVariable` for the first that will not do.

    Names that the provider does not know are refused: whoever gave them means another provider.
    """
    if unknown := sorted(set(values) - set(provider.variables)):
        wanted = ", ".join(provider.variables) or "none"
        public = f"unknown variable {unknown[0][:40]!r}; {provider.name} has {wanted}"
        raise InvalidVariable(public, variable=unknown[0])
    return {name: _checked(provider, name, value) for name, value in values.items()}


def rendered(provider: Provider, values: Mapping[str, object]) -> Provider:
    """Return the provider as one connection knows it: with its values in all URLs. Without variables, it is the same.

    Raise `Misconfigured` for a stored value that is missing or would lead elsewhere: only a new connection mends that.
    """
    if not provider.variables:
        return provider
    try:
        checked = {name: _checked(provider, name, values.get(name)) for name in provider.variables}
    except InvalidVariable as invalid:
        public = f"The connection has no usable {invalid.variable} for {provider.name}: it has to be made anew."
        raise Misconfigured(public, detail=f"variable {invalid.variable}") from None
    return _filled(provider, checked)


def _checked(provider: Provider, name: str, value: object) -> str:
    variable = provider.variables[name]
    if value is None or value == "":
        public = f"variable {name} ({variable.label}) is missing: {provider.name} needs it"
        raise InvalidVariable(public, variable=name, missing=True)
    places = [
        LABEL if name in names_in_host(url) else SEGMENT for url in urls_of(provider).values() if _at(name) in url
    ]
    allowed = [*places, re.compile(variable.pattern)] if variable.pattern else [*places, LABEL]
    if isinstance(value, str) and all(each.fullmatch(value) for each in allowed):
        return value
    public = f"variable {name} ({variable.label}) does not look as {provider.name} writes it"
    raise InvalidVariable(public, variable=name)


def _filled(provider: Provider, values: Mapping[str, str]) -> Provider:
    def fill(url: str) -> str:
        return PLACE.sub(lambda place: values[place.group(1)], url)

    authorization, introspection = provider.authorization, provider.introspection
    return replace(
        provider,
        token=replace(provider.token, url=fill(provider.token.url), refresh_url=fill(provider.token.refresh_url)),
        revocation_url=fill(provider.revocation_url),
        uninstall_url=fill(provider.uninstall_url),
        authorization=authorization
        and replace(authorization, url=fill(authorization.url), issuer=fill(authorization.issuer)),
        introspection=introspection and replace(introspection, url=fill(introspection.url)),
    )


def _at(name: str) -> str:
    return f"{{{name}}}"


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]
