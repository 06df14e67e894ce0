"""Refreshing by real workers: by schedule alone, after a 401, and after a worker was killed in the middle."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.authserver.options import Options
from dev.authserver.server import listen
from dev.running import started, workers
from tests.support.person import RETURN_URL, Company

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
PROVIDER = """
id = "crm"
name = "Any CRM"
grant = "authorization_code"
checked = 2026-11-01
sources = ["https://datatracker.ietf.org/doc/html/rfc6749"]

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
reuse_grace_seconds = 600
"""
SECRET = "CNRY-secret:with/reserved +characters-52f0"
GRACE = 600


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company whose provider is known from two files alone, and forgives replays for ten minutes."""
    folder = tmp_path_factory.mktemp("newcomer")
    server, simulation = listen(0, Options(access_ttl=40, rotation="rotates", grace=GRACE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "crm.toml").write_text(PROVIDER.format(server=simulation.base_url))
    (folder / "integrations.json").write_text(
        f'[{{"id": "our-crm", "provider": "crm", "client_id": "us:and/you", "client_secret": "{SECRET}"}}]'
    )
    options = {
        "TICK": "2",
        "ACCESS_TTL": "40",
        "HTTPS": "1",
        "RETURN_URLS": RETURN_URL,
        "ALLOW_LOOPBACK_PROVIDERS": "1",
    }
    files = {"PROVIDERS": str(folder), "INTEGRATIONS": str(folder / "integrations.json")}
    try:
        with started(options | files) as ready:
            company = Company(ready, simulation.base_url)
            redirect = f"{ready.base_url}/callback/our-crm"
            client = {"client_id": "us:and/you", "client_secret": SECRET, "redirect_uris": [redirect], "scopes": []}
            company.control("clients", system="generic", **client)
            yield company
    finally:
        server.shutdown()


def until(seen: Callable[[], Any], *, seconds: float) -> Any:  # noqa: ANN401 - whatever was waited for
    """Return the first true answer; the bound only ends a wait that would never end."""
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        if time.monotonic() > deadline:
            pytest.fail(f"not seen within {seconds} s: {seen.__name__}")
        time.sleep(0.25)
    return found


def generation(company: Company, tenant: str, integration: str) -> int:
    record = company.record(tenant, integration)
    return int(record["gen"]["N"]) if record else 0


def kill_in_the_middle(company: Company, tenant: str, integration: str, system: str) -> None:
    """Let the provider rotate and then hesitate; kill the worker that waits for the answer."""
    before, call = hesitating(company, tenant, integration, system)
    for pid in workers(company.ready).get("RefreshFunction", []):
        os.kill(pid, signal.SIGKILL)
    call.join(20)
    record = company.record(tenant, integration)
    assert record is not None
    assert (record["gen"], record["pend_gen"]) == ({"N": str(before)}, {"N": str(before)})


def hesitating(company: Company, tenant: str, integration: str, system: str) -> tuple[int, threading.Thread]:
    """Return the generation whose refresh waits at the provider, and the call; it may take a few times.

    A request of the schedule, for another connection, can be the one that meets the fault.
    """

    def in_flight() -> bool:
        return bool(company.asked("stats")["faults_left"] == 0)

    for _ in range(8):
        before = generation(company, tenant, integration)
        company.control("faults", system=system, endpoint="token", kind="delay_after", seconds=15, count=1)
        hint = {"tenant": tenant, "connection": f"{integration}#default", "rejected_generation": before}
        call = threading.Thread(target=company.invoke, args=("RefreshFunction", hint), daemon=True)
        call.start()
        until(in_flight, seconds=20)
        call.join(3)
        if call.is_alive():
            return before, call
    pytest.fail("others met the fault, time and again")


def test_a_new_provider_needs_two_files_and_no_code(newcomer: Company) -> None:
    connection = newcomer.connect("acme", "our-crm")
    assert (connection["status"], connection["provider"], connection["scopes"]) == ("active", "crm", ["contacts"])
    assert connection["account"]
    newcomer.consentry.refresh("acme", "our-crm", 1)
    assert newcomer.consentry.token("acme", "our-crm").generation == 2


def test_a_killed_worker_costs_nothing_with_a_grace_and_is_flagged_without(company: Company, newcomer: Company) -> None:
    company.connect("killed", TICKETING)
    newcomer.connect("killed", "our-crm")
    kill_in_the_middle(company, "killed", TICKETING, "hubspot")
    kill_in_the_middle(newcomer, "killed", "our-crm", "generic")

    def recovered() -> bool:
        return generation(newcomer, "killed", "our-crm") >= 2

    def flagged() -> str:
        record = company.record("killed", TICKETING) or {}
        return str(record.get("status_cause", {}).get("S", ""))

    until(recovered, seconds=150)
    assert newcomer.asked("stats")["families_revoked"] == 0
    assert until(flagged, seconds=60) == "ambiguous_rotation"
    (seen,) = company.consentry.connections("killed")
    assert (seen["status"], seen["cause"]) == ("reauth_required", "ambiguous_rotation")


def test_the_schedule_alone_keeps_a_connection_fresh(company: Company) -> None:
    seen_before = len(company.asked("log"))
    company.connect("scheduled", TICKETING)

    def rotated_twice() -> bool:
        return generation(company, "scheduled", TICKETING) >= 3

    until(rotated_twice, seconds=120)
    posts = [each for each in company.asked("log")[seen_before:] if each["grant_type"] == "refresh_token"]
    presented = [each["refresh_token_id"] for each in posts if each["outcome"] == "issued"]
    assert len(presented) >= 2
    assert len(set(presented)) == len(presented)
    assert company.asked("stats")["max_in_flight_per_grant"] == 1


def test_a_rejected_token_is_renewed_once_and_the_reader_never_notices(company: Company) -> None:
    company.connect("rejected", TICKETING)
    company.control("expire_access_tokens", system="hubspot")
    read = company.invoke("TicketsFunction", {"tenant": "rejected", "limit": 50})
    assert read["tickets"], read
    assert generation(company, "rejected", TICKETING) == 2


def test_a_grant_revoked_at_the_provider_is_flagged(company: Company) -> None:
    company.connect("revoked", "hotjar-code")
    company.control("revoke", system="hotjar")
    answer = company.invoke(
        "RefreshFunction", {"tenant": "revoked", "connection": "hotjar-code#default", "rejected_generation": 1}
    )
    assert answer == {"generation": 1, "outcome": "reauth_required"}
    (seen,) = company.consentry.connections("revoked")
    assert (seen["status"], seen["cause"]) == ("reauth_required", "grant_revoked")


def test_a_broken_message_ends_in_the_dead_letter_queue_and_stops_nobody(company: Company) -> None:
    company.client("sqs").send_message(QueueUrl=company.ready.queue_url, MessageBody='{"v": 1, "tenant": "../x"}')
    text = Path(company.ready.log_file)

    def refused() -> bool:
        return "hint not readable" in text.read_text(encoding="utf-8")

    until(refused, seconds=30)
    assert company.consentry.integrations()
