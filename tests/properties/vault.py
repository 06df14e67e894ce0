"""One vault in memory for one example: real engine, adapters and conditions, and any kind of provider."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import cache
from typing import Any, Final

from consentry.aws.connections import DynamoConnections
from consentry.aws.dynamodb import from_item
from consentry.catalogue.load import BUILT_IN, load_directory
from consentry.model import ConnectionKey, Field, Grant, Secret
from consentry.oauth.provider import Provider, RefreshBehaviour, Rotation
from consentry.oauth.wire import HttpAnswer, TokenGrant, TokenRequest
from consentry.tokens import grant_secrets
from consentry.web import work as functions
from tests.simulation.stand_ins import InTurn
from tests.support.catalogue import CRM, METRICS, FakeCatalogue
from tests.support.deployment import Deployment
from tests.support.dynamo import MemoryDynamo
from tests.support.expressions import Item
from tests.support.logs import recorded
from tests.support.provider import FakeProvider, Step
from tests.support.tables import create_tables
from tests.support.vaulted import FORGIVING, LIFETIME, STATIC, STRICT, Vaulted

MARK: Final = "CNRY-"
KINDS: Final = (
    "strict", "grace", "none", "remint", "elaborate",
    "hubspot", "hubspot-ticketing", "hotjar", "hotjar-code", "hotmart", "hotmart-code",
)  # fmt: skip
APP: Final = ConnectionKey("acme", "app")


@cache
def kinds() -> dict[str, Provider]:
    """Return the providers by name: each kind of rotation, one with every option of an answer, the built-in ones."""
    elaborate = replace(
        CRM.token,
        scopes_field="data.scopes", scope_separator=",", keep=("hub_id", "team.id", "scopes"), account_field="hub_id",
        error_fields=("error", "status", "error.code"), error_in_success_field="failed",
        refresh_expires_in_field="refresh_expires_in", expires_in_default_seconds=None,
    )  # fmt: skip
    return {
        "strict": _crm(STRICT),
        "grace": _crm(FORGIVING),
        "none": _crm(STATIC),
        "remint": METRICS,
        "elaborate": replace(
            _crm(RefreshBehaviour(rotation=Rotation.ROTATES, idle_lifetime_seconds=86400)), token=elaborate
        ),
        **load_directory(BUILT_IN),
    }


def _crm(behaviour: RefreshBehaviour) -> Provider:
    return replace(CRM, refresh=behaviour)


class Answering(FakeProvider):
    """A token endpoint that treats every request of an invocation alike: one answer, or one way not to answer."""

    def __init__(self, step: Step | None = None) -> None:
        super().__init__()
        self.step = step

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        assert self.step is not None, "a request where none may be sent"
        self.script = [self.step]
        return super().send(request, deadline_seconds=deadline_seconds)


class MemoryVault(Vaulted):
    """`Vaulted` without moto: made in under a millisecond, so that every example has its own."""

    def __init__(self, provider: Provider = CRM) -> None:
        self.memory = MemoryDynamo(self._written)
        self.writes: list[tuple[Item | None, Item | None]] = []
        tables = create_tables(self.memory.as_client)
        super().__init__(Deployment(self.memory.as_client, tables, FakeCatalogue(provider)))
        self.table = tables["ConnectionsTable"]
        self.answering = Answering()
        self.provider = self.deployment.provider = self.answering
        self.crm = provider
        self.key = APP

    def _written(self, table: str, before: Item | None, after: Item | None) -> None:
        if table.endswith("ConnectionsTable"):
            self.writes.append((before, after))

    def connect_as(self, key: ConnectionKey, *, expires_in: int | None = LIFETIME) -> None:
        """Store a first grant of the kind that the provider gives, and let it fall due."""
        self.key = key
        if self.crm.grant is Grant.CLIENT_CREDENTIALS:
            inputs = {"client_id": Secret("customer"), "client_secret": Secret(f"{MARK}customer-secret")}
            self._store(Grant.CLIENT_CREDENTIALS, self.crm, self._first(None, expires_in), inputs)
        else:
            self._store(Grant.AUTHORIZATION_CODE, self.crm, self._first(f"{MARK}refresh-first", expires_in), {})

    @staticmethod
    def _first(refresh_token: str | None, expires_in: int | None) -> TokenGrant:
        return TokenGrant(
            access_token=Secret(f"{MARK}access-first"), token_type="Bearer", expires_in_seconds=expires_in,
            refresh_token=Secret(refresh_token) if refresh_token else None, scopes=("contacts",),
            metadata={"hub_id": 4711}, account="4711",
        )  # fmt: skip

    @property
    def connections(self) -> DynamoConnections:
        return self.deployment.connections

    def row(self, key: ConnectionKey | None = None) -> dict[str, Any]:
        """Return the stored attributes as plain values; empty if there is no record."""
        return from_item(self.item(key or self.key))

    def item(self, key: ConnectionKey) -> Item:
        wanted = {"tenant": {"S": key.tenant}, "connection": {"S": key.sort_key}}
        found: Item = self.memory.get_item(TableName=self.table, Key=wanted).get("Item", {})
        return found

    def put(self, item: Item) -> None:
        """Place an item as another version, or a mistake, may have left it."""
        self.memory.put_item(TableName=self.table, Item=item)
        self.writes.clear()

    def opened(self, row: Mapping[str, Any], key: ConnectionKey | None = None) -> tuple[str, dict[str, str]]:
        """Decrypt a row's access token and grant."""
        owner, envelopes = key or self.key, self.deployment.envelopes
        token = envelopes.open(row["access_token"], owner.encryption_context(Field.ACCESS_TOKEN)).reveal()
        if "grant" not in row:
            return token, {}
        grant = grant_secrets(envelopes.open(row["grant"], owner.encryption_context(Field.GRANT)))
        return token, {name: secret.reveal() for name, secret in grant.items()}


@contextmanager
def overheard() -> Iterator[Callable[[], str]]:
    """Yield a function that returns all that was logged and printed until then."""
    with recorded() as log, redirect_stdout(io.StringIO()) as printed:
        yield lambda: log.text + printed.getvalue()


@contextmanager
def batches_in_turn() -> Iterator[None]:
    place: Any = functions
    threads, place.ThreadPoolExecutor = place.ThreadPoolExecutor, InTurn
    try:
        yield
    finally:
        place.ThreadPoolExecutor = threads
