"""What must hold after any answer: either a new generation with exactly its tokens, or the old one untouched."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from consentry.model import Cause, Grant, Status
from consentry.oauth.provider import Provider
from consentry.oauth.wire import HttpAnswer
from consentry.refresh.engine import Refreshed
from consentry.refresh.policy import Outcome
from tests.properties.vault import MARK, MemoryVault
from tests.support.provider import Step

_TEN_YEARS: Final = 10 * 365 * 24 * 3600
_THREE_HOURS: Final = 3 * 3600
_LONGEST_TOKEN: Final = 16 * 1024
# What a request that brought no token leaves exactly as it was.
_UNTOUCHED: Final = (
    "tenant", "connection", "v", "gen", "epoch", "commit_id", "consent_id", "access_token", "grant", "expires_at",
    "grant_expires_at", "refreshed_at", "token_type", "scopes", "metadata", "account", "client_account", "client_id",
    "provider", "grant_type", "label", "description", "created_at",
)  # fmt: skip
_OPEN_TEXTS: Final = frozenset(
    {"metadata", "account", "scopes", "client_account"}
)  # where a provider's own texts belong
type Row = Mapping[str, Any]


def fields_of(step: Step | None) -> Mapping[str, Any]:
    """Read an answer's JSON object by the book (RFC 8259); empty if it holds none."""
    if not isinstance(step, HttpAnswer):
        return {}
    try:
        value = json.loads(step.body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def life_of(provider: Provider, fields: Mapping[str, Any]) -> int | None:
    """Return how long a token lives: what the answer says if that makes sense, else the provider's default."""
    said = fields.get("expires_in")
    if isinstance(said, str) and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{0,9})?", said.strip()):
        said = float(said)
    if isinstance(said, int | float) and not isinstance(said, bool) and 1 <= said <= _TEN_YEARS:
        return int(said)
    return provider.token.expires_in_default_seconds


def is_visible(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST_TOKEN and all("!" <= each <= "~" for each in text)


def grants(provider: Provider, step: Step | None) -> bool:
    """Whether the answer is a good one beyond doubt: whatever else it holds, its token must not be lost."""
    fields = fields_of(step)
    bearer = str(fields.get("token_type", "bearer")).lower() == "bearer"
    failed = provider.token.error_in_success_field in fields or "error" in fields
    return (
        isinstance(step, HttpAnswer)
        and step.status == 200
        and is_visible(fields.get("access_token"))
        and bearer
        and not failed
    )


def check_silence(heard: str, row: Row) -> None:
    """No marked text anywhere but in ciphertexts, and where a provider's own texts are kept on purpose."""
    assert MARK not in heard
    error = row.get("last_error", "")
    assert len(error) <= 120
    assert error.isascii()
    assert error.isprintable()
    in_clear = {name: value for name, value in row.items() if name not in _OPEN_TEXTS}
    for name in ("commit_id", "consent_id", "lease_owner"):  # random, and no secrets
        in_clear.pop(name, None)
    assert MARK not in repr({name: value for name, value in in_clear.items() if not isinstance(value, bytes)})


def check_limits(row: Row) -> None:
    """DynamoDB would take it: text that is UTF-8, keys of an index of at most 2 KB, and an item of at most 400 KB."""
    assert len(str(row.get("client_account", "")).encode()) <= 2048
    size = sum(len(str(value).encode()) for value in row.values() if not isinstance(value, bytes))
    assert size + sum(len(value) for value in row.values() if isinstance(value, bytes)) < 400 * 1024


def check_refresh(vault: MemoryVault, before: Row, refreshed: Refreshed, step: Step) -> None:
    row, outcome = vault.row(), refreshed.outcome
    assert outcome is not Outcome.UNFORESEEN
    assert refreshed.generation == row["gen"]
    check_limits(row)
    if row["gen"] == before["gen"]:
        assert outcome is not Outcome.REFRESHED
        _check_untouched(before, row)
        _check_next(vault, row)
        return
    assert outcome is Outcome.REFRESHED
    assert isinstance(step, HttpAnswer)
    _check_committed(vault, before, row, step)


def _check_untouched(before: Row, row: Row) -> None:
    assert {name: row.get(name) for name in _UNTOUCHED} == {name: before.get(name) for name in _UNTOUCHED}


def _check_next(vault: MemoryVault, row: Row) -> None:
    """Active: a time to look again. Otherwise: a cause, and nothing more to do."""
    now = vault.clock.now()
    if row["status"] == Status.ACTIVE:
        latest = max(now + _THREE_HOURS, row.get("expires_at", 0))
        if vault.answering.requests:
            assert now < row["due_at"] <= latest
            assert row.get("next_try_at", 0) <= now + _THREE_HOURS
        return
    assert row["status"] == Status.REAUTH_REQUIRED
    assert row["status_cause"] in set(Cause)
    assert row["attention"] == row["status"]
    assert not {"due_at", "due_shard", "lease_owner"} & set(row)


def _check_committed(vault: MemoryVault, before: Row, row: Row, answer: HttpAnswer) -> None:
    provider, fields = vault.crm, fields_of(answer)
    assert row["gen"] == before["gen"] + 1
    assert row["status"] == Status.ACTIVE
    assert not {"lease_owner", "lease_until", "pend_gen", "pend_at", "last_error", "status_cause"} & set(row)
    assert answer.status in {200, 201}
    token, grant = vault.opened(row)
    assert token == fields["access_token"]
    _check_grant(vault, grant, vault.opened(before)[1], fields)
    life = life_of(provider, fields)
    assert row.get("expires_at") == (None if life is None else row["refreshed_at"] + life)
    _check_schedule(vault, row, life)
    kept = {
        "tenant",
        "connection",
        "provider",
        "grant_type",
        "client_id",
        "account",
        "label",
        "created_at",
        "consent_id",
    }
    assert {name: row.get(name) for name in kept} == {name: before.get(name) for name in kept}


def _check_grant(
    vault: MemoryVault, grant: Mapping[str, str], stored: Mapping[str, str], fields: Mapping[str, Any]
) -> None:
    """The answer's refresh token if it is one that can be used, else the stored one; credentials are never replaced."""
    brought = fields.get("refresh_token")
    if vault.crm.grant is Grant.CLIENT_CREDENTIALS or grant == stored:
        assert grant == stored
        mine = vault.crm.grant is not Grant.CLIENT_CREDENTIALS
        assert not (mine and is_visible(brought) and brought != stored["refresh_token"])
        return
    assert grant == {"refresh_token": brought}
    assert brought


def _check_schedule(vault: MemoryVault, row: Row, life: int | None) -> None:
    now, due_at = vault.clock.now(), row.get("due_at")
    if due_at is None:
        assert life is None
        return
    longest = _TEN_YEARS if life is None else life
    assert now < due_at <= row["refreshed_at"] + max(60, int(longest * 0.75))
