"""Any answers through the engine, and through a code exchange, with the facts after each."""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from consentry.connect.tickets import digest
from consentry.errors import ConsentryError
from consentry.model import Flow, FlowStatus, Secret, Session, Status
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier
from consentry.oauth.wire import HttpAnswer
from tests.properties import answers
from tests.properties.facts import check_limits, check_refresh, check_silence, fields_of, grants, is_visible
from tests.properties.vault import APP, KINDS, MARK, MemoryVault, kinds, overheard
from tests.support.catalogue import CRM, DESK
from tests.support.client_secrets import CLIENT_SECRET
from tests.support.provider import FakeProvider, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshes:
    """One connection's refreshes in a row: what the provider answers to each, and who asks."""

    kind: str
    steps: tuple[Step, ...]
    forced: bool
    rotated_secret: bool


refreshes = st.builds(
    Refreshes,
    kind=st.sampled_from(KINDS),
    steps=st.lists(answers.steps, min_size=1, max_size=3).map(tuple),
    forced=st.booleans(),
    rotated_secret=st.booleans(),
)


def check_refreshes(case: Refreshes) -> list[str]:
    """Return the outcome of each refresh; the connection is left alone once it is flagged."""
    vault = MemoryVault(kinds()[case.kind])
    if case.rotated_secret:
        vault.deployment.secrets.previous[APP.integration] = {"client_secret": f"{CLIENT_SECRET}-before"}
    vault.connect_as(APP)
    return [
        _check_one(vault, step, forced=case.forced) for step in case.steps if vault.row()["status"] == Status.ACTIVE
    ]


def _check_one(vault: MemoryVault, step: Step, *, forced: bool) -> str:
    before = vault.row()
    forced, due_at = forced or "due_at" not in before, before.get("due_at", 0)
    vault.clock.time = max(vault.clock.time + 61, 0 if forced else float(due_at), float(before.get("next_try_at", 0)))
    vault.answering.step, vault.answering.requests = step, []
    with overheard() as heard:
        refreshed = vault.refresh(before["gen"] if forced else None)
    check_refresh(vault, before, refreshed, step)
    check_silence(heard(), vault.row())
    asked = len(vault.answering.requests)
    assert asked <= 2
    if asked == 1 and grants(vault.crm, step):
        assert vault.row()["gen"] == before["gen"] + 1, "a good answer was not used"
    return refreshed.outcome.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One consent: whether it is the first, and what the provider answers to code and introspection."""

    kind: str
    answer: Step
    whose: Step
    again: bool
    other_account: bool


# `desk` tells whose a token is only when it is asked.
_CONSENTS: Final = {"crm": CRM, "desk": DESK}
exchanges = st.builds(
    Exchange,
    kind=st.sampled_from(tuple(_CONSENTS)),
    answer=answers.mostly(answers.steps, answers.refusals),
    whose=answers.steps,
    again=st.booleans(),
    other_account=st.booleans(),
)


def check_exchange(case: Exchange) -> list[str]:
    """Return the status of what was stored, or the code of what the person is told."""
    vault = MemoryVault(_CONSENTS[case.kind])
    if case.again:
        vault.connect_as(APP)
    before = vault.row()
    flow = _started(vault, case)
    vault.deployment.provider = FakeProvider(case.answer, case.whose)
    caught: ConsentryError | None = None
    with overheard() as heard:
        try:
            vault.deployment.exchange(flow, AuthorizationCode(Secret(f"{MARK}code")), _verifier())
        except ConsentryError as error:
            caught = error
    row = vault.row()
    check_silence(heard(), row)
    check_limits(row)
    ended = vault.deployment.sessions.flow(flow.session.id, flow.integration)
    assert ended is not None
    if caught:
        assert row == before
        assert ended.status is FlowStatus.FAILED
        assert MARK not in f"{caught!r} {caught} {caught.public} {caught.detail} {caught.code} {caught.__cause__!r}"
        return [caught.code]
    assert ended.status is FlowStatus.DONE
    _check_stored(vault, before.get("gen", 0), case.answer)
    return [str(row["status"])]


def _check_stored(vault: MemoryVault, gen_before: int, answer: Step) -> None:
    row, fields = vault.row(), fields_of(answer)
    assert isinstance(answer, HttpAnswer)
    assert answer.status in {200, 201}
    assert row["gen"] == gen_before + 1
    assert row["status"] in {Status.ACTIVE, Status.SCOPE_INSUFFICIENT}
    token, grant = vault.opened(row)
    assert token == fields["access_token"]
    if is_visible(fields.get("refresh_token")):
        assert grant == {"refresh_token": fields["refresh_token"]}
    if row["status"] == Status.ACTIVE and "expires_at" in row:
        assert row["due_at"] > vault.clock.now()


def _started(vault: MemoryVault, case: Exchange) -> Flow:
    now = vault.clock.now()
    session = Session(
        id="s" * 22, tenant=APP.tenant, user_ref="u-1", integrations=(APP.integration,), expires_at=now + 1800,
        allow_account_change=case.other_account,
    )  # fmt: skip
    flow = Flow(
        session=session, integration=APP.integration, status=FlowStatus.STARTED, provider=vault.crm.id,
        client_id="crm-client", redirect_uri="https://vault.test/callback/app", scopes=("contacts",),
        state_hash=digest("state"), browser_hash=digest("browser"), expires_at=now + 600,
    )  # fmt: skip
    assert vault.deployment.sessions.start(flow)
    vault.clock.remaining = 29.0
    return flow


def _verifier() -> Verifier:
    return Verifier.from_random("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
