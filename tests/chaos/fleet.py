"""The connections of a run: their provider files, their consents, and what their records say."""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from consentry.aws.keys import KmsEnvelopes
from consentry.errors import ConsentryError
from consentry.model import ConnectionKey, Field
from consentry.tokens import grant_secrets, stored_refresh_token
from dev.acme.trouble import Trouble
from dev.outages import OBSERVER
from dev.ready import Ready
from tests.chaos.authority import Authority, token_id
from tests.chaos.evidence import Held
from tests.chaos.plan import GRACE_SECONDS, INTEGRATIONS_EACH, PROVIDERS, Plan
from tests.support.person import Company, consent_url

SECRET: Final = "CNRY-chaos-client-secret-41c7"
AT_ONCE: Final = 4
_TRIES: Final = 5
_PROVIDER: Final = """
id = "{kind}"
name = "A {kind} provider"
grant = "authorization_code"
checked = 2026-11-01
sources = ["https://datatracker.ietf.org/doc/html/rfc6749"]

[authorization]
url = "{server}/auth.example/authorize"
pkce = "required"
default_scopes = ["contacts"]
issuer = "{server}/auth.example"
issuer_required = true

[token]
url = "{server}/auth.example/token"
client_authentication = "client_secret_basic"
body = "form"

[refresh]
rotation = "rotates"
reuse_grace_seconds = {grace}
"""

type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """One connection; `kind` names the server that its grant lives at."""

    tenant: str
    integration: str
    kind: str

    @property
    def key(self) -> ConnectionKey:
        return ConnectionKey(self.tenant, self.integration)


def grace_of(kind: str) -> int:
    return GRACE_SECONDS if kind == "grace" else 0


def integrations_of(kind: str) -> list[str]:
    return [f"{kind}-{number}" for number in range(INTEGRATIONS_EACH)]


def write_files(folder: Path, authorities: Mapping[str, Authority]) -> dict[str, str]:
    """Write provider and integration files; return the options that make the stack read them."""
    for kind, authority in authorities.items():
        text = _PROVIDER.format(kind=kind, server=authority.url, grace=grace_of(kind))
        (folder / f"{kind}.toml").write_text(text)
    offers = [
        {"id": each, "provider": kind, "client_id": each, "client_secret": SECRET}
        for kind in authorities
        for each in integrations_of(kind)
    ]
    (folder / "integrations.json").write_text(json.dumps(offers))
    return {"PROVIDERS": str(folder), "INTEGRATIONS": str(folder / "integrations.json")}


def members_of(plan: Plan) -> list[Member]:
    """Spread the connections over kinds and integrations, always in the same way."""
    kinds = [kind for kind, share in PROVIDERS.items() for _ in range(share)]
    found = []
    for number in range(plan.connections):
        kind = kinds[number % len(kinds)]
        integration = integrations_of(kind)[number // len(kinds) % INTEGRATIONS_EACH]
        found.append(Member(f"tenant-{number}", integration, kind))
    return found


class LocalSession(boto3.Session):
    """A session whose clients talk to the local AWS endpoint; `extra` goes into their user agent."""

    def __init__(self, ready: Ready, extra: str = "") -> None:
        super().__init__(ready.access_key_id, ready.secret_access_key, region_name=ready.region)
        self._endpoint = ready.aws_endpoint
        self._told = Config(user_agent_extra=extra, max_pool_connections=20)

    def client(self, service_name: Any, **options: Any) -> Any:  # type: ignore[override]  # noqa: ANN401 - boto3's clients have no common type
        config = self._told.merge(options.pop("config", Config()))
        return super().client(service_name, endpoint_url=self._endpoint, config=config, **options)


@dataclass
class Fleet:
    """`observer` sees through outages."""

    ready: Ready
    authorities: Mapping[str, Authority]
    members: Sequence[Member]
    _tokens: dict[tuple[Member, int], str] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        observer = LocalSession(self.ready, OBSERVER)
        self._dynamodb = observer.client("dynamodb")
        keys = {Field.GRANT: self.ready.keys["grant"]}
        self._envelopes = KmsEnvelopes(observer.client("kms"), keys=keys, randomness=os.urandom)
        for kind, authority in self.authorities.items():
            for each in integrations_of(kind):
                authority.add_client(each, SECRET, f"{self.ready.base_url}/callback/{each}")

    def connect(self) -> None:
        """Every customer consents; a consent that fails raises."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self._connect, self.members):
                continue

    def _connect(self, member: Member) -> None:
        company = self._company(member)
        begun = self._begun(company, member)
        page = company.get(company.consents(consent_url(begun)))
        if not page.ok:
            raise AssertionError(f"{member.tenant} could not connect: {page.status_code}")

    def _begun(self, company: Company, member: Member) -> Mapping[str, Any]:
        """Begin, as often as a slow machine makes it necessary: nothing is under test yet."""
        for _ in range(_TRIES):
            with suppress(Trouble):
                return company.begin(member.tenant, member.integration, completion="direct", return_url="")
        return company.begin(member.tenant, member.integration, completion="direct", return_url="")

    def _company(self, member: Member) -> Company:
        """A browser for each thread, because its cookies are its own."""
        if not hasattr(self._local, "company"):
            self._local.company = Company(self.ready, self.authorities[member.kind].url)
        company: Company = self._local.company
        return company

    def row(self, member: Member) -> Row:
        """The record now, whatever is away."""
        key = {"tenant": {"S": member.tenant}, "connection": {"S": member.key.sort_key}}
        table = self.ready.tables["connections"]
        return _plain(self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"])

    def rows(self) -> Iterator[tuple[Member, Row]]:
        known = {(each.tenant, each.key.sort_key): each for each in self.members}
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self.ready.tables["connections"], ConsistentRead=True
        )
        for item in (item for page in pages for item in page["Items"]):
            row = _plain(item)
            if (row["tenant"], row["connection"]) in known:
                yield known[row["tenant"], row["connection"]], row

    def refresh_token(self, member: Member, row: Row) -> str:
        """Open what is stored; empty if it cannot be opened."""
        known = (member, int(row["gen"]))
        if known not in self._tokens:
            try:
                opened = self._envelopes.open(row["grant"].value, member.key.encryption_context(Field.GRANT))
                self._tokens[known] = stored_refresh_token(grant_secrets(opened)).reveal()
            except ConsentryError:
                return ""
        return self._tokens[known]

    def held(self, member: Member, row: Row, now: float) -> Held:
        token = self.refresh_token(member, row)
        return Held(
            name=f"{member.tenant}/{member.key.sort_key}",
            status=row["status"],
            cause=row.get("status_cause", ""),
            in_doubt=row.get("pend_gen") == row["gen"],
            due="due_at" in row and "due_shard" in row,
            ended=row["expires_at"] <= now,
            last_error=row.get("last_error", ""),
            token=token_id(token),
            grant=self.authorities[member.kind].grant_of(token),
        )


def served_until(row: Row) -> float:
    """The end of a record's token as readers see it: a minute, or a tenth of a shorter life, before its own end."""
    expires_at, begun = float(row["expires_at"]), float(row["refreshed_at"])
    return expires_at - min(60.0, (expires_at - begun) / 10)


def _plain(item: Mapping[str, Any]) -> Row:
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}
