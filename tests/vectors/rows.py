"""The rows of the vectors, and what a reader makes of each: `cases()`."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mypy_boto3_kms import KMSClient

from consentry.aws.dynamodb import to_item
from consentry.aws.keys import KmsEnvelopes
from consentry.envelope import parse, seal
from consentry.model import ConnectionKey, Field, Secret
from tests.vectors.kms import KnownKms, published

NOW: Final = 1_800_000_000
ACCESS_KEY: Final = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GRANT_KEY: Final = "arn:aws:kms:eu-central-1:111122223333:key/abcd1234-34cd-12ab-ef56-ba0987654321"
ACME: Final = ConnectionKey("acme", "hubspot")
GLOBEX: Final = ConnectionKey("globex", "hubspot")
OPENS, REFUSED, TRAILED = "opens", "refused", "may open"
type Item = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A read of a row. `message` says whether the ciphertext alone opens; `seen` is the same row, read before."""

    name: str
    item: Item | None
    outcome: str
    message: str = OPENS
    token: Mapping[str, object] | None = None
    seen: Item | None = None
    key: ConnectionKey = field(default=ACME)


class Writer:
    """Seals as the vault does, with published data keys and message ids."""

    def __init__(self) -> None:
        self.kms = KnownKms()
        self._numbers = itertools.count(1)

    def sealed(
        self, text: str, key: ConnectionKey = ACME, what: Field = Field.ACCESS_TOKEN, arn: str = ACCESS_KEY
    ) -> bytes:
        kms = cast("KMSClient", self.kms)
        envelopes = KmsEnvelopes(kms, keys={what: arn}, randomness=self._randomness)
        return envelopes.sealing_key(key.encryption_context(what)).seal(Secret(text))

    def disguised(self, text: str, context: Mapping[str, str]) -> bytes:
        """Seal with a data key of ACME's row, and name another context in the message."""
        given = self.kms.generate_data_key(KeyId=ACCESS_KEY, EncryptionContext=context_of(ACME))
        return self._raw(text.encode(), given, context)

    def bytes_sealed(self, content: bytes) -> bytes:
        given = self.kms.generate_data_key(KeyId=ACCESS_KEY, EncryptionContext=context_of(ACME))
        return self._raw(content, given, context_of(ACME))

    def _raw(self, content: bytes, given: Mapping[str, Any], context: Mapping[str, str]) -> bytes:
        return seal(
            content,
            data_key=given["Plaintext"],
            encrypted_data_key=given["CiphertextBlob"],
            key_arn=ACCESS_KEY,
            context=context,
            message_id=self._randomness(32),
        )

    def _randomness(self, length: int) -> bytes:
        return published(f"message id {next(self._numbers)}", length)


def context_of(key: ConnectionKey) -> dict[str, str]:
    return key.encryption_context(Field.ACCESS_TOKEN)


def row(access_token: bytes | None, key: ConnectionKey = ACME, **changes: object) -> Item:
    """Return a row as DynamoDB shapes it: of a token that is a third through its half hour, unless told otherwise.

    A change to None leaves the attribute out.
    """
    values = {
        "tenant": key.tenant, "connection": key.sort_key, "v": 1, "status": "active", "gen": 3,
        "access_token": access_token, "token_type": "bearer", "expires_at": NOW + 1200, "refreshed_at": NOW - 600,
        "scopes": ["oauth", "tickets"], "metadata": {"hub_id": 4242, "region": "eu1"}, "account": "4242",
    } | changes  # fmt: skip
    return to_item({name: value for name, value in values.items() if value is not None})


def read(name: str, writer: Writer, **changes: object) -> Case:
    """Return the case of a row that is read."""
    key = cast("ConnectionKey", changes.pop("key", ACME))
    text = cast("str", changes.pop("text", f"CNRY-access-{published(name, 8).hex()}"))
    told: dict[str, object] = {
        "generation": 3, "token_type": "bearer", "expires_at": NOW + 1200, "account": "4242",
        "scopes": ["oauth", "tickets"], "metadata": {"hub_id": 4242, "region": "eu1"},
    }  # fmt: skip
    absent: dict[str, object] = {"token_type": "Bearer", "scopes": [], "metadata": {}, "account": ""}
    for attribute, value in changes.items():
        name_told = "generation" if attribute == "gen" else attribute
        if name_told in told:
            told[name_told] = absent.get(attribute) if value is None else value
    token = {"access_token": text, **told}
    return Case(name=name, item=row(writer.sealed(text, key), key, **changes), outcome="token", token=token, key=key)


def cases(writer: Writer) -> list[Case]:
    return [*_served(writer), *_not_served(writer), *_misshapen(writer), *_rolled_back(writer), *_refused(writer)]


def _served(writer: Writer) -> Iterator[Case]:
    yield read("an active connection", writer)
    yield read("a connection with a name of its own", writer, key=ConnectionKey("acme", "hubspot", "second"))
    yield read("the longest names", writer, key=ConnectionKey("t" * 63, "i" * 63, "n" * 63))
    yield read("a long token", writer, text="CNRY-access-" + published("long", 2048).hex())
    yield read("a number in the metadata beyond 2**53", writer, metadata={"account_id": 2**53 + 1})
    yield read("a token that does not end", writer, expires_at=None)
    yield read("only what every row has", writer, token_type=None, scopes=None, metadata=None, account=None)
    yield read("a grant that is gone, its last token still good", writer,
               status="reauth_required", status_cause="grant_revoked")  # fmt: skip
    yield read("a scope that is missing", writer, status="scope_insufficient", status_cause="scope_missing")
    yield read("a second before the last minute", writer, expires_at=NOW + 61, refreshed_at=NOW - 1739)
    yield read("a second before the last tenth of a short life", writer, expires_at=NOW + 11, refreshed_at=NOW - 89)


def _not_served(writer: Writer) -> Iterator[Case]:
    def refused(name: str, outcome: str, **changes: object) -> Case:
        sealed = writer.sealed("CNRY-access-not-to-be-served")
        return Case(name=name, outcome=outcome, item=row(sealed, ACME, **changes))

    yield Case(name="no row", outcome="not_connected", item=None)
    yield Case(name="disconnected", outcome="not_connected", item=row(None, status="deleting"))
    yield refused("disconnected, with a token that should not be there", "not_connected", status="deleting")
    yield refused("ended", "token_unavailable", expires_at=NOW - 1, refreshed_at=NOW - 1801)
    yield refused("the last minute", "token_unavailable", expires_at=NOW + 60, refreshed_at=NOW - 1740)
    yield refused("the last tenth of a short life", "token_unavailable", expires_at=NOW + 10, refreshed_at=NOW - 90)
    yield Case(name="no token yet", outcome="token_unavailable", item=row(None))
    yield refused("ended, and its grant is gone", "reauth_required",
                  expires_at=NOW - 1, status="reauth_required", status_cause="grant_revoked")  # fmt: skip


def _misshapen(writer: Writer) -> Iterator[Case]:
    def refused(name: str, outcome: str, attribute: str, value: Item | None) -> Case:
        item = row(writer.sealed("CNRY-access-of-a-misshapen-row"))
        changed = {each: kept for each, kept in item.items() if each != attribute}
        return Case(name=name, outcome=outcome, item=changed if value is None else changed | {attribute: value})

    for name, value in (("later", {"N": "2"}), ("unknown", None), ("textual", {"S": "1"}), ("true", {"BOOL": True})):
        yield refused(f"{name} record version", "misconfigured", "v", value)
    for name, value in (("no", None), ("a textual", {"S": "3"}), ("half a", {"N": "3.5"}), ("a true", {"BOOL": True})):
        yield refused(f"{name} generation", "unreadable_record", "gen", value)
    yield refused("no status", "unreadable_record", "status", None)
    yield refused("scopes that are no list", "unreadable_record", "scopes", {"S": "tickets"})
    yield refused("a textual token", "unreadable_record", "access_token", {"S": "CNRY-access-in-clear"})
    yield refused("a textual end", "unreadable_record", "expires_at", {"S": str(NOW + 1200)})


def _rolled_back(writer: Writer) -> Iterator[Case]:
    seen = row(writer.sealed("CNRY-access-seen"), gen=4, refreshed_at=NOW - 300)
    older = row(writer.sealed("CNRY-access-older"), gen=3, refreshed_at=NOW - 600)
    yield Case(name="rolled back", outcome="record_rolled_back", item=older, seen=seen)
    anew = read("made anew", writer, gen=1, refreshed_at=NOW - 1)
    yield Case(name=anew.name, outcome="token", item=anew.item, token=anew.token, seen=seen)


def _refused(writer: Writer) -> Iterator[Case]:
    def refused(name: str, sealed: bytes, message: str = REFUSED, key: ConnectionKey = ACME) -> Case:
        return Case(name=name, outcome="unreadable_record", item=row(sealed, key), message=message, key=key)

    whole = writer.sealed("CNRY-access-to-be-spoilt")
    second = ConnectionKey("acme", "hubspot", "second")
    yield refused("moved from another tenant", writer.sealed("CNRY-access-of-globex", GLOBEX))
    yield refused("moved from another connection", writer.sealed("CNRY-access-second", second))
    rewritten = whole.replace(b"acme", b"evil")
    yield refused("moved, its header rewritten", rewritten, key=ConnectionKey("evil", "hubspot"))
    yield refused("another row's header over this row's data key", writer.disguised("CNRY-a", context_of(GLOBEX)))
    yield refused("a fourth pair in the context", writer.disguised("CNRY-b", context_of(ACME) | {"more": ""}))
    yield refused("a grant", writer.sealed("CNRY-grant", what=Field.GRANT, arn=GRANT_KEY))
    yield refused("another field under the access key", writer.sealed("CNRY-grant", what=Field.GRANT))
    yield refused("under another key", writer.sealed("CNRY-access-c", arn=GRANT_KEY))
    yield refused("not text", writer.bytes_sealed(b"CNRY-\xff"), OPENS)
    yield refused("text that fits into no header", writer.sealed("CNRY-a\r\nb"), OPENS)
    yield refused("no text at all", writer.sealed(""), OPENS)
    for name, place in _places(whole).items():
        spoilt = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        yield refused(f"a bit flipped in: {name}", spoilt)
    for length in (1, 34, 100, len(whole) // 2, len(whole) - 16, len(whole) - 1):
        yield refused(f"truncated to {length} bytes", whole[:length])
    yield refused("message format 1", b"\x01" + whole[1:])
    yield refused("the suite with a signature", b"\x02\x05\x78" + whole[3:])
    yield refused("two data keys", _with_two_data_keys(whole))
    yield refused("a byte behind the end", whole + b"\0", TRAILED)


def _places(message: bytes) -> dict[str, int]:
    """Return where each part of a message begins, or a byte of it."""
    sealed = parse(message, context=context_of(ACME))
    header = len(sealed.header)
    return {
        "version": 0, "suite": 2, "message id": 3, "encryption context": message.index(b"acme"),
        "number of data keys": message.index(b"\0\x07aws-kms") - 1, "key provider": message.index(b"aws-kms"),
        "key": message.index(b"arn:"), "encrypted data key": message.index(sealed.encrypted_data_key),
        "content type": header - 37, "frame length": header - 35, "commitment": header - 32, "header tag": header,
        "final frame": header + 16, "frame number": header + 23, "nonce": header + 24, "length": header + 39,
        "ciphertext": header + 40, "frame tag": len(message) - 1,
    }  # fmt: skip


def _with_two_data_keys(message: bytes) -> bytes:
    blob = parse(message, context=context_of(ACME)).encrypted_data_key
    start, end = message.index(b"\0\x07aws-kms"), message.index(blob) + len(blob)
    return message[: start - 2] + (2).to_bytes(2) + 2 * message[start:end] + message[end:]
