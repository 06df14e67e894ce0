"""Sealing to somebody's public key: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), AES-256-GCM; `docs/export.md`.

Each text gets a key of its own from a key pair of its own, so that a nonce is never used twice. Nobody is
authenticated by it: whoever has the public key can seal.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consentry.errors import InvalidRequest
from consentry.model import Secret

PUBLIC: Final = "consentry-public-1:"
PRIVATE: Final = "consentry-private-1:"
_INFO: Final = b"consentry export 1"
_NONCE: Final = bytes(12)  # each key seals one text
_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who can open what is sealed: the 32 bytes of an X25519 public key."""

    public: bytes

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read what `str` gives; raise `InvalidRequest` for anything else."""
        return cls(_key_bytes(text, PUBLIC, "a recipient's public key"))

    def __str__(self) -> str:
        return PUBLIC + _encoded(self.public)

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits, for people to compare."""
        return hashlib.sha256(self.public).hexdigest()[:16]

    def seal(self, text: Secret, bound_to: bytes) -> bytes:
        """Seal a text together with what stands beside it in clear."""
        own = X25519PrivateKey.generate()
        mine = own.public_key().public_bytes_raw()
        try:
            shared = own.exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError:  # a point of small order: the result would be known to everybody
            raise _unusable("a recipient's public key") from None
        key = _derived(shared, mine, self.public)
        return mine + AESGCM(key).encrypt(_NONCE, text.reveal().encode(), bound_to)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    private: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: object) -> Self:
        return cls(_key_bytes(text, PRIVATE, "a private key"))

    def written(self) -> Secret:
        return Secret(PRIVATE + _encoded(self.private))

    @property
    def recipient(self) -> Recipient:
        return Recipient(X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw())

    def open(self, sealed: bytes, bound_to: bytes) -> Secret:
        """Raise `InvalidRequest` unless it was sealed to this key, with exactly this beside it."""
        theirs, ciphertext = sealed[:_KEY_BYTES], sealed[_KEY_BYTES:]
        if len(ciphertext) < _TAG_BYTES:
            raise _not_opened()
        own = X25519PrivateKey.from_private_bytes(self.private)
        try:
            shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
            key = _derived(shared, theirs, own.public_key().public_bytes_raw())
            return Secret(AESGCM(key).decrypt(_NONCE, ciphertext, bound_to).decode())
        except (InvalidTag, ValueError):
            raise _not_opened() from None


def _derived(shared: bytes, sender: bytes, recipient: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_INFO + sender + recipient).derive(shared)


def _encoded(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _key_bytes(text: object, prefix: str, what: str) -> bytes:
    if not isinstance(text, str) or not text.strip().startswith(prefix):
        raise _unusable(what)
    encoded = text.strip().removeprefix(prefix)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise _unusable(what)
    return key


def _unusable(what: str) -> InvalidRequest:
    return InvalidRequest(f"this is not {what}: make a pair with `consentry keys new`", code="invalid_key")


def _not_opened() -> InvalidRequest:
    return InvalidRequest("it does not open: sealed to another key, or changed since", code="not_opened")
