"""Encryption of stored secrets under two KMS keys: access tokens have one of their own, all else uses the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from consentry.envelope import (
    DATA_KEY_BYTES,
    KEY_ARN,
    MESSAGE_ID_BYTES,
    as_text,
    key_arn_of,
    open_sealed,
    parse,
    seal,
    unreadable,
)
from consentry.errors import Misconfigured
from consentry.model import Field, Secret
from consentry.ports import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_NOT_OURS: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_NONE: Final[Mapping[Field, str]] = {}


class KmsSealingKey:
    """A data key that was fetched before it is needed; each `seal` is a message of its own and makes no call."""

    __slots__ = ("_context", "_data_key", "_encrypted_data_key", "_key_arn", "_randomness")

    def __init__(
        self,
        *,
        data_key: bytes,
        encrypted_data_key: bytes,
        key_arn: str,
        context: Mapping[str, str],
        randomness: Callable[[int], bytes],
    ) -> None:
        self._data_key = data_key
        self._encrypted_data_key = encrypted_data_key
        self._key_arn = key_arn
        self._context = dict(context)
        self._randomness = randomness

    def seal(self, plaintext: Secret) -> bytes:
        return seal(
            plaintext.reveal().encode(),
            data_key=self._data_key,
            encrypted_data_key=self._encrypted_data_key,
            key_arn=self._key_arn,
            context=self._context,
            message_id=self._randomness(MESSAGE_ID_BYTES),
        )


class KmsEnvelopes:
    """`ports.Envelopes` over a KMS client; `keys` are the ARNs that this function may use, by the field they are for.

    `others` are opened as well, and sealed with by nobody: while keys are replaced, there are two of a kind.
    `randomness(n)` gives n unpredictable bytes, as `os.urandom` does. Raises `Misconfigured` unless every key is given
    by its own ARN (an alias could be pointed elsewhere).
    """

    def __init__(
        self,
        kms: "KMSClient",
        *,
        keys: Mapping[Field, str],
        randomness: Callable[[int], bytes],
        others: Mapping[Field, str] = _NONE,
    ) -> None:
        for field, arn in (*keys.items(), *others.items()):
            if not KEY_ARN.fullmatch(arn):
                raise Misconfigured(
                    f"The key for {field} must be the ARN of a KMS key, like arn:aws:kms:<region>:<account>:key/<id>."
                )
        self._kms = kms
        self._keys = dict(keys)
        self._others = dict(others)
        self._randomness = randomness

    def sealing_key(self, context: Mapping[str, str]) -> KmsSealingKey:
        """Fetch a data key with one GenerateDataKey. Raises `StorageUnavailable` if KMS gives none."""
        arn = self._key_for(context)
        with _explained("kms:GenerateDataKey"):
            answer = self._kms.generate_data_key(
                KeyId=arn, NumberOfBytes=DATA_KEY_BYTES, EncryptionContext=dict(context)
            )
        return KmsSealingKey(
            data_key=answer["Plaintext"],
            encrypted_data_key=answer["CiphertextBlob"],
            key_arn=arn,
            context=context,
            randomness=self._randomness,
        )

    def open(self, ciphertext: bytes, context: Mapping[str, str]) -> Secret:
        """Open a ciphertext of exactly this context with one Decrypt; another context or foreign key costs no call.

        Raises `UnreadableRecord`, or `StorageUnavailable` if KMS does not answer.
        """
        known = {self._key_for(context), self._others.get(Field(context["field"]), "")}
        sealed = parse(ciphertext, context=context)
        if sealed.key_arn not in known - {""}:
            raise unreadable("sealed under another key")
        with _explained("kms:Decrypt"):
            answer = self._kms.decrypt(
                CiphertextBlob=sealed.encrypted_data_key, KeyId=sealed.key_arn, EncryptionContext=dict(context)
            )
        return Secret(as_text(open_sealed(sealed, answer["Plaintext"])))

    def is_current(self, ciphertext: bytes, field: Field) -> bool:
        """Return whether a ciphertext names the key that is sealed with now; no call. Raises `UnreadableRecord`."""
        return key_arn_of(ciphertext) == self._key_of(field)

    def _key_for(self, context: Mapping[str, str]) -> str:
        return self._key_of(Field(context["field"]))

    def _key_of(self, field: Field) -> str:
        if arn := self._keys.get(field):
            return arn
        raise Misconfigured(f"This function has no key for {field}: deploy the current template.")


@contextmanager
def _explained(action: str) -> Iterator[None]:
    """Turn the vendor's errors into ours, dropping what they carry."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _NOT_OURS:
            raise unreadable(f"{action}: {code}") from None
        raise _unavailable(f"{action}: {code}") from None
    except BotoCoreError as error:
        raise _unavailable(f"{action}: {type(error).__name__}") from None


def _unavailable(detail: str) -> StorageUnavailable:
    return StorageUnavailable(
        "A key did not answer or refused this function. Check that it is enabled and that the function may use it.",
        detail=detail,
    )
