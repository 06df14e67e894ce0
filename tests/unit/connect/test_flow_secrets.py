"""What a flow keeps opens for its own session and as what it was, and for nothing else."""

from dataclasses import replace

import pytest

from consentry.connect.flow_secrets import open_code, open_verifier, seal_code, seal_verifier
from consentry.errors import UnreadableRecord
from consentry.model import Field, Flow, FlowStatus, Secret, Session
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier
from tests.support.envelopes import FakeEnvelopes

NOW = 1_800_000_000
SESSION = Session(id="s" * 22, tenant="acme", user_ref="u-1", integrations=("crm",), expires_at=NOW + 1800)
FLOW = Flow(
    session=SESSION,
    integration="crm",
    status=FlowStatus.CODE_RECEIVED,
    provider="crm",
    client_id="crm-client",
    redirect_uri="https://vault.test/callback/crm",
    scopes=(),
    state_hash="state",
    browser_hash="browser",
    expires_at=NOW + 600,
)
CODE = AuthorizationCode(Secret("CNRY|code|with|bars"))
VERIFIER = Verifier.from_random("CNRY-" + "v" * 38)
OTHER = replace(FLOW, session=replace(SESSION, id="t" * 22, user_ref="u-2"))


@pytest.fixture
def envelopes() -> FakeEnvelopes:
    return FakeEnvelopes()


@pytest.fixture
def kept(envelopes: FakeEnvelopes) -> Flow:
    return replace(FLOW, code=seal_code(envelopes, FLOW, CODE), verifier=seal_verifier(envelopes, FLOW, VERIFIER))


def test_code_and_verifier_come_back_as_they_were(envelopes: FakeEnvelopes, kept: Flow) -> None:
    assert open_code(envelopes, kept).code.reveal() == CODE.code.reveal()
    assert open_verifier(envelopes, kept).secret.reveal() == VERIFIER.secret.reveal()
    assert envelopes.sealing == envelopes.opened == ["flow", "flow"]


def test_what_is_sealed_says_what_and_whose_it_is(envelopes: FakeEnvelopes, kept: Flow) -> None:
    text = envelopes.open(kept.code, kept.key.encryption_context(Field.FLOW)).reveal()
    assert text == f"code|{SESSION.id}|CNRY|code|with|bars"


def test_what_was_sealed_for_another_session_of_the_connection_does_not_open(
    envelopes: FakeEnvelopes, kept: Flow
) -> None:
    assert OTHER.key == kept.key
    stolen = replace(OTHER, code=kept.code, verifier=kept.verifier)
    with pytest.raises(UnreadableRecord) as code:
        open_code(envelopes, stolen)
    with pytest.raises(UnreadableRecord) as verifier:
        open_verifier(envelopes, stolen)
    for refused in (code.value, verifier.value):
        assert "CNRY" not in f"{refused} {refused.detail}"
        assert "another session" in refused.detail


def test_a_code_does_not_open_as_a_verifier_nor_a_verifier_as_a_code(envelopes: FakeEnvelopes, kept: Flow) -> None:
    swapped = replace(kept, code=kept.verifier, verifier=kept.code)
    with pytest.raises(UnreadableRecord):
        open_code(envelopes, swapped)
    with pytest.raises(UnreadableRecord):
        open_verifier(envelopes, swapped)


def test_what_was_sealed_for_another_connection_does_not_open(envelopes: FakeEnvelopes, kept: Flow) -> None:
    with pytest.raises(UnreadableRecord):
        open_code(envelopes, replace(kept, session=replace(SESSION, tenant="other")))


def test_a_value_without_an_owner_does_not_open(envelopes: FakeEnvelopes, kept: Flow) -> None:
    bare = envelopes.sealing_key(kept.key.encryption_context(Field.FLOW)).seal(CODE.code)
    with pytest.raises(UnreadableRecord):
        open_code(envelopes, replace(kept, code=bare))
