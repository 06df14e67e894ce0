"""A process's adapters: each made once, lazily, and only if a function asks for it."""

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from consentry.config import Environment
from consentry.model import Field
from consentry.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from consentry.aws.bus import EventBridgeBus, SqsSetAside
    from consentry.aws.connections import DynamoConnections
    from consentry.aws.erasures import DynamoErasures
    from consentry.aws.escrow import SqsEscrow
    from consentry.aws.grants import DynamoGrants
    from consentry.aws.health import DynamoHealth
    from consentry.aws.keys import KmsEnvelopes
    from consentry.aws.listings import DynamoListings
    from consentry.aws.maintenance import DynamoInventory
    from consentry.aws.pending import DynamoSessions
    from consentry.aws.registry import (
        DynamoIntegrations,
        LambdaRefreshRequests,
        SecretsManagerSecrets,
        SqsRefreshQueue,
    )
    from consentry.aws.removals import DynamoRemovals
    from consentry.aws.sealed import DynamoFlows, DynamoRows
    from consentry.catalogue.lookup import Catalogue
    from consentry.connect.tickets import Tickets
    from consentry.http import ProviderClient
    from consentry.pages.look import Look
    from consentry.web.stream import Read

_DEFAULT_PROVIDER_FILES: Final = "/opt/providers"
_MIN_REFRESH_SECONDS: Final = 60
# A call that hangs ends within three seconds, and within seven with its one retry: the budgets of an exchange, and of
# the refresh engine (which repeats its calls itself), count on it. Each address of a host has its own time to connect.
_CONNECT_SECONDS: Final = 1
_READ_SECONDS: Final = 2
ATTEMPTS: Final = 2


class Adapters:
    """The outside world of one process. Nothing is read, imported or opened before it is asked for."""

    def __init__(self, environment: Environment, attempts: int = ATTEMPTS) -> None:
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
    def grants(self) -> "DynamoGrants":
        from consentry.aws.grants import DynamoGrants

        return DynamoGrants(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

    @cached_property
    def listings(self) -> "DynamoListings":
        from consentry.aws.listings import DynamoListings

        return DynamoListings(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

    @cached_property
    def removals(self) -> "DynamoRemovals":
        from consentry.aws.removals import DynamoRemovals

        return DynamoRemovals(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

    @cached_property
    def erasures(self) -> "DynamoErasures":
        from consentry.aws.erasures import DynamoErasures

        return DynamoErasures(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

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

        keys, others = self._keys("CONSENTRY"), self._keys("CONSENTRY_OTHER")
        return KmsEnvelopes(self.client("kms"), keys=keys, others=others, randomness=os.urandom)

    def _keys(self, whose: str) -> dict[Field, str]:
        grant, access = (self.environment.variables.get(f"{whose}_{kind}_KEY", "") for kind in ("GRANT", "ACCESS"))
        keys = {Field.GRANT: grant, Field.FLOW: grant, Field.ACCESS_TOKEN: access}
        return {each: arn for each, arn in keys.items() if arn}

    @cached_property
    def catalogue(self) -> "Catalogue":
        from consentry.catalogue.lookup import BUILT_IN, Catalogue

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

        return ProviderClient(origins=self.environment.listing("CONSENTRY_INSECURE_PROVIDER_ORIGINS"))

    @property
    def base_url(self) -> str:
        return self.environment.text("CONSENTRY_PUBLIC_BASE_URL").rstrip("/")

    @property
    def return_urls(self) -> frozenset[str]:
        from consentry.connect.return_urls import is_return_url

        return frozenset(filter(is_return_url, self.environment.listing("CONSENTRY_RETURN_URLS")))

    @property
    def look(self) -> "Look":
        from consentry.pages.look import Look

        variables = self.environment.variables
        return Look.of(
            variables.get("CONSENTRY_COMPANY_NAME", ""),
            variables.get("CONSENTRY_ACCENT_COLOR", ""),
            variables.get("CONSENTRY_COMPANY_LOGO", ""),
        )

    @property
    def epoch(self) -> int:
        return self.environment.number("CONSENTRY_EPOCH", 1)

    @property
    def min_refresh_seconds(self) -> int:
        return self.environment.number("CONSENTRY_MIN_REFRESH_SECONDS", _MIN_REFRESH_SECONDS)

    @cached_property
    def refresh_requests(self) -> "LambdaRefreshRequests":
        from consentry.aws.registry import LambdaRefreshRequests

        return LambdaRefreshRequests(self.client("lambda"), self.environment.text("CONSENTRY_REFRESH_FUNCTION"))

    @cached_property
    def escrow(self) -> "SqsEscrow":
        from consentry.aws.escrow import SqsEscrow

        dead_letters = self.environment.variables.get("CONSENTRY_ESCROW_DEAD_LETTER_QUEUE", "")
        return SqsEscrow(self.client("sqs"), self.environment.text("CONSENTRY_ESCROW_QUEUE"), dead_letters)

    @cached_property
    def health(self) -> "DynamoHealth":
        from consentry.aws.health import DynamoHealth

        return DynamoHealth(self.client("dynamodb"), self.environment.text("CONSENTRY_INTEGRATIONS_TABLE"))

    @cached_property
    def refresh_queue(self) -> "SqsRefreshQueue":
        from consentry.aws.registry import SqsRefreshQueue

        return SqsRefreshQueue(self.client("sqs"), self.environment.text("CONSENTRY_REFRESH_QUEUE"))

    @cached_property
    def inventory(self) -> "DynamoInventory":
        from consentry.aws.maintenance import DynamoInventory

        return DynamoInventory(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

    @cached_property
    def sealed_rows(self) -> "DynamoRows":
        from consentry.aws.sealed import DynamoRows

        return DynamoRows(self.client("dynamodb"), self.environment.text("CONSENTRY_CONNECTIONS_TABLE"))

    @cached_property
    def sealed_flows(self) -> "DynamoFlows":
        from consentry.aws.sealed import DynamoFlows

        return DynamoFlows(self.client("dynamodb"), self.environment.text("CONSENTRY_PENDING_TABLE"))

    @cached_property
    def event_bus(self) -> "EventBridgeBus":
        from consentry.aws.bus import EventBridgeBus, source_of

        bus, source = self.environment.text("CONSENTRY_EVENT_BUS"), source_of(self.environment.text("CONSENTRY_STACK"))
        return EventBridgeBus(self.client("events"), bus, source)

    @cached_property
    def set_aside(self) -> "SqsSetAside":
        from consentry.aws.bus import SqsSetAside

        return SqsSetAside(self.client("sqs"), self.environment.text("CONSENTRY_EVENTS_DEAD_LETTER_QUEUE"))

    @property
    def read_change(self) -> "Read":
        from consentry.aws.changes import change_of

        return change_of
