"""Disconnecting end to end: from the signed call to a provider that knows the grant no more."""

import time
from collections.abc import Callable

import pytest

from consentry.errors import NotConnected
from dev.acme.trouble import Trouble
from dev.running import tick
from tests.support.person import Company, consent_url, disconnect_url, query_of

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


def test_a_person_disconnects_on_the_page_and_connects_again_by_the_same_link(company: Company) -> None:
    company.connect("leaver-by-page", TICKETING, account="globex")
    alive = company.asked("stats")["live_grants"]
    begun = company.begin("leaver-by-page", TICKETING)
    url = disconnect_url(begun, TICKETING)
    answer = company.ends(url)
    assert answer.headers["Location"] == f"{begun['connect_url']}#name-{TICKETING}"
    assert "Disconnect" not in company.get(begun["connect_url"]).text  # it is being removed, or gone by now
    with company.vault() as vault, pytest.raises(NotConnected):
        vault.token("leaver-by-page", TICKETING)
    tick(company.ready)
    until(gone(company, "leaver-by-page"))
    assert company.asked("stats")["live_grants"] < alive
    assert company.get(url).headers["Location"] == answer.headers["Location"]  # there is nothing to be asked any more
    returned = query_of(company.get(company.consents(consent_url(begun))))
    company.consentry.complete("leaver-by-page", returned["session"], returned["handle"], "u-1")
    assert company.consentry.token("leaver-by-page", TICKETING).generation == 1


def test_the_page_of_a_session_that_may_not_disconnect_does_not(company: Company) -> None:
    company.connect("stayer", TICKETING)
    begun = company.begin("stayer", TICKETING, allow_disconnect=False)
    assert company.get(disconnect_url(begun, TICKETING)).status_code == 410
    assert "Disconnect" not in company.get(begun["connect_url"]).text
    assert company.consentry.token("stayer", TICKETING).generation == 1
