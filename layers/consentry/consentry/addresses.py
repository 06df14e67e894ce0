"""Which addresses a request may go to: those that the whole internet reaches, and no other (S-12).

A name is resolved by whoever owns it: what it resolves to is checked, and then connected to, never looked up again.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult

ANY_LOOPBACK: Final = "*"

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_UNICAST: Final = IPv6Network("2000::/3")
# IPv4 inside of IPv6, by which this network leads to it (RFC 4291 section 2.5.5.2, RFC 6052).
_WITH_IPV4: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
# Ends and relays of tunnels, whose packets come out where somebody else decides (RFC 3056, RFC 4380, RFC 7526), and
# what is for documents alone, and so for nobody's server (RFC 9637): Python's own list does not have that one yet.
_NOBODYS: Final = (IPv6Network("2002::/16"), IPv6Network("2001::/32"), IPv6Network("3fff::/20"))
_RELAYS: Final = IPv4Network("192.88.99.0/24")


def is_public(address: str) -> bool:
    """Whether it is one address, and globally routable unicast (the registries of RFC 6890)."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return _is_public_v4(found)
    if any(found in network for network in _WITH_IPV4):
        return _is_public_v4(IPv4Address(found.packed[-4:]))
    return _is_public_v6(found)


def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def is_allowed_origin(parts: SplitResult, allowed_origins: Collection[str]) -> bool:
    """Whether plain http may go there: a loopback origin that is listed, or any one where `*` is."""
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK_NAMES
    return loopback and (ANY_LOOPBACK in allowed_origins or f"http://{parts.netloc}" in allowed_origins)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _RELAYS


def _is_public_v6(address: IPv6Address) -> bool:
    return address in _UNICAST and address.is_global and not any(address in each for each in _NOBODYS)
