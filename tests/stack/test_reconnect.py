"""Connecting again, end to end, at a provider whose grants can be ended one by one (S-42, S-45)."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from dev.acme.consentry_api import Consentry
from dev.acme.trouble import Trouble
from dev.authserver.options import Options
from dev.authserver.parties import Client
from dev.authserver.server import listen
from dev.authserver.simulation import Simulation
from dev.authserver.systems import GENERIC
from dev.running import started
from tests.support.person import RETURN_URL, Company, consent_url, query_of

pytestmark = pytest.mark.stack
CRM: Final = "crm"
SECRET: Final = "CNRY-client-secret-5f1e"
AT_ONCE: Final = 24  # 64 of them: tests/unit/connect/test_strays.py
PROVIDER: Final = """
id = "alone"
name = "Alone"
grant = "authorization_code"
checked = 2026-11-01
sources = ["https://datatracker.ietf.org/doc/html/rfc6749"]
revocation_url = "{server}/auth.example/revoke"
revocation = "token"

[authorization]
url = "{server}/auth.example/authorize"
pkce = "required"
default_scopes = ["contacts"]
issuer = "{server}/auth.example"
issuer_required = true

[token]
url = "{server}/auth.example/token"
client_authentication = "client_secret_basic"
body = "form"

[introspection]
url = "{server}/auth.example/introspect"
account_field = "sub"

[refresh]
rotation = "rotates"
reuse_grace_seconds = 0
"""


@dataclass
class Place:
    company: Company
    provider: Simulation

    @property
    def live(self) -> int:
        return self.provider.grants.live_count()

    def back(self, tenant: str, account: str = "acme") -> dict[str, str]:
        """Consent; return what the browser brings to the company, which has not completed it yet."""
        url = consent_url(self.company.begin(tenant, CRM))
        return query_of(self.company.get(self.company.consents(url, account=account)))

    def complete(self, tenant: str, back: dict[str, str]) -> str:
        """Return the code of the refusal, or an empty text."""
        try:
            Consentry(self.company.ready).complete(tenant, back["session"], back["handle"], "u-1")
        except Trouble as trouble:
            return trouble.code
        return ""

    @property
    def log(self) -> list[dict[str, object]]:
        lines = Path(self.company.ready.log_file).read_text(encoding="utf-8").splitlines()
        found = [json.loads(line[line.index("{") :]) for line in lines if '"message":"stray grant"' in line]
        return list(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server, provider = listen(0, Options(access_ttl=600, rotation="rotates"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    folder = tmp_path_factory.mktemp("providers")
    (folder / "alone.toml").write_text(PROVIDER.format(server=provider.base_url))
    offers = folder / "integrations.json"
    offers.write_text(json.dumps([{"id": CRM, "provider": "alone", "client_id": CRM, "client_secret": SECRET}]))
    options = {
        "HTTPS": "1", "TICK": "60", "ALLOW_LOOPBACK_PROVIDERS": "1", "PROVIDERS": str(folder),
        "INTEGRATIONS": str(offers), "RETURN_URLS": RETURN_URL,
    }  # fmt: skip
    try:
        with started(options) as ready:
            callback = f"{ready.base_url}/callback/{CRM}"
            provider.parties.put_client(
                Client(system=GENERIC.id, client_id=CRM, client_secret=SECRET, redirect_uris=(callback,))
            )
            yield Place(Company(ready, provider.base_url), provider)
    finally:
        server.shutdown()
        server.server_close()


def test_consent_as_somebody_else_is_refused_and_revoked_and_the_old_token_works(place: Place) -> None:
    """S-42."""
    assert place.complete("alice", place.back("alice")) == ""
    before, live = place.company.consentry.token("alice", CRM), place.live
    assert place.complete("alice", place.back("alice", "globex")) == "account_mismatch"
    assert place.live == live
    after = place.company.consentry.token("alice", CRM)
    assert (after.generation, after.access_token.reveal()) == (before.generation, before.access_token.reveal())
    token = place.provider.grants.access(GENERIC.id, after.access_token.reveal())
    assert token is not None
    assert token.expires_at > place.provider.clock()
    assert [(line["outcome"], line["code"]) for line in place.log] == [("revoked", "account_mismatch")]


def test_of_many_completions_for_one_connection_at_once_one_grant_lives(place: Place) -> None:
    """S-45."""
    live = place.live
    back = [place.back("raced") for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(lambda each: place.complete("raced", each), back))
    assert codes.count("") == 1
    assert set(codes) <= {"", "overtaken", "expired"}  # a machine that is slow may let the first minute pass
    assert place.live == live + 1
    token = place.company.consentry.token("raced", CRM)
    kept = place.provider.grants.access(GENERIC.id, token.access_token.reveal())
    assert kept is not None
    assert kept.grant is not None
    assert kept.grant.live
    assert token.generation == 1


def test_a_stray_grant_is_logged_without_its_token(place: Place) -> None:
    text = Path(place.company.ready.log_file).read_text(encoding="utf-8")
    assert '"message":"stray grant"' in text
    assert "CNRY-" not in text
