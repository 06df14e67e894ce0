"""The encryption format of a stored secret: an AWS Encryption SDK message, format version 2, suite 0x0478.

AES-256-GCM with HKDF-SHA512 and key commitment, without a signature, one KMS data key and one final frame. Pure: the
data key comes from the caller and nothing here reaches KMS. `docs/format.md` describes what other languages need.
Source: https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/message-format.html
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consentry.errors import InvalidRequest, UnreadableRecord

MESSAGE_ID_BYTES: Final = 32
DATA_KEY_BYTES: Final = 32
KEY_ARN: Final = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
MAX_PLAINTEXT_BYTES: Final = 65_536  # also the declared frame length, so that one final frame always holds everything
MAX_MESSAGE_BYTES: Final = 2 * MAX_PLAINTEXT_BYTES

_VERSION_AND_SUITE: Final = b"\x02\x04\x78"
_PROVIDER: Final = b"aws-kms"
_FRAMED: Final = b"\x02"
_FINAL_FRAME: Final = b"\xff\xff\xff\xff"
_FIRST: Final = (1).to_bytes(4)
_FRAME_LABEL: Final = b"AWSKMSEncryptionClient Final Frame"
_KEY_LABEL: Final = b"\x04\x78DERIVEKEY"
_COMMITMENT_LABEL: Final = b"COMMITKEY"
_COMMITMENT_BYTES: Final = 32
_TAG_BYTES: Final = 16
_IV_BYTES: Final = 12
_HEADER_IV: Final = bytes(_IV_BYTES)
_FRAME_IV: Final = bytes(_IV_BYTES - 4) + _FIRST
_UNREADABLE: Final = (
    "A stored value does not open for its connection. "
    "Restore the record from a backup, or let the customer connect again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A complete message that claims the expected context. Nothing in it is authentic until `open_sealed` says so."""

    key_arn: str
    encrypted_data_key: bytes = field(repr=False)
    message_id: bytes = field(repr=False)
    header: bytes = field(repr=False)
    header_tag: bytes = field(repr=False)
    commitment: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


def unreadable(reason: str) -> UnreadableRecord:
    """Make the one error for every message that does not open; `reason` is for the log and holds no content."""
    return UnreadableRecord(_UNREADABLE, detail=reason)


def seal(
    plaintext: bytes,
    *,
    data_key: bytes,
    encrypted_data_key: bytes,
    key_arn: str,
    context: Mapping[str, str],
    message_id: bytes,
) -> bytes:
    """Encrypt `plaintext` under a KMS data key; `message_id` is 32 bytes that no other message has.

    The header carries `encrypted_data_key`, `key_arn` and `context` in clear. Raises `InvalidRequest` above 64 KiB.
    """
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise InvalidRequest(f"a secret must not be larger than {MAX_PLAINTEXT_BYTES} bytes", code="secret_too_large")
    key, commitment = _derive(data_key, message_id)
    names = _serialized(context)
    header = b"".join(
        (
            *(_VERSION_AND_SUITE, message_id, _counted(names)),
            *((1).to_bytes(2), _counted(_PROVIDER), _counted(key_arn.encode()), _counted(encrypted_data_key)),
            *(_FRAMED, MAX_PLAINTEXT_BYTES.to_bytes(4), commitment),
        )
    )
    aead = AESGCM(key)
    header_tag = aead.encrypt(_HEADER_IV, b"", header)
    body = aead.encrypt(_FRAME_IV, plaintext, _frame_aad(message_id, len(plaintext)))
    return header + header_tag + _FINAL_FRAME + _FIRST + _FRAME_IV + len(plaintext).to_bytes(4) + body


def parse(message: bytes, *, context: Mapping[str, str]) -> Sealed:
    """Take a message apart, refusing everything but the one shape that `seal` writes for exactly this `context`.

    Raises `UnreadableRecord` for another version, suite, context or key provider, more than one data key or frame,
    and a message that is too long, too short, or followed by anything.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise unreadable("message too long")
    rest = _Cursor(message)
    rest.expect(_VERSION_AND_SUITE, "another version or suite")
    message_id = rest.take(MESSAGE_ID_BYTES)
    if rest.counted() != _serialized(context):
        raise unreadable("sealed for another context")
    rest.expect((1).to_bytes(2), "not exactly one data key")
    rest.expect(_counted(_PROVIDER), "not a KMS data key")
    key_arn, encrypted_data_key = rest.counted(), rest.counted()
    rest.expect(_FRAMED, "not framed")
    frame_length = rest.number()
    commitment = rest.take(_COMMITMENT_BYTES)
    header = message[: rest.position]
    header_tag = rest.take(_TAG_BYTES)
    iv, ciphertext = _single_frame(rest, frame_length)
    return Sealed(
        key_arn=as_text(key_arn),
        encrypted_data_key=encrypted_data_key,
        message_id=message_id,
        header=header,
        header_tag=header_tag,
        commitment=commitment,
        iv=iv,
        ciphertext=ciphertext,
    )


def key_arn_of(message: bytes) -> str:
    """Return the KMS key that a message names, whatever context it is for. Nothing of it is authentic.

    Raises `UnreadableRecord` for another version or suite, more than one data key, and what is no message.
    """
    rest = _Cursor(message)
    rest.expect(_VERSION_AND_SUITE, "another version or suite")
    rest.take(MESSAGE_ID_BYTES)
    rest.counted()
    rest.expect((1).to_bytes(2) + _counted(_PROVIDER), "not exactly one KMS data key")
    return as_text(rest.counted())


def open_sealed(sealed: Sealed, data_key: bytes) -> bytes:
    """Return the plaintext; raise `UnreadableRecord` if the key is another one or any byte was changed."""
    if len(data_key) != DATA_KEY_BYTES:
        raise unreadable("data key of another length")
    key, commitment = _derive(data_key, sealed.message_id)
    if not hmac.compare_digest(commitment, sealed.commitment):
        raise unreadable("commitment to another key")
    aead = AESGCM(key)
    try:
        aead.decrypt(_HEADER_IV, sealed.header_tag, sealed.header)
        length = len(sealed.ciphertext) - _TAG_BYTES
        return aead.decrypt(sealed.iv, sealed.ciphertext, _frame_aad(sealed.message_id, length))
    except InvalidTag:
        raise unreadable("changed after sealing") from None


def as_text(plaintext: bytes) -> str:
    """Decode UTF-8; raise `UnreadableRecord` otherwise, and never the decoder's error, which carries its input."""
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        pass
    raise unreadable("not text")


class _Cursor:
    """Reads big-endian fields one after the other and never past the end."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.position = 0

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self._message):
            raise unreadable("truncated")
        taken = self._message[self.position : end]
        self.position = end
        return taken

    def number(self, length: int = 4) -> int:
        return int.from_bytes(self.take(length))

    def counted(self) -> bytes:
        return self.take(self.number(2))

    def expect(self, expected: bytes, otherwise: str) -> None:
        if self.take(len(expected)) != expected:
            raise unreadable(otherwise)

    def expect_end(self) -> None:
        if self.position != len(self._message):
            raise unreadable("trailing bytes")


def _single_frame(rest: _Cursor, frame_length: int) -> tuple[bytes, bytes]:
    rest.expect(_FINAL_FRAME + _FIRST, "more than one frame")
    iv = rest.take(_IV_BYTES)
    length = rest.number()
    if length > min(frame_length, MAX_PLAINTEXT_BYTES):
        raise unreadable("content too long")
    ciphertext = rest.take(length + _TAG_BYTES)
    rest.expect_end()
    return iv, ciphertext


def _derive(data_key: bytes, message_id: bytes) -> tuple[bytes, bytes]:
    """Derive the message's own key and its commitment (RFC 5869 with the message id as salt)."""
    key = HKDF(algorithm=SHA512(), length=DATA_KEY_BYTES, salt=message_id, info=_KEY_LABEL).derive(data_key)
    commitment = HKDF(algorithm=SHA512(), length=_COMMITMENT_BYTES, salt=message_id, info=_COMMITMENT_LABEL)
    return key, commitment.derive(data_key)


def _frame_aad(message_id: bytes, length: int) -> bytes:
    return message_id + _FRAME_LABEL + _FIRST + length.to_bytes(8)


def _serialized(context: Mapping[str, str]) -> bytes:
    """Serialise a context canonically: pairs sorted by the UTF-8 bytes of their names; an empty one is no bytes."""
    if not context:
        return b""
    pairs = sorted((name.encode(), value.encode()) for name, value in context.items())
    return len(pairs).to_bytes(2) + b"".join(_counted(name) + _counted(value) for name, value in pairs)


def _counted(content: bytes) -> bytes:
    return len(content).to_bytes(2) + content
