"""A consumer's side of the running stack: crowds, links, examples, outages, and the function in the README."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest

from consentry import Vault
from consentry.errors import InvalidRequest, Misconfigured, NotFound
from dev.running import started, taken_away
from tests.stack.calls import Calls
from tests.stack.tour import HOTJAR, HOTMART, Tour
from tests.support.person import RETURN_URL, Company, query_of

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
ROOT = Path(__file__).parents[2]
README = re.compile(r"^```python\n# app\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROCESSES, THREADS = 4, 20


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A stack whose scheduler sleeps, with the README's function in it."""
    functions = tmp_path_factory.mktemp("my-functions")
    (functions / "hello").mkdir()
    (program,) = README.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    (functions / "hello" / "app.py").write_text(program, encoding="utf-8")
    options = {"HTTPS": "1", "TICK": "3600", "ACCESS_TTL": "600", "ROTATION": "rotates", "GRACE": "0"}
    with started({**options, "RETURN_URLS": RETURN_URL, "FUNCTIONS": str(functions)}) as ready:
        yield Company(ready, ready.authorization_server_url or "")


def refreshes(company: Company, since: int) -> list[str]:
    """What became of every token request but a first one."""
    return [each["outcome"] for each in company.asked("log")[since:] if each["grant_type"] == "refresh_token"]


def crowd(company: Company, tenant: str) -> subprocess.Popen[str]:
    ready = company.ready
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "layers" / "consentry"))),
        "AWS_ENDPOINT_URL": ready.aws_endpoint,
        "AWS_ACCESS_KEY_ID": ready.access_key_id,
        "AWS_SECRET_ACCESS_KEY": ready.secret_access_key,
        "AWS_DEFAULT_REGION": ready.region,
        "CONSENTRY_CONNECTIONS_TABLE": ready.tables["connections"],
        "CONSENTRY_REFRESH_FUNCTION": ready.functions["RefreshFunction"],
    }
    words = [sys.executable, "-m", "tests.support.crowd", tenant, TICKETING, str(THREADS)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_twenty_threads_in_each_of_four_processes_with_one_rejected_token_cause_one_refresh(company: Company) -> None:
    company.connect("crowded", TICKETING)
    Tour(company, Calls(company.ready)).age("crowded", TICKETING)
    before = len(company.asked("log"))
    with ExitStack() as stack:
        processes = [stack.enter_context(crowd(company, "crowded")) for _ in range(PROCESSES)]
        for each in processes:
            stack.callback(each.kill)
            assert each.stdout is not None
            assert each.stdout.readline() == "1\n", each.communicate(timeout=60)
        company.control("expire_access_tokens", system="hubspot")
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        said = [each.communicate(timeout=120) for each in processes]
    assert [out.split() for out, _ in said] == [["2"] * THREADS] * PROCESSES, said
    assert refreshes(company, before) == ["issued"]


def test_a_vault_begins_a_session_completes_it_and_lists_what_came_of_it(company: Company) -> None:
    with company.vault() as vault:
        link = vault.connect_url("linked", TICKETING, user_ref="u-1", return_url=RETURN_URL)
        assert company.get(link).status_code == 200
        begin = link.replace("/connect?", f"/authorize/{TICKETING}?")
        returned = query_of(company.get(company.consents(begin)))
        done = vault.complete("linked", session=returned["session"], handle=returned["handle"], user_ref="u-1")
        assert (done.tenant, done.integration, done.status) == ("linked", TICKETING, "active")
        assert list(vault.connections("linked")) == [done]
        assert vault.token("linked", TICKETING).generation == done.generation


def test_a_session_that_cannot_be_is_refused_with_its_reason(company: Company) -> None:
    with company.vault() as vault:
        with pytest.raises(NotFound, match="no integration 'unknown'"):
            vault.connect_url("linked", "unknown", user_ref="u-1")
        with pytest.raises(InvalidRequest, match="ReturnUrls"):
            vault.connect_url("linked", TICKETING, user_ref="u-1", return_url="https://elsewhere.example/")


def test_whoever_signs_with_another_key_is_told_which_policy_is_missing(company: Company) -> None:
    stranger = boto3.Session("somebody", "else", region_name=company.ready.region)
    with company.vault():
        vault = Vault(session=stranger)
        with pytest.raises(Misconfigured, match="ConnectPolicyArn"):
            vault.connect_url("linked", TICKETING, user_ref="u-1", return_url=RETURN_URL)


def test_a_token_in_the_cache_is_served_while_table_and_key_are_away(company: Company) -> None:
    company.connect("outlasting", TICKETING)
    with company.vault() as vault:
        before = vault.token("outlasting", TICKETING)
        with taken_away(company.ready, "dynamodb", "error"), taken_away(company.ready, "kms", "drop"):
            assert vault.token("outlasting", TICKETING) is before


@pytest.mark.parametrize(
    ("function", "integration", "inputs", "wanted"),
    [("SurveysFunction", "hotjar", HOTJAR, "surveys"), ("SalesFunction", "hotmart", HOTMART, "sales")],
)
def test_an_example_reads_all_pages_and_a_rejected_token_is_refreshed_once(
    company: Company, function: str, integration: str, inputs: dict[str, str], wanted: str
) -> None:
    company.consentry.put_credentials("examples", integration, inputs, "")
    first = company.invoke(function, {"tenant": "examples", "limit": 10})
    assert (len(first[wanted]) > 10, first["pages"] > 1) == (True, True), first
    Tour(company, Calls(company.ready)).age("examples", integration)
    company.control("expire_access_tokens", system=integration)
    assert company.invoke(function, {"tenant": "examples", "limit": 10}) == first
    (connection,) = [each for each in company.consentry.connections("examples") if each["integration"] == integration]
    assert connection["generation"] == 2


def test_a_page_of_html_is_no_list_of_sales(company: Company) -> None:
    company.consentry.put_credentials("html", "hotmart", HOTMART, "")
    company.control("faults", system="hotmart", endpoint="api", kind="html", status=200, count=1)
    assert company.invoke("SalesFunction", {"tenant": "html"})["error"] == "provider_error"


def test_a_limit_that_hubspot_names_is_waited_for_or_told(company: Company) -> None:
    company.connect("limited", TICKETING)
    fault = {"system": "hubspot", "endpoint": "api", "kind": "status", "status": 429, "count": 1}
    company.control("faults", policy_name="SECONDLY", **fault)
    assert company.invoke("TicketsFunction", {"tenant": "limited"})["tickets"]
    company.control("faults", policy_name="DAILY", **fault)
    assert company.invoke("TicketsFunction", {"tenant": "limited"})["error"] == "rate_limited"


def test_the_function_in_the_readme_reads_tickets_and_says_how_to_connect(company: Company) -> None:
    company.connect("readme", TICKETING)
    assert len(company.invoke("hello", {"tenant": "readme"})["tickets"]) == 10
    told = company.invoke("hello", {"tenant": "nobody"})
    assert (told["error"], "connect_url" in told["message"]) == ("not_connected", True)
