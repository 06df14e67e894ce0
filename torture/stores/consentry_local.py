"""Consentry's own local stack: the real template, real worker processes, and readers as consumers use them."""

import json
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
import requests

from consentry import ConsentryError, NotConnected, ReauthRequired, Vault
from dev.acme.consentry_api import Consentry
from dev.acme.trouble import Trouble
from dev.ready import Ready
from dev.running import NotReady, started, taken_away, tick, workers
from torture.application import Application, Grant
from torture.store import Refused, Store
from torture.trial import StoreTrouble

if TYPE_CHECKING:
    from boto3.session import Session

REPLICAS: Final = 2
ATTEMPTS: Final = 3
TICK_SECONDS: Final = 2.0
REFRESH: Final = "RefreshFunction"
OPTIONS: Final = {
    "HTTPS": "1",
    "ACCESS_TTL": "50",  # also lets two refreshes of one connection follow each other after two seconds
    "TICK": "3600",  # the schedule runs in `rest` only: until then nothing but the consumers asks for a refresh
    "ALLOW_LOOPBACK_PROVIDERS": "1",
}
PROVIDER: Final = """
id = "{id}"
name = "Torture: {id}"
grant = "authorization_code"
checked = 2026-11-01
sources = ["https://datatracker.ietf.org/doc/html/rfc6749"]

[authorization]
url = "{application.authorize_url}"
pkce = "required"
default_scopes = {scopes}
issuer = "{application.issuer}"
issuer_required = true

[token]
url = "{application.token_url}"
client_authentication = "client_secret_basic"
body = "form"

[introspection]
url = "{application.introspect_url}"
account_field = "sub"

[refresh]
rotation = "rotates"
reuse_grace_seconds = {application.reuse_grace_seconds}
"""


def open_store(applications: Sequence[Application]) -> "ConsentryLocal":
    """Start the local stack with one provider file and one integration for each application."""
    logging.getLogger("consentry").setLevel(logging.ERROR)  # killed workers are part of the course
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-consentry-")))
        for each in applications:
            text = PROVIDER.format(id=provider_id(each), application=each, scopes=json.dumps(each.scopes))
            (folder / f"{provider_id(each)}.toml").write_text(text, encoding="utf-8")
        integrations = folder / "integrations.json"
        integrations.write_text(json.dumps([_integration(each) for each in applications]), encoding="utf-8")
        try:
            ready = stack.enter_context(
                started(OPTIONS | {"PROVIDERS": str(folder), "INTEGRATIONS": str(integrations)})
            )
        except NotReady as reason:
            raise StoreTrouble(str(reason)) from None
        for each in applications:
            each.register(f"{ready.base_url}/callback/{each.id}")
        return ConsentryLocal(ready, stack.pop_all())


def provider_id(application: Application) -> str:
    return f"torture-{application.id}"


def _integration(application: Application) -> dict[str, str]:
    client = {"client_id": application.client_id, "client_secret": application.client_secret}
    return {"id": application.id, "provider": provider_id(application), **client}


class ConsentryLocal(Store):
    """The tenant is the connection's name, the integration its scenario. A replica is a `Vault` of its own."""

    name = "Consentry, local stack"
    early_seconds = 0
    # In doubt a connection waits for 95 s, or until its provider is tried again; then comes a tick, and a refresh.
    settle_seconds = 180
    lanes = 2

    def __init__(self, ready: Ready, running: ExitStack) -> None:
        self._ready = ready
        self._running = running
        self._api = Consentry(ready)
        self._integrations: dict[str, str] = {}
        self._vaults = self._readers()

    def connect(self, grant: Grant) -> None:
        """Go through Consentry's own consent as a customer would, who tries again if storage stumbles."""
        self._integrations[grant.connection] = grant.application.id
        for attempt in range(ATTEMPTS):
            try:
                self._consent(grant.connection, grant.application.id)
            except Trouble as trouble:
                if attempt == ATTEMPTS - 1:
                    raise Refused(f"{trouble.code}: {trouble}") from None
                time.sleep(TICK_SECONDS)
            else:
                return

    def _consent(self, connection: str, integration: str) -> None:
        wanted = {"user_ref": "torture", "integrations": [integration], "completion": "direct"}
        begun = self._api.begin(connection, wanted)
        with requests.Session() as browser:
            browser.trust_env = False
            browser.verify = self._ready.ca_bundle or True
            page = browser.get(begun["authorize_urls"][integration], timeout=60)
        if not page.ok or not self._api.connections(connection):
            raise Trouble(f"the consent ended with HTTP {page.status_code}", "consent_failed")

    def read(self, connection: str, replica: int) -> str:
        with refusals():
            token = self._vaults[replica].token(connection, self._integrations[connection])
            return token.access_token.reveal()

    def renew(self, connection: str, replica: int, token: str) -> None:
        vault, integration = self._vaults[replica], self._integrations[connection]
        with refusals():
            known = vault.token(connection, integration)
            if known.access_token.reveal() == token:
                vault.renewed(connection, integration, rejected=known)

    def rest(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        while (left := over - time.monotonic()) > 0:
            tick(self._ready)
            time.sleep(min(TICK_SECONDS, left))

    def restart(self) -> None:
        """Readers forget what they kept; refreshing has no memory but its record."""
        self._vaults = self._readers()

    def kill(self) -> None:
        for pid in workers(self._ready).get(REFRESH, []):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def storage_down(self) -> AbstractContextManager[None]:
        """Let DynamoDB close every connection unanswered."""
        return taken_away(self._ready, "dynamodb", "drop")

    def close(self) -> None:
        self._running.close()

    def _readers(self) -> list[Vault]:
        table, function = self._ready.tables["connections"], self._ready.functions[REFRESH]
        session = cast("Session", LocalSession(self._ready))
        return [Vault(table=table, refresh_function=function, session=session) for _ in range(REPLICAS)]


class LocalSession:
    """A boto3 session whose clients call the local AWS endpoint."""

    def __init__(self, ready: Ready) -> None:
        self._session = boto3.Session(ready.access_key_id, ready.secret_access_key, region_name=ready.region)
        self._endpoint = ready.aws_endpoint
        self.region_name = ready.region

    def client(self, service: Any, **more: Any) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        return self._session.client(service, endpoint_url=self._endpoint, **more)


@contextmanager
def refusals() -> Iterator[None]:
    """Say in the kit's words what a reader was told."""
    try:
        yield
    except ReauthRequired as error:
        raise Refused(error.cause, reconnect=True) from None
    except NotConnected as error:
        raise Refused(error.code, reconnect=True) from None
    except ConsentryError as error:
        raise Refused(error.code) from None
