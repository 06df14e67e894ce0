"""The process that is measured: `python -m benchmarks.reading.reader ROUNDS READS HITS`; says its figures as JSON.

CPU of this process alone, in microseconds; bare boto3 and the vault take turns, so that both meet the same machine.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Final

import boto3

from benchmarks.reading.endpoint import KEY, KEY_ARN, TOKEN, WRAPPED
from consentry import Vault
from consentry.model import Field
from consentry.read import CACHE_SECONDS

_TABLE: Final = "connections"


class Later:
    """A clock by which everything that was cached is out of date at each look."""

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        self._now += CACHE_SECONDS
        return self._now


def bare() -> Callable[[], object]:
    """Return the two calls as anybody would write them with boto3, without looking at what they answer."""
    dynamodb, kms = boto3.client("dynamodb"), boto3.client("kms")
    key = {"tenant": {"S": KEY.tenant}, "connection": {"S": KEY.sort_key}}
    context = KEY.encryption_context(Field.ACCESS_TOKEN)

    def read() -> object:
        dynamodb.get_item(TableName=_TABLE, Key=key)
        return kms.decrypt(CiphertextBlob=WRAPPED, KeyId=KEY_ARN, EncryptionContext=context)

    return read


def vault(clock: Callable[[], float]) -> Callable[[], object]:
    own = Vault(table=_TABLE, clock=clock)
    if own.token(KEY.tenant, KEY.integration).access_token.reveal() != TOKEN:
        message = "the vault read another token than the endpoint has"
        raise SystemExit(message)
    return lambda: own.token(KEY.tenant, KEY.integration)


def cpu_us(act: Callable[[], object], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - begun) / times * 1e6


def main() -> None:
    rounds, reads, hits = map(int, sys.argv[1:4])
    plain, miss, hit = bare(), vault(Later()), vault(time.time)
    for warm in (plain, miss):
        cpu_us(warm, reads)
    pairs = [(cpu_us(plain, reads), cpu_us(miss, reads)) for _ in range(rounds)]
    cached = [cpu_us(hit, hits) for _ in range(rounds)]
    sys.stdout.write(json.dumps({"pairs": pairs, "cached": cached}) + "\n")


if __name__ == "__main__":
    main()
