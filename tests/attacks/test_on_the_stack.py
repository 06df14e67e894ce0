"""S-05, S-06, S-15, S-29 end to end: a rogue provider beside an honest one; what is left of a tenant that is erased."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from dev.authserver.options import Options
from dev.authserver.server import listen
from dev.authserver.simulation import Simulation
from dev.running import started, tick
from tests.attacks.rogue import Rogue, listening
from tests.support.disguises import disguises
from tests.support.person import RETURN_URL, Company, consent_url, form_url, query_of
from tests.support.tables import plain_texts

pytestmark = pytest.mark.stack
PATIENCE_SECONDS = 120
PROVIDER = """
id = "{name}"
name = "{name}"
grant = "authorization_code"
checked = 2026-11-01
sources = ["https://datatracker.ietf.org/doc/html/rfc6749"]
{more}
[authorization]
url = "{server}/authorize"
pkce = "required"
default_scopes = ["contacts"]
{issuer}
[token]
url = "{server}/token"
client_authentication = "client_secret_basic"
body = "form"

[refresh]
rotation = "rotates"
reuse_grace_seconds = 0
"""
ISSUER = 'issuer = "{server}"\nissuer_required = true'
SECRET = "CNRY-client-secret-{name}-52f0c1d87a"
HOTJAR = {"client_id": "hotjar-demo-customer", "client_secret": "hotjar-demo-secret"}


@pytest.fixture(scope="module")
def rogue() -> Iterator[Rogue]:
    with listening() as found:
        yield found


@pytest.fixture(scope="module")
def honest() -> Iterator[Simulation]:
    """An authorization server in this process, so that everything it ever issued is at hand."""
    server, simulation = listen(0, Options(rotation="rotates"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield simulation
    server.shutdown()
    thread.join(10)


@pytest.fixture(scope="module")
def company(rogue: Rogue, honest: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Integrations `honest` and `rogue`, whose servers name themselves (RFC 9207), and `-plain` ones that do not."""
    folder = tmp_path_factory.mktemp("rogue")
    servers = {"honest": f"{honest.base_url}/auth.example", "rogue": rogue.url}
    names = [f"{name}{kind}" for name in servers for kind in ("", "-plain")]
    for name in names:
        server = servers[name.partition("-")[0]]
        issuer = "" if name.endswith("-plain") else ISSUER.format(server=server)
        revocation = f'revocation_url = "{server}/revoke"\nrevocation = "token"\n' if "honest" in name else ""
        text = PROVIDER.format(name=name, server=server, issuer=issuer, more=revocation)
        (folder / f"{name}.toml").write_text(text)
    offers = [{"id": n, "provider": n, "client_id": f"us-{n}", "client_secret": SECRET.format(name=n)} for n in names]
    (folder / "integrations.json").write_text(json.dumps(offers))
    options = {
        "TICK": "2",
        "HTTPS": "1",
        "RETURN_URLS": RETURN_URL,
        "ALLOW_LOOPBACK_PROVIDERS": "1",
        "PROVIDERS": str(folder),
        "INTEGRATIONS": str(folder / "integrations.json"),
    }
    with started(options) as ready:
        found = Company(ready, honest.base_url)
        for name in names[:2]:
            register(found, name)
        yield found


def register(company: Company, name: str, *more_callbacks: str) -> None:
    callbacks = [f"{company.ready.base_url}/callback/{each}" for each in (name, *more_callbacks)]
    secret = SECRET.format(name=name)
    company.control("clients", system="generic", client_id=f"us-{name}", client_secret=secret, redirect_uris=callbacks)


@pytest.fixture(params=["iss", "no iss"])
def kind(request: pytest.FixtureRequest, company: Company) -> Iterator[str]:
    """The end of the names of integrations whose servers name themselves, or do not."""
    names_itself = request.param == "iss"
    company.control("options", iss=None if names_itself else "omit")
    yield "" if names_itself else "-plain"
    company.control("options", iss=None)


def lured(company: Company, rogue: Rogue, honest: Simulation, kind: str, callback: str) -> requests.Response:
    """Begin a consent at the rogue, who sends the person to the honest server in the honest integration's name."""
    endpoint = f"{honest.base_url}/auth.example/authorize"
    redirect = f"{company.ready.base_url}/callback/{callback}{kind}"
    rogue.sends_on_to(endpoint, client_id=f"us-honest{kind}", redirect_uri=redirect, scope="contacts")
    begun = company.begin("lured", f"rogue{kind}", completion="direct", return_url="")
    departed = company.get(consent_url(begun))
    assert departed.headers["Location"].startswith(rogue.url)
    onward = requests.get(departed.headers["Location"], allow_redirects=False, timeout=30).headers["Location"]
    assert onward.startswith(endpoint)
    form = {"decision": "allow", "account": "acme"}
    return requests.post(onward, data=form, allow_redirects=False, timeout=30)


def exchanges(company: Company) -> int:
    return int(company.asked("stats")["by_grant_type"].get("authorization_code", 0))


def unharmed(company: Company, rogue: Rogue, kind: str, before: dict[str, Any], exchanged: int) -> None:
    assert rogue.received == [], "nothing reached the rogue"
    assert exchanges(company) == exchanged, "no code was redeemed"
    assert company.record("lured", f"rogue{kind}") is None
    assert company.record("lured", f"honest{kind}") == before
    assert company.consentry.token("lured", f"honest{kind}").generation == 1


@pytest.fixture
def before(company: Company, kind: str) -> dict[str, Any]:
    """The honest connection of the person whom the rogue is after."""
    if company.record("lured", f"honest{kind}") is None:
        company.connect("lured", f"honest{kind}")
    record = company.record("lured", f"honest{kind}")
    assert record is not None
    return record


def test_a_code_that_the_rogue_orders_to_the_honest_callback_opens_nothing(
    company: Company, rogue: Rogue, honest: Simulation, kind: str, before: dict[str, Any]
) -> None:
    """S-05, S-06: the honest server gives a code; its state is of another integration."""
    exchanged = exchanges(company)
    decided = lured(company, rogue, honest, kind, "honest")
    assert "code=" in decided.headers["Location"]
    assert company.get(decided.headers["Location"]).status_code == 410
    unharmed(company, rogue, kind, before, exchanged)


def test_a_code_that_the_rogue_orders_to_its_own_callback_is_not_even_given(
    company: Company, rogue: Rogue, honest: Simulation, kind: str, before: dict[str, Any]
) -> None:
    """S-06: each integration has a redirect URI of its own, which is not registered for the honest one."""
    exchanged = exchanges(company)
    decided = lured(company, rogue, honest, kind, "rogue")
    assert (decided.status_code, "Location" in decided.headers) == (400, False)
    unharmed(company, rogue, kind, before, exchanged)


def test_a_server_that_names_itself_is_not_mixed_up_even_where_redirect_uris_are_shared(
    company: Company, rogue: Rogue, honest: Simulation
) -> None:
    """S-05: an operator registered both callbacks at the honest server; its `iss` is not the rogue's."""
    company.control("options", iss=None)
    register(company, "honest", "rogue")
    exchanged = exchanges(company)
    decided = lured(company, rogue, honest, "", "rogue")
    assert "code=" in decided.headers["Location"]
    assert company.get(decided.headers["Location"]).status_code == 400
    assert rogue.received == []
    assert exchanges(company) == exchanged
    register(company, "honest")


# S-15, S-29: a tenant with everything that a tenant can have, erased.


def until_gone(company: Company, tenant: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while company.consentry.connections(tenant):
        assert time.monotonic() < deadline, "the tenant's connections stay"
        tick(company.ready)
        time.sleep(0.2)


def everything_stored(company: Company) -> list[str]:
    client = company.client("dynamodb")
    rows = [row for table in company.ready.tables.values() for row in client.scan(TableName=table)["Items"]]
    return [text for row in rows for text in plain_texts(row)]


def left_in_queues(company: Company) -> int:
    """Count the messages of every queue there is, dead letters and escrow included."""
    sqs, count = company.client("sqs"), 0
    for url in sqs.list_queues().get("QueueUrls", []):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        count += sum(int(value) for value in found.values())
    return count


def issued_by(honest: Simulation) -> list[str]:
    """Every code and token that the honest server ever gave to anybody."""
    grants = honest.grants
    return [value for kept in (grants._codes, grants._refresh_tokens, grants._access_tokens) for value in kept]


def lives_a_life(company: Company, tenant: str) -> list[str]:
    """Connect, be refused, enter credentials, leave a consent half done; return the secrets that were on the way."""
    company.connect(tenant, "honest")
    begun = company.begin(tenant, "honest", name="parked", integrations=["honest", "hotjar"], user_ref=f"{tenant}-user")
    callback = company.consents(begun["authorize_urls"]["honest"])
    parked = query_of(company.get(callback))
    denied = company.begin(tenant, "honest", name="denied")
    company.get(company.consents(consent_url(denied), decision="deny"))
    company.get(callback)
    url = form_url(begun, "hotjar")
    assert company.enters(url, HOTJAR | {"client_secret": "CNRY-wrong-customer-secret-6b1c"}).status_code == 400
    assert company.enters(url, HOTJAR, label=f"{tenant} shop").status_code == 303
    tokens = [company.consentry.token(tenant, "honest"), cast("Any", company.consentry)._call(
        "GET", f"/tenants/{tenant}/connections/hotjar/parked/token")]  # fmt: skip
    cookies = [value for value in company.browser.cookies.values() if value]
    return [
        tokens[0].access_token.reveal(),
        tokens[1]["access_token"],
        parked["handle"],
        begun["connect_url"].partition("session=")[2],
        denied["connect_url"].partition("session=")[2],
        dict(part.split("=", 1) for part in callback.partition("?")[2].split("&"))["state"],
        *cookies,
    ]


def test_of_an_erased_tenant_nothing_is_left_but_what_the_documents_say(company: Company, honest: Simulation) -> None:
    """S-15, S-29: no row, no message, no grant; sessions hold names until they end, logs names, nothing any secret."""
    tenant = "eraser"
    company.connect("stays", "honest")
    on_the_way = lives_a_life(company, tenant)
    live = company.asked("stats")["live_grants"]
    assert company.consentry._call("DELETE", f"/tenants/{tenant}")["deleting"] == 2
    until_gone(company, tenant)
    assert company.asked("stats")["live_grants"] == live - 1
    client, tables = company.client("dynamodb"), company.ready.tables
    connections = client.scan(TableName=tables["connections"])["Items"]
    assert tenant not in {row["tenant"]["S"] for row in connections}
    assert [text for row in connections for text in plain_texts(row) if tenant in text] == []
    assert "stays" in {row["tenant"]["S"] for row in connections}
    pending = client.scan(TableName=tables["pending"])["Items"]
    assert all(int(row["ttl"]["N"]) < time.time() + 2 * 86_400 for row in pending)
    assert left_in_queues(company) == 0
    scan(company, [*on_the_way, *issued_by(honest), *(SECRET.format(name=each) for each in ("honest", "rogue"))])


def scan(company: Company, secrets: list[str]) -> None:
    """S-15: raw, encoded in the usual ways, and in part, in tables and logs."""
    stored, said = "\n".join(everything_stored(company)), Path(company.ready.log_file).read_text(encoding="utf-8")
    assert len(secrets) > 12
    assert '"message":"consent"' in said
    assert len(stored) > 1000
    for secret in {*secrets, HOTJAR["client_secret"], "CNRY-wrong-customer-secret-6b1c"}:
        for disguise in disguises(secret):
            assert disguise not in said, "a secret was logged"
            assert disguise not in stored, "a secret is stored in clear"
    assert "CNRY-" not in said
