"""The one place where ports meet their adapters: lazily, once per process, and only what a function asks for."""

import logging
import os
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from consentry.config import Environment
from consentry.model import Field
from consentry.system import LambdaContext, SystemClock, SystemRandomness

if TYPE_CHECKING:
    from consentry.aws.connections import DynamoConnections
    from consentry.aws.escrow import SqsEscrow
    from consentry.aws.keys import KmsEnvelopes
    from consentry.aws.pending import DynamoSessions
    from consentry.aws.registry import DynamoIntegrations, LambdaRefreshRequests, SecretsManagerSecrets
    from consentry.catalogue.load import Catalogue
    from consentry.connect.authorize import Authorize
    from consentry.connect.callback import ReceiveCallback
    from consentry.connect.complete import Complete
    from consentry.connect.credentials import ConnectWithCredentials
    from consentry.connect.exchange import ExchangeCode
    from consentry.connect.sessions import CreateSession
    from consentry.connect.store import StoreTokens
    from consentry.connect.tickets import Tickets
    from consentry.http import ProviderClient
    from consentry.refresh.dispatch import Dispatch
    from consentry.refresh.engine import RefreshConnection
    from consentry.web.manage import ManageRoutes

_DEFAULT_PROVIDER_FILES: Final = "/opt/providers"
_MIN_REFRESH_SECONDS: Final = 60
# A call that hangs ends within three seconds, and within seven with its one retry: the budgets of an exchange, and of
# the refresh engine (which repeats its calls itself), count on it.
_CONNECT_SECONDS: Final = 1
_READ_SECONDS: Final = 2
_ATTEMPTS: Final = 2


class Wiring:
    """Adapters and use cases of one process. Nothing is read, imported or opened before it is asked for."""

    def __init__(self, environment: Environment, attempts: int = _ATTEMPTS) -> None:
        self.environment = environment
        self._attempts = attempts
        self.clock = SystemClock()
        self.randomness = SystemRandomness()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        """Return the process's one client of a service, all from one session."""
        if service not in self._clients:
            from botocore.config import Config

            # At DEBUG, botocore writes whole requests and answers: secrets among them.
            logging.getLogger("botocore").setLevel(logging.WARNING)

            config = Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": self._attempts},
            )
            self._clients[service] = self._session.client(service, config=config)
        return self._clients[service]

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - as above
        import boto3

        return boto3.Session()

    @cached_property
    def connections(self) -> "DynamoConnections":
        from consentry.aws.connections import DynamoConnections

        return DynamoConnections(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

    @cached_property
    def sessions(self) -> "DynamoSessions":
        from consentry.aws.pending import DynamoSessions

        return DynamoSessions(self.client("dynamodb"), self.environment.text("CONSENTRY_PENDING_TABLE"))

    @cached_property
    def integrations(self) -> "DynamoIntegrations":
        from consentry.aws.registry import DynamoIntegrations

        return DynamoIntegrations(self.client("dynamodb"), self.environment.text("CONSENTRY_INTEGRATIONS_TABLE"))

    @cached_property
    def secrets(self) -> "SecretsManagerSecrets":
        from consentry.aws.registry import SecretsManagerSecrets

        return SecretsManagerSecrets(self.client("secretsmanager"), self.environment.text("CONSENTRY_SECRETS_PREFIX"))

    @cached_property
    def envelopes(self) -> "KmsEnvelopes":
        from consentry.aws.keys import KmsEnvelopes

        grant = self.environment.variables.get("CONSENTRY_GRANT_KEY", "")
        access = self.environment.variables.get("CONSENTRY_ACCESS_KEY", "")
        keys = {Field.GRANT: grant, Field.FLOW: grant, Field.ACCESS_TOKEN: access}
        return KmsEnvelopes(
            self.client("kms"), keys={each: arn for each, arn in keys.items() if arn}, randomness=os.urandom
        )

    @cached_property
    def catalogue(self) -> "Catalogue":
        from consentry.catalogue.load import BUILT_IN, Catalogue

        added = self.environment.variables.get("CONSENTRY_PROVIDER_FILES") or _DEFAULT_PROVIDER_FILES
        origins = self.environment.listing("CONSENTRY_INSECURE_PROVIDER_ORIGINS")
        return Catalogue((BUILT_IN, Path(added)), origins)

    @cached_property
    def tickets(self) -> "Tickets":
        from consentry.aws.registry import read_mac_key
        from consentry.connect.tickets import Tickets

        return Tickets(read_mac_key(self.client("secretsmanager"), self.environment.text("CONSENTRY_MAC_SECRET")))

    @cached_property
    def provider_client(self) -> "ProviderClient":
        from consentry.http import ProviderClient

        return ProviderClient()

    @property
    def base_url(self) -> str:
        return self.environment.text("CONSENTRY_PUBLIC_BASE_URL").rstrip("/")

    @property
    def return_urls(self) -> frozenset[str]:
        return self.environment.listing("CONSENTRY_RETURN_URLS")

    @property
    def epoch(self) -> int:
        return self.environment.number("CONSENTRY_EPOCH", 1)

    @property
    def min_refresh_seconds(self) -> int:
        return self.environment.number("CONSENTRY_MIN_REFRESH_SECONDS", _MIN_REFRESH_SECONDS)

    @cached_property
    def authorize(self) -> "Authorize":
        from consentry.connect.authorize import Authorize

        return Authorize(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            base_url=self.base_url,
        )

    @cached_property
    def receive_callback(self) -> "ReceiveCallback":
        from consentry.connect.callback import ReceiveCallback

        return ReceiveCallback(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            exchange=lambda: self.exchange,
        )

    @cached_property
    def exchange(self) -> "ExchangeCode":
        from consentry.connect.exchange import ExchangeCode

        return ExchangeCode(
            clock=self.clock,
            randomness=self.randomness,
            sessions=self.sessions,
            catalogue=self.catalogue,
            secrets=self.secrets,
            provider_client=self.provider_client,
            store=self.store,
        )

    @cached_property
    def store(self) -> "StoreTokens":
        from consentry.connect.store import StoreTokens

        return StoreTokens(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            envelopes=self.envelopes,
            epoch=self.epoch,
            min_refresh_seconds=self.min_refresh_seconds,
        )

    @cached_property
    def create_session(self) -> "CreateSession":
        from consentry.connect.sessions import CreateSession

        return CreateSession(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            return_urls=self.return_urls,
        )

    @cached_property
    def complete(self) -> "Complete":
        from consentry.connect.complete import Complete

        return Complete(clock=self.clock, sessions=self.sessions, envelopes=self.envelopes, exchange=self.exchange)

    @cached_property
    def connect_with_credentials(self) -> "ConnectWithCredentials":
        from consentry.connect.credentials import ConnectWithCredentials

        return ConnectWithCredentials(
            clock=self.clock,
            integrations=self.integrations,
            catalogue=self.catalogue,
            provider_client=self.provider_client,
            store=self.store,
        )

    @cached_property
    def refresh_requests(self) -> "LambdaRefreshRequests":
        from consentry.aws.registry import LambdaRefreshRequests

        return LambdaRefreshRequests(self.client("lambda"), self.environment.text("CONSENTRY_REFRESH_FUNCTION"))

    @cached_property
    def refresh(self) -> "RefreshConnection":
        from consentry.refresh.engine import RefreshConnection

        return RefreshConnection(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            catalogue=self.catalogue,
            secrets=self.secrets,
            envelopes=self.envelopes,
            provider_client=self.provider_client,
            escrow=self.escrow,
            epoch=self.epoch,
            min_refresh_seconds=self.min_refresh_seconds,
        )

    @cached_property
    def escrow(self) -> "SqsEscrow":
        from consentry.aws.escrow import SqsEscrow

        return SqsEscrow(self.client("sqs"), self.environment.text("CONSENTRY_ESCROW_QUEUE"))

    @cached_property
    def dispatch(self) -> "Dispatch":
        from consentry.aws.connections import SHARDS
        from consentry.aws.registry import SqsRefreshQueue
        from consentry.refresh.dispatch import Dispatch

        queue = SqsRefreshQueue(self.client("sqs"), self.environment.text("CONSENTRY_REFRESH_QUEUE"))
        return Dispatch(clock=self.clock, index=self.connections, queue=queue, shards=SHARDS)

    @cached_property
    def manage(self) -> "ManageRoutes":
        from consentry.web.manage import ManageRoutes

        return ManageRoutes(self)


@cache
def _process(attempts: int) -> Wiring:
    return Wiring(Environment.of(os.environ), attempts)


def wiring(context: LambdaContext, *, attempts: int = _ATTEMPTS) -> Wiring:
    """Return this process's wiring, told of the invocation that begins.

    `attempts` is how often an AWS call is made before it counts as failed: once where the use case repeats it itself.
    """
    process = _process(attempts)
    process.clock.begin(context)
    return process
