"""The one account of the local stack: where its AWS endpoint is, and how to sign for it."""

import re
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config

from dev.signatures import Verifier

REGION: Final = "eu-central-1"
ACCESS_KEY_ID: Final = "LOCALSTACKEXAMPLE"
CALLER: Final = "LOCALCALLER-"  # and a function's logical id: the AWS endpoint sees who asks
_CREDENTIAL: Final = re.compile(r"Credential=([^/]+)/")

type Client = Any  # boto3 makes its clients at run time


def key_id_of(caller: str) -> str:
    """Return the access key id of a function by its logical id, or of another caller by a name of its own."""
    return CALLER + caller


def caller_of(authorization: str) -> str:
    """Return who signed an Authorization header; empty for the account itself."""
    found = _CREDENTIAL.search(authorization)
    return found[1].removeprefix(CALLER) if found and found[1].startswith(CALLER) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The secret access key is made anew for every run."""

    endpoint: str
    region: str = REGION
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)

    def client(self, service: str) -> Client:
        """Return the one client of a service, which all threads share."""
        return _client(self, service)

    def verifier(self) -> Verifier:
        return Verifier(access_key_id=self.access_key_id, secret_access_key=self.secret_access_key, region=self.region)


@cache
def _client(account: Account, service: str) -> Client:
    session: Any = boto3.session.Session(
        aws_access_key_id=account.access_key_id,
        aws_secret_access_key=account.secret_access_key,
        region_name=account.region,
    )
    config = Config(max_pool_connections=32, proxies={})
    return session.client(service, endpoint_url=account.endpoint, config=config)
