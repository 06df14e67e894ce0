"""One stored connection and the engine that keeps it alive: real conditions on moto, a scripted provider, a clock."""

from dataclasses import replace
from typing import Any, Final

from consentry.aws.connections import DynamoConnections
from consentry.aws.escrow import kept, written
from consentry.connect.store import Arrival
from consentry.model import Connection, ConnectionKey, Field, Grant, Secret
from consentry.oauth.provider import Provider, RefreshBehaviour, Rotation
from consentry.oauth.wire import TokenGrant
from consentry.ports import Commit, CommitOutcome, TokenEndpointClient
from consentry.refresh.engine import RefreshConnection, Refreshed
from consentry.refresh.guard import Guard
from consentry.tokens import grant_secrets
from tests.support.catalogue import CRM, METRICS, FakeCatalogue
from tests.support.clock import FakeClock
from tests.support.deployment import Deployment
from tests.support.engines import engine_of
from tests.support.escrow import FakeEscrow

STRICT: Final = RefreshBehaviour(rotation=Rotation.ROTATES)
FORGIVING: Final = RefreshBehaviour(rotation=Rotation.ROTATES, reuse_grace_seconds=600)
STATIC: Final = RefreshBehaviour(rotation=Rotation.NONE)
LIFETIME: Final = 1800
FIRST_ACCESS: Final = "CNRY-access-first"
FIRST_REFRESH: Final = "CNRY-refresh-5d2f8b04c6e19a73"


class Keepable:
    """A table that takes a refresh's commit only if it could come back from escrow as it was."""

    def __init__(self, table: DynamoConnections) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the table has
        return getattr(self._table, name)

    def commit(self, commit: Commit) -> CommitOutcome:
        assert kept(written(commit)) == commit
        return self._table.commit(commit)


class Vaulted:
    """A connection of `acme`, connected now; `engine` looks at it with the deployment's clock and provider."""

    def __init__(self, deployment: Deployment, behaviour: RefreshBehaviour = STRICT) -> None:
        self.deployment = deployment
        self.clock: FakeClock = deployment.clock
        self.clock.remaining = 45.0
        self.provider = deployment.provider
        self.crm = replace(CRM, refresh=behaviour)
        self.key = ConnectionKey("acme", "crm")
        self.epoch = 1
        self.escrow = FakeEscrow()
        self.guard = Guard(clock=self.clock, randomness=deployment.randomness, records=deployment.health)

    def connect(self, *, refresh_token: str | None = FIRST_REFRESH, expires_in: int | None = LIFETIME) -> None:
        tokens = self._tokens(refresh_token, expires_in)
        self._store(Grant.AUTHORIZATION_CODE, self.crm, tokens, {})

    def connect_with_credentials(self) -> None:
        self.key = ConnectionKey("acme", "metrics")
        credentials = {"client_id": Secret("customer"), "client_secret": Secret("CNRY-customer-secret")}
        self._store(Grant.CLIENT_CREDENTIALS, METRICS, self._tokens(None, LIFETIME), credentials)

    def engine(self, provider_client: TokenEndpointClient | None = None) -> RefreshConnection:
        ports = {
            "clock": self.clock,
            "randomness": self.deployment.randomness,
            "connections": Keepable(self.deployment.connections),
            "erasures": self.deployment.erasures,
            "catalogue": FakeCatalogue(self.crm, METRICS),
            "secrets": self.deployment.secrets,
            "envelopes": self.deployment.envelopes,
            "provider_client": provider_client or self.provider,
            "escrow": self.escrow,
            "guard": self.guard,
            "epoch": self.epoch,
            "min_refresh_seconds": 60,
        }
        return engine_of(ports)

    def refresh(self, rejected_gen: int | None = None) -> Refreshed:
        """Run the engine once, in an invocation of its own."""
        self.clock.remaining = 45.0
        return self.engine()(self.key, rejected_gen=rejected_gen)

    def fall_due(self) -> None:
        self.clock.time = float(self.record.due_at or 0)

    @property
    def record(self) -> Connection:
        record = self.deployment.connections.read(self.key)
        assert record is not None
        return record

    @property
    def access_token(self) -> str:
        context = self.key.encryption_context(Field.ACCESS_TOKEN)
        return self.deployment.envelopes.open(self.record.access_token, context).reveal()

    @property
    def refresh_token(self) -> str:
        context = self.key.encryption_context(Field.GRANT)
        return grant_secrets(self.deployment.envelopes.open(self.record.grant, context))["refresh_token"].reveal()

    @staticmethod
    def _tokens(refresh_token: str | None, expires_in: int | None) -> TokenGrant:
        return TokenGrant(
            access_token=Secret(FIRST_ACCESS),
            token_type="Bearer",
            expires_in_seconds=expires_in,
            refresh_token=Secret(refresh_token) if refresh_token else None,
            scopes=("contacts",),
            metadata={"hub_id": 4711},
            account="4711",
        )

    def _store(self, grant: Grant, provider: Provider, tokens: TokenGrant, credentials: dict[str, Secret]) -> None:
        arrival = Arrival(
            key=self.key,
            provider=provider,
            grant_type=grant,
            client_id="crm-client",
            tokens=tokens,
            account=tokens.account,
            metadata=tokens.metadata,
            credentials=credentials,
        )
        store = self.deployment.store
        store(arrival, store.sealing_keys(self.key), store.connections.read(self.key))
        # What connecting cost is not what refreshing costs.
        self.deployment.dynamo.calls.clear()
        self.deployment.envelopes.opened.clear()
        self.deployment.envelopes.sealing.clear()
