"""Encryption that anyone could undo, and that is as strict about contexts as the real one."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from consentry.errors import UnreadableRecord
from consentry.model import Secret

_DIGEST = 32


def _stream(context: Mapping[str, str], length: int) -> bytes:
    return hashlib.shake_256(_identity(context)).digest(length)


def _identity(context: Mapping[str, str]) -> bytes:
    return json.dumps(dict(context), sort_keys=True).encode()


def _mixed(data: bytes, context: Mapping[str, str]) -> bytes:
    return bytes(left ^ right for left, right in zip(data, _stream(context, len(data)), strict=True))


@dataclass(frozen=True, slots=True)
class FakeSealingKey:
    context: Mapping[str, str]

    def seal(self, plaintext: Secret) -> bytes:
        return hashlib.sha256(_identity(self.context)).digest() + _mixed(plaintext.reveal().encode(), self.context)


class FakeEnvelopes:
    """`ports.Envelopes`: reversible, bound to its context, and counted by the context's field.

    `before` is called with `seal` or `open` ahead of each call; what it raises is the call's failure.
    """

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self.sealing: list[str] = []
        self.opened: list[str] = []
        self._before = before
        self._lock = Lock()

    def sealing_key(self, context: Mapping[str, str]) -> FakeSealingKey:
        self._before("seal")
        with self._lock:
            self.sealing.append(context["field"])
        return FakeSealingKey(dict(context))

    def open(self, ciphertext: bytes, context: Mapping[str, str]) -> Secret:
        self._before("open")
        with self._lock:
            self.opened.append(context["field"])
        if ciphertext[:_DIGEST] != hashlib.sha256(_identity(context)).digest():
            raise UnreadableRecord("The stored value cannot be read. The operator's log has the reason.")
        return Secret(_mixed(ciphertext[_DIGEST:], context).decode())
