"""The published rows: made anew the same, read by a vault as they say, and their ciphertexts by AWS's own SDK."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any, cast

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from aws_encryption_sdk.key_providers.base import MasterKey, MasterKeyConfig
from aws_encryption_sdk.structures import DataKey, EncryptedDataKey
from boto3.session import Session
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidTag

from consentry import ConsentryError, Vault
from consentry.envelope import open_sealed, parse
from consentry.errors import UnreadableRecord
from consentry.read import CACHE_SECONDS
from consentry.record import READ_ATTRIBUTES
from tests.vectors.kms import KnownKms
from tests.vectors.make import RECORDS, text

VECTORS: dict[str, Any] = json.loads(RECORDS.read_text(encoding="utf-8"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"
NOW: int = VECTORS["now"]
ACCESS_KEY: str = VECTORS["access_key"]
OUTCOMES = {
    *("token", "not_connected", "reauth_required", "token_unavailable"),
    *("misconfigured", "unreadable_record", "record_rolled_back"),
}


class Aws:
    """What a vault asks of AWS: a table of one row, the published keys, and a refresh function that brings nothing."""

    region_name = "eu-central-1"

    def __init__(self, item: dict[str, Any] | None) -> None:
        self.item = item
        self._kms = KnownKms(VECTORS["kms"])

    def client(self, _service: str, *, config: object) -> "Aws":
        return self

    def get_item(self, **_request: object) -> dict[str, Any]:
        return {} if self.item is None else {"Item": self.item}

    def decrypt(self, **request: object) -> dict[str, object]:
        return self._kms.decrypt(**request)

    def invoke(self, **_request: object) -> dict[str, Any]:
        return {"Payload": io.BytesIO(b'{"outcome": "failed"}')}


class SdkKey(MasterKey):  # type: ignore[misc]  # the SDK is published without types
    """The published access key as AWS's SDK sees it."""

    provider_id = "aws-kms"
    _config_class = type("_Config", (MasterKeyConfig,), {"provider_id": "aws-kms"})

    def _generate_data_key(self, algorithm: object, encryption_context: object) -> DataKey:
        raise NotImplementedError

    def _encrypt_data_key(self, data_key: object, algorithm: object, encryption_context: object) -> None:
        raise NotImplementedError

    def _decrypt_data_key(
        self, encrypted_data_key: EncryptedDataKey, algorithm: object, encryption_context: dict[str, str]
    ) -> DataKey:
        wrapped = encrypted_data_key.encrypted_data_key
        kms = KnownKms(VECTORS["kms"])
        answer = kms.decrypt(CiphertextBlob=wrapped, KeyId=ACCESS_KEY, EncryptionContext=encryption_context)
        return DataKey(self.key_provider, answer["Plaintext"], wrapped)


@pytest.fixture(autouse=True)
def _access_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENTRY_ACCESS_KEY", ACCESS_KEY)


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


def item_of(case: dict[str, Any], which: str = "item") -> dict[str, Any] | None:
    item: dict[str, Any] | None = case.get(which)
    if item is None or "B" not in item.get("access_token", {}):
        return item
    return item | {"access_token": {"B": base64.b64decode(item["access_token"]["B"])}}


def ciphertext_of(case: dict[str, Any]) -> bytes:
    item = item_of(case)
    assert item is not None
    return bytes(item["access_token"]["B"])


def context_of(case: dict[str, Any]) -> dict[str, str]:
    return {"tenant": case["tenant"], "connection": case["connection"], "field": "access_token"}


def read_by_a_vault(case: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return how the read ends, by its code, and what is known of the token."""
    integration, name = case["connection"].split("#")
    aws, now = Aws(None), [float(NOW - CACHE_SECONDS)]
    vault = Vault(table="connections", refresh_function="refresh", session=cast("Session", aws), clock=lambda: now[0])
    if "seen" in case:
        aws.item = item_of(case, "seen")
        vault.token(case["tenant"], integration, name)
    aws.item, now[0] = item_of(case), NOW
    try:
        token = vault.token(case["tenant"], integration, name)
        secret = token.authorization.removeprefix("Bearer ")
    except ConsentryError as error:
        return error.code, None
    names = ("generation", "token_type", "expires_at", "account")
    told = {each: getattr(token, each) for each in names}
    return "token", {"access_token": secret, **told, "scopes": list(token.scopes), "metadata": dict(token.metadata)}


def opened_by_the_sdk(case: dict[str, Any]) -> bytes | None:
    """Return the content if it opens and says that it belongs to the row."""
    client = aws_encryption_sdk.EncryptionSDKClient(max_encrypted_data_keys=1)
    key = SdkKey(key_id=ACCESS_KEY)
    decryptor = client.stream(mode="decrypt", source=io.BytesIO(ciphertext_of(case)), key_provider=key)
    try:
        content, context = decryptor.read(), decryptor.header.encryption_context
    except (AWSEncryptionSDKClientError, ClientError, InvalidTag):
        return None
    finally:
        decryptor.footer = None  # or it complains of a missing one when it is thrown away
    return bytes(content) if context == context_of(case) else None


def opened_by_the_codec(case: dict[str, Any]) -> bytes | None:
    try:
        sealed = parse(ciphertext_of(case), context=context_of(case))
        answer = KnownKms(VECTORS["kms"]).decrypt(
            CiphertextBlob=sealed.encrypted_data_key, KeyId=ACCESS_KEY, EncryptionContext=context_of(case)
        )
        return open_sealed(sealed, cast("bytes", answer["Plaintext"])) if sealed.key_arn == ACCESS_KEY else None
    except (UnreadableRecord, ClientError):
        return None


CASES: list[dict[str, Any]] = VECTORS["cases"]
MESSAGES = [case for case in CASES if "message" in case]


def test_making_them_again_changes_nothing() -> None:
    assert text() == RECORDS.read_text(encoding="utf-8")


def test_every_way_for_a_read_to_end_is_among_them() -> None:
    assert {case["outcome"] for case in CASES} == OUTCOMES
    assert {case["message"] for case in MESSAGES} == {"opens", "refused", "may open"}


def test_the_document_names_every_attribute_that_a_reader_may_see_and_every_way_for_a_read_to_end() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    table = document.partition("| attribute | type |")[2].partition("\n\n")[0]
    names = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert names == set(READ_ATTRIBUTES)
    rules = document.partition("## What a reader must check")[2].partition("\n## ")[0]
    assert OUTCOMES - {"token"} == set(re.findall(r"\(`(\w+)`\)", rules))


def test_no_two_have_the_same_name() -> None:
    assert len({named(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_vault_reads_it_as_it_says(case: dict[str, Any]) -> None:
    assert read_by_a_vault(case) == (case["outcome"], case.get("token"))


@pytest.mark.parametrize("case", MESSAGES, ids=named)
def test_its_ciphertext_opens_or_not_with_the_codec_and_with_the_aws_sdk(case: dict[str, Any]) -> None:
    assert (opened_by_the_codec(case) is not None) == (case["message"] == "opens")
    content = opened_by_the_sdk(case)
    assert (content is not None) == (case["message"] != "refused")
    if case["outcome"] == "token":
        assert content == case["token"]["access_token"].encode()
