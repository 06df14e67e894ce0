"""Name servers and wires that a test decides: what was asked, what was connected to, and where that really went."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from consentry.network import Address, Network, connected

PUBLIC: Final = "93.184.215.14"
OTHER_PUBLIC: Final = "2606:4700:4700::1111"


def address(ip: str, port: int = 443) -> Address:
    if ":" in ip:
        return Address(socket.AF_INET6, (ip, port, 0, 0))
    return Address(socket.AF_INET, (ip, port))


def numeric(host: str, port: int) -> Sequence[Address]:
    """Resolve as the C library does without asking anybody: an address in any of its spellings, or nothing."""
    found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [Address(family, place) for family, _, _, _, place in found]


@dataclass
class Wires:
    """`answers` says what each look-up returns; whatever is connected to really is a server on this machine."""

    answers: Callable[[str, int], Sequence[Address]]
    asked: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    silent: frozenset[str] = frozenset()

    @property
    def network(self) -> Network:
        return Network(self._resolve, self._connect)

    def _resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        return self.answers(host, port)

    def _connect(self, to: Address, timeout: float) -> socket.socket:
        self.connections.append(to.ip)
        if to.ip in self.silent:
            raise ConnectionRefusedError
        return connected(address("127.0.0.1", to.place[1]), timeout)


def always(*ips: str) -> Wires:
    return Wires(lambda _host, port: [address(ip, port) for ip in ips])


def in_turn(*answers: Sequence[str]) -> Wires:
    """Answer the first look-up with the first addresses, the second with the second, and so on."""
    left = [list(each) for each in answers]
    return Wires(lambda _host, port: [address(ip, port) for ip in left.pop(0)])
