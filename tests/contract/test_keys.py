"""Encryption under KMS keys, against moto's KMS in this process: real AES-GCM, real encryption contexts."""

import itertools
import os
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import aws_encryption_sdk
import boto3
import botocore.session
import pytest
from aws_encryption_sdk.identifiers import Algorithm
from botocore.exceptions import ClientError, ConnectTimeoutError
from botocore.model import OperationModel
from moto import mock_aws
from mypy_boto3_kms import KMSClient

from consentry.aws.keys import KmsEnvelopes
from consentry.envelope import parse
from consentry.errors import ConsentryError, Misconfigured, UnreadableRecord
from consentry.model import ConnectionKey, Field, Secret
from consentry.ports import Envelopes, StorageUnavailable

REGION = "eu-central-1"
TOKEN = "CNRY-access-8d1f0b7a6c3e4952"
KEY = ConnectionKey("acme", "hubspot")
CONTEXT = KEY.encryption_context(Field.ACCESS_TOKEN)
ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def by_field(access_key: str, grant_key: str) -> dict[Field, str]:
    return {Field.ACCESS_TOKEN: access_key, Field.GRANT: grant_key, Field.FLOW: grant_key}


class TwoKeys:
    """Two KMS keys, the envelopes over them, and the calls that they cost."""

    def __init__(self) -> None:
        client = boto3.client("kms", region_name=REGION)
        self.access_key = client.create_key()["KeyMetadata"]["Arn"]
        self.grant_key = client.create_key()["KeyMetadata"]["Arn"]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        client.meta.events.register("provide-client-params.kms.*", self._count)
        self.kms = client
        self.envelopes = KmsEnvelopes(client, keys=by_field(self.access_key, self.grant_key), randomness=os.urandom)

    def _count(self, *, params: dict[str, Any], model: OperationModel, **_others: object) -> None:
        self.calls.append((model.name, params))

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def sealed(self, text: str = TOKEN, context: dict[str, str] = CONTEXT) -> bytes:
        return self.envelopes.sealing_key(context).seal(Secret(text))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoKeys]:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    with mock_aws():
        yield TwoKeys()


class BrokenKms:
    """A KMS that answers every call with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def generate_data_key(self, **_arguments: object) -> NoReturn:
        raise self._error

    decrypt = generate_data_key


def both(*, access_key: str, grant_key: str) -> dict[Field, str]:
    return {Field.ACCESS_TOKEN: access_key, Field.GRANT: grant_key, Field.FLOW: grant_key}


def broken(error: Exception) -> KmsEnvelopes:
    kms = cast("KMSClient", BrokenKms(error))
    return KmsEnvelopes(kms, keys=by_field(ARN, ARN), randomness=os.urandom)


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": TOKEN}}, "Decrypt")


def test_the_adapter_is_the_port(keys: TwoKeys) -> None:
    port: Envelopes = keys.envelopes
    assert port.open(port.sealing_key(CONTEXT).seal(Secret(TOKEN)), CONTEXT).reveal() == TOKEN


def test_sealing_costs_one_call_made_before_anything_is_sealed(keys: TwoKeys) -> None:
    key = keys.envelopes.sealing_key(CONTEXT)
    assert keys.operations == ["GenerateDataKey"]
    assert key.seal(Secret(TOKEN)) != key.seal(Secret(TOKEN))
    assert keys.operations == ["GenerateDataKey"]


def test_opening_costs_one_call_that_names_key_and_context(keys: TwoKeys) -> None:
    ciphertext = keys.sealed()
    keys.calls.clear()
    assert keys.envelopes.open(ciphertext, CONTEXT).reveal() == TOKEN
    (operation, arguments), *others = keys.calls
    assert (operation, others) == ("Decrypt", [])
    assert (arguments["KeyId"], arguments["EncryptionContext"]) == (keys.access_key, CONTEXT)


@pytest.mark.parametrize("what", Field)
def test_access_tokens_have_a_key_of_their_own(keys: TwoKeys, what: Field) -> None:
    context = KEY.encryption_context(what)
    expected = keys.access_key if what is Field.ACCESS_TOKEN else keys.grant_key
    assert parse(keys.sealed(context=context), context=context).key_arn == expected


def test_a_ciphertext_moved_to_another_tenant_connection_or_field_does_not_open_and_asks_kms_nothing(
    keys: TwoKeys,
) -> None:
    rows = [ConnectionKey(tenant, "hubspot", name) for tenant in ("acme", "globex", "acm") for name in ("a", "b")]
    contexts = [row.encryption_context(what) for row in rows for what in Field]
    ciphertexts = [keys.sealed(context=context) for context in contexts]
    keys.calls.clear()
    for (home, ciphertext), (place, context) in itertools.product(enumerate(ciphertexts), enumerate(contexts)):
        if home != place:
            with pytest.raises(UnreadableRecord):
                keys.envelopes.open(ciphertext, context)
    assert keys.calls == []


def test_a_ciphertext_whose_header_was_rewritten_for_another_row_yields_no_plaintext(keys: TwoKeys) -> None:
    stolen = keys.sealed().replace(b"acme", b"evil")
    with pytest.raises(UnreadableRecord):
        keys.envelopes.open(stolen, {**CONTEXT, "tenant": "evil"})


def test_a_ciphertext_under_a_foreign_key_is_refused_without_a_call(keys: TwoKeys) -> None:
    foreign = TwoKeys()
    ciphertext = foreign.sealed()
    keys.calls.clear()
    with pytest.raises(UnreadableRecord):
        keys.envelopes.open(ciphertext, CONTEXT)
    assert keys.calls == []


def test_an_access_token_sealed_under_the_grant_key_is_refused(keys: TwoKeys) -> None:
    swapped = KmsEnvelopes(keys.kms, keys=by_field(keys.grant_key, keys.access_key), randomness=os.urandom)
    with pytest.raises(UnreadableRecord):
        keys.envelopes.open(swapped.sealing_key(CONTEXT).seal(Secret(TOKEN)), CONTEXT)


def sdk_provider(key_arn: str) -> aws_encryption_sdk.StrictAwsKmsMasterKeyProvider:
    return aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(
        key_ids=[key_arn], botocore_session=botocore.session.Session()
    )


def test_the_aws_sdk_reads_what_we_store(keys: TwoKeys) -> None:
    plaintext, header = aws_encryption_sdk.EncryptionSDKClient(max_encrypted_data_keys=1).decrypt(
        source=keys.sealed(), key_provider=sdk_provider(keys.access_key)
    )
    assert (plaintext.decode(), header.encryption_context) == (TOKEN, CONTEXT)


def test_we_open_what_the_aws_sdk_sealed(keys: TwoKeys) -> None:
    ciphertext, _ = aws_encryption_sdk.EncryptionSDKClient().encrypt(
        source=TOKEN.encode(),
        key_provider=sdk_provider(keys.access_key),
        encryption_context=CONTEXT,
        algorithm=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    )
    assert keys.envelopes.open(ciphertext, CONTEXT).reveal() == TOKEN


def test_bytes_that_are_not_text_are_refused_and_not_shown(keys: TwoKeys) -> None:
    ciphertext, _ = aws_encryption_sdk.EncryptionSDKClient().encrypt(
        source=TOKEN.encode() + b"\xff",
        key_provider=sdk_provider(keys.access_key),
        encryption_context=CONTEXT,
        algorithm=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    )
    with pytest.raises(UnreadableRecord) as caught:
        keys.envelopes.open(ciphertext, CONTEXT)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("InvalidCiphertextException"), UnreadableRecord),
        (client_error("IncorrectKeyException"), UnreadableRecord),
        (client_error("AccessDeniedException"), StorageUnavailable),
        (client_error("DisabledException"), StorageUnavailable),
        (client_error("KMSInvalidStateException"), StorageUnavailable),
        (client_error("ThrottlingException"), StorageUnavailable),
        (ConnectTimeoutError(endpoint_url=TOKEN), StorageUnavailable),
    ],
)
def test_kms_errors_become_ours_and_carry_nothing_over(
    keys: TwoKeys, error: Exception, expected: type[ConsentryError]
) -> None:
    ciphertext = keys.sealed().replace(keys.access_key.encode(), ARN.encode())
    with pytest.raises(expected) as caught:
        broken(error).open(ciphertext, CONTEXT)
    assert caught.value.__suppress_context__
    assert TOKEN not in f"{caught.value!r} {caught.value.detail}"


def test_no_data_key_is_an_unavailable_key(keys: TwoKeys) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        broken(client_error("DisabledException")).sealing_key(CONTEXT)
    assert caught.value.detail == "kms:GenerateDataKey: DisabledException"


@pytest.mark.parametrize("arn", ["", "alias/grant", "arn:aws:kms:eu-central-1:111122223333:alias/grant"])
def test_a_key_must_be_named_by_its_arn(keys: TwoKeys, arn: str) -> None:
    with pytest.raises(Misconfigured, match="for grant must be the ARN"):
        KmsEnvelopes(keys.kms, keys=by_field(keys.access_key, arn), randomness=os.urandom)


def test_a_field_without_a_key_is_an_error_that_costs_no_call(keys: TwoKeys) -> None:
    envelopes = KmsEnvelopes(keys.kms, keys={Field.ACCESS_TOKEN: keys.access_key}, randomness=os.urandom)
    before = list(keys.operations)
    with pytest.raises(Misconfigured, match="no key for grant"):
        envelopes.sealing_key(KEY.encryption_context(Field.GRANT))
    assert keys.operations == before


def test_a_sealing_key_prints_nothing_of_itself(keys: TwoKeys) -> None:
    key = keys.envelopes.sealing_key(CONTEXT)
    assert repr(key._data_key) not in f"{key!r} {key}"
