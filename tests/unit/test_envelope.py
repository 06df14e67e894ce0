"""The encryption format, with AWS's own Encryption SDK as the oracle in both directions."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.identifiers import Algorithm
from aws_encryption_sdk.key_providers.base import MasterKey, MasterKeyConfig
from aws_encryption_sdk.structures import DataKey, EncryptedDataKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consentry.envelope import MAX_MESSAGE_BYTES, MAX_PLAINTEXT_BYTES, key_arn_of, open_sealed, parse, seal
from consentry.errors import InvalidRequest, UnreadableRecord

VECTORS = Path(__file__).parents[1] / "vectors" / "envelope.json"
KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DATA_KEY = bytes(range(32))
ENCRYPTED_DATA_KEY = b"what KMS returns beside the data key"
MESSAGE_ID = bytes(range(100, 132))
CONTEXT = {"tenant": "acme", "connection": "hubspot#default", "field": "access_token"}
PLAINTEXT = b"CNRY-access-3f2a9c7e5b1d4860"


class KnownKeyConfig(MasterKeyConfig):  # type: ignore[misc]  # the SDK is published without types
    provider_id = "aws-kms"


class KnownKey(MasterKey):  # type: ignore[misc]  # the SDK is published without types
    """A KMS key as AWS's SDK sees it, which always hands out the one data key of these tests."""

    provider_id = "aws-kms"
    _config_class = KnownKeyConfig
    data_key = DATA_KEY
    encrypted_data_key = ENCRYPTED_DATA_KEY

    def _generate_data_key(self, algorithm: object, encryption_context: object) -> DataKey:
        return DataKey(self.key_provider, self.data_key, self.encrypted_data_key)

    def _encrypt_data_key(self, data_key: object, algorithm: object, encryption_context: object) -> None:
        raise NotImplementedError

    def _decrypt_data_key(
        self, encrypted_data_key: EncryptedDataKey, algorithm: object, encryption_context: object
    ) -> DataKey:
        return DataKey(self.key_provider, self.data_key, encrypted_data_key.encrypted_data_key)


def sdk_client() -> aws_encryption_sdk.EncryptionSDKClient:
    return aws_encryption_sdk.EncryptionSDKClient(max_encrypted_data_keys=1)


def opened_by_sdk(message: bytes, key: KnownKey | None = None) -> tuple[bytes, dict[str, str]]:
    plaintext, header = sdk_client().decrypt(source=message, key_provider=key or KnownKey(key_id=KEY_ARN))
    return plaintext, header.encryption_context


def sealed_by_sdk(plaintext: bytes, context: Mapping[str, str], **options: object) -> bytes:
    options.setdefault("algorithm", Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY)
    message, _ = sdk_client().encrypt(
        source=plaintext, key_provider=KnownKey(key_id=KEY_ARN), encryption_context=dict(context), **options
    )
    return bytes(message)


def sealed(plaintext: bytes = PLAINTEXT, context: Mapping[str, str] = CONTEXT, message_id: bytes = MESSAGE_ID) -> bytes:
    return seal(
        plaintext,
        data_key=DATA_KEY,
        encrypted_data_key=ENCRYPTED_DATA_KEY,
        key_arn=KEY_ARN,
        context=context,
        message_id=message_id,
    )


def opened(message: bytes, context: Mapping[str, str] = CONTEXT, data_key: bytes = DATA_KEY) -> bytes:
    return open_sealed(parse(message, context=context), data_key)


def refusal(message: bytes, context: Mapping[str, str] = CONTEXT, data_key: bytes = DATA_KEY) -> UnreadableRecord:
    with pytest.raises(UnreadableRecord) as caught:
        opened(message, context, data_key)
    return caught.value


def test_what_was_sealed_opens() -> None:
    assert opened(sealed()) == PLAINTEXT


def test_a_parsed_message_tells_key_and_data_key_before_anything_is_decrypted() -> None:
    parsed = parse(sealed(), context=CONTEXT)
    assert (parsed.key_arn, parsed.encrypted_data_key) == (KEY_ARN, ENCRYPTED_DATA_KEY)


def test_the_plaintext_is_nowhere_in_the_message() -> None:
    assert PLAINTEXT not in sealed()


def test_two_messages_under_one_data_key_share_no_ciphertext() -> None:
    one, other = (parse(sealed(message_id=bytes([n]) * 32), context=CONTEXT) for n in (1, 2))
    assert one.ciphertext != other.ciphertext
    assert one.commitment != other.commitment


@pytest.mark.parametrize("plaintext", [b"", b"x", PLAINTEXT, b"y" * 4096, b"z" * MAX_PLAINTEXT_BYTES])
def test_the_aws_sdk_reads_what_we_write(plaintext: bytes) -> None:
    assert opened_by_sdk(sealed(plaintext)) == (plaintext, CONTEXT)


@pytest.mark.parametrize("options", [{}, {"frame_length": MAX_PLAINTEXT_BYTES}])
def test_we_read_what_the_aws_sdk_writes(options: dict[str, int]) -> None:
    assert opened(sealed_by_sdk(PLAINTEXT, CONTEXT, **options)) == PLAINTEXT


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
contexts = st.dictionaries(text.filter(lambda name: not name.startswith("aws-crypto-")), text, max_size=6)


@settings(max_examples=60, deadline=None)
@given(plaintext=st.binary(max_size=3000), context=contexts, message_id=st.binary(min_size=32, max_size=32))
def test_any_text_and_any_context_pass_both_ways(plaintext: bytes, context: dict[str, str], message_id: bytes) -> None:
    assert opened_by_sdk(sealed(plaintext, context, message_id)) == (plaintext, context)
    assert opened(sealed_by_sdk(plaintext, context), context) == plaintext


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_changed_byte_is_refused(flip: int) -> None:
    message = sealed()
    for position, byte in enumerate(message):
        refusal(message[:position] + bytes([byte ^ flip]) + message[position + 1 :])


def test_every_truncation_is_refused() -> None:
    message = sealed()
    for length in range(len(message)):
        refusal(message[:length])


@pytest.mark.parametrize("trailing", [b"\0", b"x", b"\0\0", PLAINTEXT])
def test_trailing_bytes_are_refused(trailing: bytes) -> None:
    assert refusal(sealed() + trailing).detail == "trailing bytes"


@pytest.mark.parametrize(
    "context",
    [
        {},
        {**CONTEXT, "tenant": "globex"},
        {**CONTEXT, "connection": "hubspot#other"},
        {**CONTEXT, "field": "grant"},
        {**CONTEXT, "more": ""},
        {name: CONTEXT[name] for name in ("tenant", "connection")},
        {**CONTEXT, "tenant": "ACME"},
    ],
)
def test_a_message_for_another_context_is_refused_before_any_key_is_needed(context: dict[str, str]) -> None:
    with pytest.raises(UnreadableRecord):
        parse(sealed(), context=context)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_two_different_contexts_never_open_each_others_messages(data: st.DataObject) -> None:
    one, other = data.draw(contexts), data.draw(contexts)
    if one != other:
        refusal(sealed(context=one), context=other)
    assert opened(sealed(context=one), one) == PLAINTEXT


@pytest.mark.parametrize("data_key", [bytes(32), b"", DATA_KEY[:31], DATA_KEY + b"\0"])
def test_another_data_key_is_refused(data_key: bytes) -> None:
    refusal(sealed(), data_key=data_key)


def test_a_commitment_to_another_key_is_refused_although_the_tags_are_right() -> None:
    forged = replace(parse(sealed(), context=CONTEXT), commitment=bytes(32))
    with pytest.raises(UnreadableRecord) as caught:
        open_sealed(forged, DATA_KEY)
    assert caught.value.detail == "commitment to another key"


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384},
        {"frame_length": 0},
        {"frame_length": 128},
    ],
)
def test_other_suites_and_framings_of_the_sdk_are_refused(options: dict[str, Any]) -> None:
    refusal(sealed_by_sdk(b"x" * 200, CONTEXT, **options))


def test_a_message_of_format_version_1_is_refused() -> None:
    policy = aws_encryption_sdk.CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    message, _ = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy).encrypt(
        source=PLAINTEXT,
        key_provider=KnownKey(key_id=KEY_ARN),
        encryption_context=CONTEXT,
        algorithm=Algorithm.AES_256_GCM_IV12_TAG16_HKDF_SHA256,
    )
    assert refusal(message).detail == "another version or suite"


def test_a_second_data_key_is_refused() -> None:
    message = sealed()
    start = message.index(b"\0\x07aws-kms")
    end = message.index(ENCRYPTED_DATA_KEY) + len(ENCRYPTED_DATA_KEY)
    doubled = message[: start - 2] + (2).to_bytes(2) + 2 * message[start:end] + message[end:]
    assert refusal(doubled).detail == "not exactly one data key"


def test_a_message_beyond_the_size_limit_is_refused_unread() -> None:
    assert refusal(bytes(MAX_MESSAGE_BYTES + 1)).detail == "message too long"


def test_a_message_that_declares_more_content_than_we_write_is_refused() -> None:
    large = sealed_by_sdk(b"x" * (MAX_PLAINTEXT_BYTES + 1), CONTEXT, frame_length=2 * MAX_PLAINTEXT_BYTES)
    assert refusal(large).detail == "content too long"


def test_a_secret_that_could_not_be_read_again_is_not_sealed() -> None:
    with pytest.raises(InvalidRequest) as caught:
        sealed(b"x" * (MAX_PLAINTEXT_BYTES + 1))
    assert str(MAX_PLAINTEXT_BYTES) in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_rubbish_is_refused_and_never_crashes(rubbish: bytes) -> None:
    refusal(rubbish)
    refusal(sealed()[:40] + rubbish)


def test_every_refusal_says_the_same_sentence_and_shows_no_content() -> None:
    message = sealed()
    refusals = [
        refusal(message[:-1]),
        refusal(message + b"x"),
        refusal(message, {}),
        refusal(message, data_key=bytes(32)),
        refusal(message[:-1] + bytes([message[-1] ^ 1])),
        refusal(b"\x01\x80" + message),
    ]
    assert len({str(each) for each in refusals}) == 1
    assert all(PLAINTEXT.decode() not in repr((each, each.detail, each.__context__)) for each in refusals)


def test_a_parsed_message_prints_its_key_name_and_nothing_else() -> None:
    assert repr(parse(sealed(), context=CONTEXT)) == f"Sealed(key_arn='{KEY_ARN}')"


def vectors() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(VECTORS.read_text())["vectors"]
    return content


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_a_published_vector_opens_here_and_with_the_aws_sdk(vector: dict[str, Any]) -> None:
    message, data_key, plaintext, encrypted_data_key = (
        base64.b64decode(vector[name]) for name in ("message", "data_key", "plaintext", "encrypted_data_key")
    )
    key = KnownKey(key_id=vector["key_arn"])
    key.data_key, key.encrypted_data_key = data_key, encrypted_data_key
    assert opened(message, vector["context"], data_key) == plaintext
    assert opened_by_sdk(message, key) == (plaintext, vector["context"])


OURS = [vector for vector in vectors() if vector["writer"] == "consentry"]


@pytest.mark.parametrize("vector", OURS, ids=lambda vector: vector["name"])
def test_our_own_vectors_are_written_the_same_today(vector: dict[str, Any]) -> None:
    written = seal(
        base64.b64decode(vector["plaintext"]),
        data_key=base64.b64decode(vector["data_key"]),
        encrypted_data_key=base64.b64decode(vector["encrypted_data_key"]),
        key_arn=vector["key_arn"],
        context=vector["context"],
        message_id=base64.b64decode(vector["message_id"]),
    )
    assert base64.b64encode(written).decode() == vector["message"]


def test_a_message_names_its_key_to_whoever_knows_no_context() -> None:
    assert key_arn_of(sealed()) == KEY_ARN


@pytest.mark.parametrize(
    "message", [b"", b"\x02\x04\x78", b"CNRY-text", sealed()[:80]], ids=["empty", "begun", "other", "cut"]
)
def test_what_is_no_message_names_no_key(message: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        key_arn_of(message)
