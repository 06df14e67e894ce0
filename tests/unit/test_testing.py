"""A vault for consumers' tests; and the example in docs/reading.md, which is run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from consentry import ConsentryError, NotConnected, ReauthRequired, TokenUnavailable, Vault
from consentry.errors import InvalidRequest
from consentry.testing import CONNECT_URL, Prepared

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKEN = "CNRY-token-of-a-test"


def test_a_prepared_token_is_read_without_aws() -> None:
    vault = Vault.for_testing({"acme/hubspot": TOKEN})
    assert vault.headers("acme", "hubspot") == {"Authorization": f"Bearer {TOKEN}"}
    assert TOKEN not in repr(vault.token("acme", "hubspot"))


def test_what_is_not_prepared_is_not_connected() -> None:
    with pytest.raises(NotConnected):
        Vault.for_testing({"acme/hubspot": TOKEN}).token("acme", "hubspot", "second")


def test_a_connection_has_the_name_and_the_facts_that_it_was_given() -> None:
    prepared = Prepared(token=TOKEN, metadata={"site_id": "14"}, scopes=("surveys",), account="14")
    token = Vault.for_testing({"acme/hotjar/second": prepared}).token("acme", "hotjar", "second")
    assert (dict(token.metadata), token.scopes, token.account) == ({"site_id": "14"}, ("surveys",), "14")


@pytest.mark.parametrize("error", [ReauthRequired("Again.", cause="grant_revoked"), TokenUnavailable("Later.")])
def test_a_prepared_error_is_raised(error: ConsentryError) -> None:
    with pytest.raises(type(error)) as caught:
        Vault.for_testing({"acme/hubspot": error}).token("acme", "hubspot")
    assert caught.value is error


def test_refreshes_bring_the_prepared_tokens_and_then_none() -> None:
    vault = Vault.for_testing({"acme/hubspot": Prepared(token="first", renewed=["second"])})
    second = vault.renewed("acme", "hubspot", rejected=vault.token("acme", "hubspot"))
    assert second is not None
    assert second.access_token.reveal() == vault.token("acme", "hubspot").access_token.reveal() == "second"
    assert vault.renewed("acme", "hubspot", rejected=second) is None


def test_a_token_that_has_ended_is_refreshed_when_it_is_asked_for() -> None:
    prepared = Prepared(token="first", renewed=["second"], expires_at=1)
    assert Vault.for_testing({"acme/hubspot": prepared}).token("acme", "hubspot").generation == 2
    with pytest.raises(TokenUnavailable):
        Vault.for_testing({"acme/hubspot": Prepared(token="first", expires_at=1)}).token("acme", "hubspot")


def test_a_list_shows_what_is_prepared_of_that_tenant() -> None:
    again = ReauthRequired("Again.", cause="grant_revoked")
    given: dict[str, str | Prepared | ConsentryError] = {
        "acme/hubspot": TOKEN,
        "acme/hotjar": again,
        "acme/crm": NotConnected("Not yet."),
        "globex/crm": TOKEN,
        "acme/hotmart": TokenUnavailable("Later."),
    }
    listed = Vault.for_testing(given).connections("acme")
    assert [(each.integration, each.status, each.cause) for each in listed] == [
        ("hubspot", "active", ""),
        ("hotjar", "reauth_required", "grant_revoked"),
        ("hotmart", "active", ""),
    ]


def test_sessions_begin_and_are_completed_without_an_api() -> None:
    vault = Vault.for_testing({"acme/hubspot": TOKEN})
    assert vault.connect_url("acme", "hubspot", user_ref="u-1") == CONNECT_URL
    assert vault.complete("acme", session="s", handle="h", user_ref="u-1") == vault.connections("acme")[0]
    with pytest.raises(InvalidRequest, match="globex"):
        vault.complete("globex", session="s", handle="h", user_ref="u-1")


@pytest.mark.parametrize("name", ["", "acme", "acme/", "acme/a b", "acme/a/b/c"])
def test_a_connection_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        Vault.for_testing({name: TOKEN})


def test_the_documented_function_passes_its_documented_test(tmp_path: Path) -> None:
    blocks = dict(BLOCK.findall((ROOT / "docs" / "reading.md").read_text()))
    assert set(blocks) == {"app.py", "test_app.py"}
    for name, program in blocks.items():
        (tmp_path / name).write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "layers" / "consentry"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, "3 passed" in done.stdout) == (0, True), done.stdout
