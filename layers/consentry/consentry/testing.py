"""A vault for the tests of consumers: no AWS, no network, and everything else as it is in earnest.

vault = Vault.for_testing({"acme/hubspot": "a-token", "acme/hotjar": NotConnected("not yet")})
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from consentry.errors import ConsentryError, InvalidRequest, NotConnected, ReauthRequired
from consentry.listing import ListedConnection
from consentry.model import DEFAULT_NAME, ConnectionKey, Metadata, Secret, Status
from consentry.record import Record

CONNECT_URL: Final = "https://vault.example/connect?session=for-testing"
_TOLD: Final = ("tenant", "integration", "name", "status", "generation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A connection with its token, and those that refreshes bring one after the other, as after a 401.

    `expires_at` is epoch seconds; a token that has ended is refreshed when it is asked for.
    """

    token: str
    renewed: Sequence[str] = ()
    expires_at: int | None = None
    scopes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    account: str = ""


class PreparedSource:
    """`source.Source` from what a test names: `tenant/integration` or `tenant/integration/name`."""

    def __init__(self, connections: Mapping[str, str | Prepared | ConsentryError]) -> None:
        self._given = {_key(name): _prepared(each) for name, each in connections.items()}
        self._generations = dict.fromkeys(self._given, 1)

    def read(self, key: ConnectionKey, *, consistent: bool) -> Record | None:  # noqa: ARG002 - it always is
        match self._given.get(key):
            case None:
                return None
            case Prepared() as prepared:
                return self._record(prepared, self._generations[key])
            case error:
                raise error

    def open(self, key: ConnectionKey, record: Record) -> Secret:  # noqa: ARG002 - the record has it in clear
        return Secret(record.access_token.decode())

    def refresh(self, key: ConnectionKey, rejected_generation: int) -> bool:
        prepared = self._given.get(key)
        if isinstance(prepared, Prepared) and rejected_generation <= len(prepared.renewed):
            self._generations[key] = rejected_generation + 1
        return False

    def connections(self, tenant: str) -> Sequence[ListedConnection]:
        of_tenant = [(key, each) for key, each in self._given.items() if key.tenant == tenant]
        return [self._listed(key, each) for key, each in of_tenant if not isinstance(each, NotConnected)]

    def call(self, method: str, path: str, content: Mapping[str, object]) -> Mapping[str, object]:  # noqa: ARG002 - as in earnest
        """Sessions begin at CONNECT_URL; any handle completes the tenant's first connection."""
        if not path.endswith("/complete"):
            return {"connect_url": CONNECT_URL}
        tenant = path.split("/")[2]
        first = next(iter(self.connections(tenant)), None)
        if first is None:
            raise InvalidRequest(f"No connection of {tenant} is prepared for this test.", code="unknown_handle")
        return {"connection": {each: getattr(first, each) for each in _TOLD}}

    def _record(self, prepared: Prepared, generation: int) -> Record:
        token = [prepared.token, *prepared.renewed][generation - 1]
        return Record(
            status=Status.ACTIVE,
            cause="",
            gen=generation,
            access_token=token.encode(),
            token_type="Bearer",  # noqa: S106 - a token type, not a token
            expires_at=prepared.expires_at if generation == 1 else None,
            refreshed_at=0,
            scopes=prepared.scopes,
            metadata=prepared.metadata,
            account=prepared.account,
        )

    def _listed(self, key: ConnectionKey, prepared: Prepared | ConsentryError) -> ListedConnection:
        plain = prepared if isinstance(prepared, Prepared) else Prepared(token="")
        return ListedConnection(
            tenant=key.tenant,
            integration=key.integration,
            name=key.name,
            status=Status.REAUTH_REQUIRED if isinstance(prepared, ReauthRequired) else Status.ACTIVE,
            cause=prepared.cause if isinstance(prepared, ReauthRequired) else "",
            account=plain.account,
            scopes=plain.scopes,
            metadata=plain.metadata,
            generation=self._generations[key],
            expires_at=plain.expires_at,
        )


def _key(name: str) -> ConnectionKey:
    tenant, _, rest = name.partition("/")
    integration, _, named = rest.partition("/")
    return ConnectionKey.parse(tenant, integration, named or DEFAULT_NAME)


def _prepared(given: str | Prepared | ConsentryError) -> Prepared | ConsentryError:
    return Prepared(token=given) if isinstance(given, str) else given
