"""KMS with published data keys: it tells key from key and context from context, and protects nothing."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, TypedDict

from botocore.exceptions import ClientError


class Wrapped(TypedDict):
    """A data key that was given out, and for what; binary values are base64."""

    key_arn: str
    context: dict[str, str]
    data_key: str
    encrypted_data_key: str


def published(what: str, length: int = 32) -> bytes:
    """Return bytes that anyone can make again."""
    return hashlib.shake_256(what.encode()).digest(length)


class KnownKms:
    """The two operations of a KMS client that the vault uses. `wrapped` is all that it has given out."""

    def __init__(self, wrapped: Sequence[Wrapped] = ()) -> None:
        self.wrapped = list(wrapped)

    def generate_data_key(self, **request: Any) -> dict[str, object]:  # noqa: ANN401 - boto3's own argument names
        number = len(self.wrapped) + 1
        data_key, blob = published(f"data key {number}"), published(f"encrypted data key {number}", 64)
        self.wrapped.append({
            "key_arn": request["KeyId"],
            "context": dict(request["EncryptionContext"]),
            "data_key": base64.b64encode(data_key).decode(),
            "encrypted_data_key": base64.b64encode(blob).decode(),
        })  # fmt: skip
        return {"Plaintext": data_key, "CiphertextBlob": blob, "KeyId": request["KeyId"]}

    def decrypt(self, **request: Any) -> dict[str, object]:  # noqa: ANN401 - boto3's own argument names
        blob = base64.b64encode(request["CiphertextBlob"]).decode()
        for each in self.wrapped:
            if each["encrypted_data_key"] == blob and each["context"] == dict(request["EncryptionContext"]):
                if each["key_arn"] != request["KeyId"]:
                    raise ClientError({"Error": {"Code": "IncorrectKeyException"}}, "Decrypt")
                return {"Plaintext": base64.b64decode(each["data_key"]), "KeyId": each["key_arn"]}
        raise ClientError({"Error": {"Code": "InvalidCiphertextException"}}, "Decrypt")
