"""Import: grants from another vault become connections, each by one conditional write, after all were checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from consentry import log
from consentry.errors import ConsentryError, InvalidRequest
from consentry.model import Connection, Grant, Integration, Secret, Status, Variables
from consentry.oauth.provider import Provider
from consentry.oauth.variables import checked_variables, rendered
from consentry.ports import (
    Catalogue,
    Clock,
    Commit,
    CommitOutcome,
    Connections,
    Envelopes,
    Integrations,
    StorageUnavailable,
)
from consentry.tokens import SealingKeys, client_account, grant_payload
from consentry.transfer.row import Row, row_from

MOST_ROWS: Final = 25
STOP_SECONDS: Final = 8
_FIELDS: Final = frozenset({"operation", "dry_run", "replace", "exported_at", "rows"})
_ID: Final = re.compile(r"[0-9a-f]{64}")
_ENDED: Final = (
    "grant", "expires_at", "grant_expires_at", "warned_at", "client_account", "access_token", "variables",
    "lost_scopes", "scopes_reduced_at",
)  # fmt: skip


class Fate(StrEnum):
    """What becomes of a row. `THERE`: this very row was imported before. `LATER`: there was no time for it."""

    NEW = "new"
    REPLACED = "replaced"
    THERE = "there"
    REFUSED = "refused"
    LATER = "later"


class _Unfit(Exception):
    """Why a row is refused, for people."""


@dataclass(frozen=True, slots=True)
class Replacing:
    """Whether connections that exist may be replaced: never one that was refreshed after the export."""

    wished: bool
    exported_at: int | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A row that may be written, and what it would replace. `provider` is rendered with `variables`."""

    row: Row
    id: str
    provider: Provider
    variables: Variables
    client_id: str
    before: Connection | None

    @property
    def fate(self) -> Fate:
        if self.before is None:
            return Fate.NEW
        return Fate.THERE if self.before.consent_id == self.id else Fate.REPLACED


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    clock: Clock
    connections: Connections
    integrations: Integrations
    catalogue: Catalogue
    envelopes: Envelopes
    epoch: int

    def __call__(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Check every row, and write them only if none is refused and it is no dry run.

        The answer tells each row's fate in order. The same event may be sent again: what was written is recognised.
        """
        dry_run, allowed, rows = _wish(event)
        checked = [self._checked(each, allowed) for each in rows]
        refused = any(isinstance(each, str) for each in checked)
        if dry_run:
            return _told(event, [_fate(each) for each in checked])
        if refused:
            return _told(event, [_fate(each) if isinstance(each, str) else {"fate": Fate.LATER} for each in checked])
        fates = [self._write(each) for each in checked if isinstance(each, Checked)]
        count = sum(each["fate"] in {Fate.NEW, Fate.REPLACED} for each in fates)
        log.record("connections imported", {"count": count}, level="warning")
        return _told(event, fates)

    def _checked(self, told: Mapping[str, Any], allowed: Replacing) -> Checked | str:
        """Return the row, or the sentence of what is wrong with it."""
        try:
            row = row_from(told["row"])
            integration, provider = self._integration(row)
            _fits(row, integration, provider)
            variables = checked_variables(provider, row.variables)
            provider = rendered(provider, variables)
            client_id, before = _client_id(row, integration, provider), self.connections.read(row.key)
            checked = Checked(row, told["id"], provider, variables, client_id, before)
            _replaceable(checked, allowed)
        except StorageUnavailable:
            raise
        except _Unfit as unfit:
            return str(unfit)
        except ConsentryError as error:
            return error.public
        return checked

    def _integration(self, row: Row) -> tuple[Integration, Provider]:
        integration = self.integrations.integration(row.key.integration)
        if integration is None:
            message = f"there is no integration {row.key.integration!r}: register it first"
            raise _Unfit(message)
        return integration, self.catalogue.provider(integration.provider)

    def _write(self, checked: Checked) -> dict[str, str]:
        if checked.fate is Fate.THERE:
            return {"fate": Fate.THERE}
        if self.clock.remaining_seconds() < STOP_SECONDS:
            return {"fate": Fate.LATER}
        try:
            outcome = self.connections.commit(self._commit(checked))
        except StorageUnavailable as error:
            return {"fate": Fate.LATER, "why": error.public}
        if outcome is CommitOutcome.COMMITTED:
            return {"fate": checked.fate}
        return {"fate": Fate.REFUSED, "why": "it was changed or disconnected in this very moment: import it again"}

    def _commit(self, checked: Checked) -> Commit:
        row, before, now = checked.row, checked.before, self.clock.now()
        set_attributes = self._attributes(checked, now)
        return Commit(
            key=row.key,
            expected_gen=before.gen if before else 0,
            expected_epoch=before.epoch if before else self.epoch,
            epoch=self.epoch,
            commit_id=checked.id,
            status=Status.ACTIVE,
            set_attributes=set_attributes,
            remove=tuple(name for name in _ENDED if name not in set_attributes),
            expected_consent=before.consent_id if before else None,
        )

    def _attributes(self, checked: Checked, now: int) -> dict[str, object]:
        """Have it refreshed at the next sweep: until then a token that came along is served as long as it lasts."""
        row, keys = checked.row, SealingKeys.obtain(self.envelopes, checked.row.key)
        attributes: dict[str, object] = {
            "provider": checked.provider.id,
            "grant_type": checked.provider.grant.value,
            "client_id": checked.client_id,
            "account": row.account,
            "metadata": {**row.metadata, **checked.variables},
            "scopes": list(row.scopes),
            "label": row.label,
            "description": row.description,
            "token_type": row.token_type,
            "created_at": row.created_at or now,
            "refreshed_at": now,
            "consent_id": checked.id,
        }
        if row.grant:
            attributes |= {"grant": keys.grant.seal(grant_payload(row.grant)), "due_at": now}
            attributes["expires_at"] = row.expires_at or now
        elif row.expires_at:
            attributes |= {"expires_at": row.expires_at, "due_at": row.expires_at}
        if row.access_token:
            attributes["access_token"] = keys.access_token.seal(row.access_token)
        if row.grant_expires_at:
            attributes["grant_expires_at"] = row.grant_expires_at
        if checked.variables:
            attributes["variables"] = dict(checked.variables)
        if row.account:
            attributes["client_account"] = client_account(checked.provider, checked.client_id, row.account)
        return attributes


def _wish(event: Mapping[str, Any]) -> tuple[bool, Replacing, Sequence[Mapping[str, Any]]]:
    if unknown := sorted(set(event) - _FIELDS):
        raise InvalidRequest(f"import has no field {unknown[0][:60]!r}: it takes {', '.join(sorted(_FIELDS))}")
    dry_run, replace, rows = event.get("dry_run"), event.get("replace", False), event.get("rows")
    if not isinstance(dry_run, bool) or not isinstance(replace, bool):
        raise InvalidRequest("dry_run and replace must be true or false")
    exported_at = event.get("exported_at")
    if exported_at is not None and type(exported_at) is not int:
        raise InvalidRequest("exported_at must be epoch seconds")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_ROWS or not all(map(_is_entry, rows)):
        raise InvalidRequest(f'rows must be 1 to {MOST_ROWS} objects {{"id": 64 hexadecimal digits, "row": {{...}}}}')
    return dry_run, Replacing(replace, exported_at), rows


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, Mapping) or set(entry) != {"id", "row"}:
        return False
    return isinstance(entry["id"], str) and bool(_ID.fullmatch(entry["id"]))


def _fits(row: Row, integration: Integration, provider: Provider) -> None:
    """Refuse a grant that this integration could not use: refresh tokens belong to a client (RFC 6749 section 6)."""
    if row.provider and row.provider != provider.id:
        message = f"it is of provider {row.provider!r}, and the integration {integration.id} of {provider.id!r}"
        raise _Unfit(message)
    if provider.grant is Grant.CLIENT_CREDENTIALS:
        wanted = {each.name for each in provider.credential_inputs if each.required}
        known = {each.name for each in provider.credential_inputs}
        if not wanted <= set(row.grant) <= known:
            message = f"its grant must have {', '.join(sorted(wanted))}"
            raise _Unfit(message)
        return
    if row.client_id and row.client_id != integration.client_id:
        message = f"its grant belongs to another client id than that of {integration.id}, and would be refused"
        raise _Unfit(message)
    if set(row.grant) - {"refresh_token"} or not (row.grant or row.access_token):
        message = "it must have a refresh token, or at least an access token"
        raise _Unfit(message)


def _client_id(row: Row, integration: Integration, provider: Provider) -> str:
    of_customer = provider.grant is Grant.CLIENT_CREDENTIALS
    return row.grant.get("client_id", Secret("")).reveal() if of_customer else integration.client_id


def _replaceable(checked: Checked, allowed: Replacing) -> None:
    before = checked.before
    if before is None or checked.fate is Fate.THERE:
        return
    if before.status is Status.DELETING:
        message = "there is such a connection, on its way out: import it once that is gone"
        raise _Unfit(message)
    if not allowed.wished:
        message = "there is such a connection already: --replace puts this one in its place"
        raise _Unfit(message)
    if allowed.exported_at is not None and before.refreshed_at > allowed.exported_at:
        message = "there is such a connection, refreshed since the export: its grant is the newer one"
        raise _Unfit(message)


def _fate(checked: Checked | str) -> dict[str, str]:
    return {"fate": Fate.REFUSED, "why": checked} if isinstance(checked, str) else {"fate": checked.fate}


def _told(event: Mapping[str, Any], fates: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"operation": "import", "dry_run": event["dry_run"], "rows": list(fates)}
