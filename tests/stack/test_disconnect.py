"""Disconnecting end to end: from the signed call to a provider that knows the grant no more."""

import time
from collections.abc import Callable

import pytest

from consentry.errors import NotConnected
from dev.acme.trouble import Trouble
from dev.running import tick
from tests.support.person import Company

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
PATIENCE_SECONDS = 45


def gone(company: Company, tenant: str) -> Callable[[], bool]:
    return lambda: company.record(tenant, TICKETING) is None


def until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        assert time.monotonic() < deadline, "it was waited for in vain"
        time.sleep(0.1)


@pytest.mark.parametrize("query", ["", "?uninstall=true"])
def test_a_disconnected_connection_is_gone_here_and_at_the_provider(company: Company, query: str) -> None:
    tenant = f"leaver{len(query)}"
    company.connect(tenant, TICKETING, account="globex")
    alive = company.asked("stats")["live_grants"]
    path = f"/tenants/{tenant}/connections/{TICKETING}/default"
    assert company.consentry._call("DELETE", f"{path}{query}") == {"status": "deleting"}
    with company.vault() as vault, pytest.raises(NotConnected):
        vault.token(tenant, TICKETING)
    tick(company.ready)
    until(gone(company, tenant))
    assert company.asked("stats")["live_grants"] < alive
    with pytest.raises(Trouble) as refused:
        company.consentry._call("DELETE", path)
    assert refused.value.status == 404
    company.connect(tenant, TICKETING)
    assert company.consentry.token(tenant, TICKETING).generation == 1
