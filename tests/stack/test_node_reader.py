"""A reader in another language on the running stack: Node, with the example's own code and AWS's libraries."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consentry.bearer import Token
from consentry.errors import UnreadableRecord
from dev.running import started
from tests.support.node_packages import NodePackages, node
from tests.support.own_environment import NotInstalled
from tests.support.person import RETURN_URL, Company

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
SOURCE = Path(__file__).parents[2] / "examples" / "node-reader"
PROGRAM = Path(__file__).with_name("read.mjs")


@pytest.fixture(scope="module")
def company(place: Path) -> Iterator[Company]:
    """A stack whose scheduler sleeps and whose tokens outlast the tests; none is started where Node is missing."""
    options = {"HTTPS": "1", "TICK": "3600", "ACCESS_TTL": "600", "ROTATION": "rotates", "GRACE": "0"}
    with started({**options, "RETURN_URLS": RETURN_URL}) as ready:
        yield Company(ready, ready.authorization_server_url or "")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages."""
    place = tmp_path_factory.mktemp("node-reader")
    try:
        NodePackages("node-reader", SOURCE).beside(place, [PROGRAM])
    except NotInstalled as reason:
        pytest.skip(f"NOT TESTED: the reader for Node: {reason}")
    return place


def read(company: Company, place: Path, tenant: str) -> dict[str, Any]:
    """Run the example in a process of its own."""
    ready = company.ready
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "AWS_ENDPOINT_URL": ready.aws_endpoint,
        "AWS_ACCESS_KEY_ID": ready.access_key_id,
        "AWS_SECRET_ACCESS_KEY": ready.secret_access_key,
        "AWS_REGION": ready.region,
        "CONSENTRY_CONNECTIONS_TABLE": ready.tables["connections"],
        "CONSENTRY_ACCESS_KEY": ready.outputs["AccessKeyArn"],
        "HUBSPOT_API_BASE": f"{company.authorization_server}/api.hubapi.com",
    }
    command = [node() or "node", PROGRAM.name, tenant]
    told = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stderr[-2000:]
    assert "CNRY-" not in told.stderr
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def digest_of(token: Token) -> str:
    return hashlib.sha256(token.authorization.encode()).hexdigest()


def test_node_reads_the_token_that_python_wrote_and_the_provider_takes_it(company: Company, place: Path) -> None:
    company.connect("node", TICKETING)
    with company.vault() as vault:
        token = vault.token("node", TICKETING)
    told = read(company, place, "node")
    assert len(told["answer"]["tickets"]) == 10, told
    assert (told["generation"], told["digest"]) == (token.generation, digest_of(token))


def test_a_record_moved_to_another_tenant_s_row_opens_in_neither_language(company: Company, place: Path) -> None:
    company.connect("node-victim", TICKETING)
    taken = company.record("node-victim", TICKETING)
    assert taken is not None
    table = company.ready.tables["connections"]
    company.client("dynamodb").put_item(TableName=table, Item=taken | {"tenant": {"S": "node-thief"}})
    assert read(company, place, "node-thief")["answer"]["error"] == "unreadable_record"
    with company.vault() as vault, pytest.raises(UnreadableRecord):
        vault.token("node-thief", TICKETING)
    assert "tickets" in read(company, place, "node-victim")["answer"]


def test_who_has_not_connected_is_told_so(company: Company, place: Path) -> None:
    told = read(company, place, "node-nobody")["answer"]
    assert told["error"] == "not_connected"
    assert "node-nobody has not connected hubspot-ticketing" in told["message"]
