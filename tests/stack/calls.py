"""What the functions of a running stack, and those who sign as somebody, asked of AWS, as its endpoint recorded it."""

import http.client
import json
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import certifi
import pytest

from consentry import Vault
from dev.account import key_id_of
from dev.acme.consentry_api import Consentry
from dev.ready import Ready
from dev.recording import KEPT, PATH, Call
from tests.infrastructure.iam.asked import route
from tests.infrastructure.iam.names import in_these_names
from tests.support.account import client_of, session_of


@dataclass
class Calls:
    ready: Ready

    def since(self, number: int) -> list[Call]:
        """Return every call after the one with this number; none was forgotten."""
        told = self._told(number)
        assert told["seen"] - number <= KEPT, "more calls than the AWS endpoint remembers: ask for them in between"
        return [in_these_names(Call(**call), self.ready) for call in told["calls"]]

    def now(self) -> int:
        """Return the number of the latest call."""
        seen: int = self._told(sys.maxsize)["seen"]
        return seen

    @contextmanager
    def during(self) -> Iterator[list[Call]]:
        """Yield a list that holds, after the block, the calls that were made in it."""
        made: list[Call] = []
        before = self.now()
        yield made
        made += self.since(before)

    def _told(self, after: int) -> dict[str, Any]:
        address = urllib.parse.urlsplit(self.ready.aws_endpoint)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request("GET", f"{PATH}?after={after}")
            told: dict[str, Any] = json.loads(connection.getresponse().read())
            return told
        finally:
            connection.close()


@dataclass
class Consumer:
    """Somebody with a role of their own: the AWS endpoint sees `name`, and `signed` has what the API was asked."""

    ready: Ready
    name: str
    signed: list[Call] = field(default_factory=list)

    @property
    def session(self) -> boto3.Session:
        return session_of(key_id_of(self.name), self.ready.secret_access_key, self.ready.region)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        return client_of(self.session, service, self.ready.aws_endpoint)

    @contextmanager
    def vault(self) -> Iterator[Vault]:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", self.ready.aws_endpoint)
            environment.setenv("CONSENTRY_API_URL", self.ready.base_url)
            environment.setenv("REQUESTS_CA_BUNDLE", self.ready.ca_bundle or certifi.where())
            table, function = self.ready.tables["connections"], self.ready.functions["RefreshFunction"]
            yield Vault(table=table, refresh_function=function, session=self.session)

    @property
    def consentry(self) -> Consentry:
        """The signed API; who may ask for what is decided elsewhere, so each request is remembered."""
        return _Remembering(self.ready, self.name, self.signed)


class _Remembering(Consentry):
    def __init__(self, ready: Ready, name: str, signed: list[Call]) -> None:
        super().__init__(ready)
        self._name = name
        self._signed = signed

    def _call(self, method: str, path: str, content: Mapping[str, object] | None = None) -> dict[str, Any]:
        self._signed.append(replace(route(f"{method}{path.partition('?')[0]}"), caller=self._name))
        return super()._call(method, path, content)
