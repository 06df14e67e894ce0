"""`consentry` as a program, against the local stack: an operator's day, and a stack that is broken."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consentry_cli.doctor.running import clock
from consentry_cli.installation import LOCAL_STACK, local
from dev.options import REPOSITORY
from dev.running import tick
from tests.support.person import Company

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
PATIENCE_SECONDS = 60


class Terminal:
    """Runs `python -m consentry_cli ... --local` on the stack of the session."""

    def __init__(self, company: Company, folder: Path) -> None:
        self.told = folder / "stack.json"
        self.told.write_text(company.ready.to_json())

    def __call__(self, *words: str, typed: str = "", code: int = 0) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "consentry_cli", *words, "--local"],
            cwd=REPOSITORY,
            env={**os.environ, LOCAL_STACK: str(self.told)},
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert told.returncode == code, told.stdout + told.stderr
        assert "Traceback" not in told.stderr
        return told.stdout

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        value = json.loads(self(*words, "--json", code=code))
        assert isinstance(value, dict)
        return value


@pytest.fixture
def terminal(company: Company, tmp_path: Path) -> Terminal:
    return Terminal(company, tmp_path)


def named(terminal: Terminal, code: int = 0) -> set[str]:
    """Return what doctor finds, but for what other tests leave behind on this stack."""
    found = terminal.json("doctor", code=code)["findings"]
    return {each["code"] for each in found} - {"reauth_required", "integration_failing", "integration_held"}


@contextlib.contextmanager
def no_secret(company: Company) -> Iterator[None]:
    client, name = company.client("secretsmanager"), "consentry/consentry-local/integrations/hubspot"
    client.delete_secret(SecretId=name)
    yield
    client.restore_secret(SecretId=name)


@contextlib.contextmanager
def key_disabled(company: Company) -> Iterator[None]:
    client, key_id = company.client("kms"), company.ready.resources["GrantKey"]
    client.disable_key(KeyId=key_id)
    yield
    client.enable_key(KeyId=key_id)


@contextlib.contextmanager
def no_schedule(company: Company) -> Iterator[None]:
    client, name = company.client("scheduler"), company.ready.resources["RefreshDispatchFunctionEveryMinute"]
    told = client.get_schedule(Name=name)
    client.delete_schedule(Name=name)
    yield
    kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State")
    client.create_schedule(**{each: told[each] for each in kept})


@contextlib.contextmanager
def dead_letters(company: Company) -> Iterator[None]:
    client, url = company.client("sqs"), company.ready.dead_letter_queue_url
    client.send_message(QueueUrl=url, MessageBody="{}")
    yield
    client.purge_queue(QueueUrl=url)


def test_doctor_finds_nothing_wrong_with_a_stack_that_is_well(terminal: Terminal) -> None:
    assert named(terminal) == set()


@pytest.mark.parametrize("broken", [no_secret, key_disabled, no_schedule, dead_letters])
def test_doctor_names_what_is_broken(
    company: Company, terminal: Terminal, broken: Callable[[Company], contextlib.AbstractContextManager[None]]
) -> None:
    with broken(company):
        assert named(terminal, code=1) == {broken.__name__}


def test_doctor_names_a_clock_that_is_wrong(terminal: Terminal) -> None:
    installation = local({LOCAL_STACK: str(terminal.told)})
    assert list(clock(installation)) == []
    (found,) = clock(installation, datetime.now(UTC) + timedelta(minutes=10))
    assert (found.code, found.level) == ("clock_skew", "problem")


def test_a_schedule_that_is_gone_stops_the_dispatcher_and_comes_back_with_it(company: Company) -> None:
    with no_schedule(company):
        tick(company.ready)
        assert company.client("scheduler").list_schedules()["Schedules"] == []


def test_an_operator_sees_and_ends_connections_and_reads_a_token(company: Company, terminal: Terminal) -> None:
    company.connect("operated", TICKETING)
    assert f"{company.ready.base_url}/callback/{TICKETING}" in terminal("integrations", "list")
    terminal("integrations", "check", TICKETING)
    (one,) = terminal.json("connections", "list", "operated")["connections"]
    assert (one["integration"], one["status"]) == (TICKETING, "active")
    assert terminal("token", "operated", TICKETING).strip() == company.consentry.token(
        "operated", TICKETING
    ).access_token.reveal()  # fmt: skip
    terminal("connections", "disconnect", "operated", TICKETING, "--yes")
    terminal("token", "operated", TICKETING, code=3)


def test_what_happened_is_read_from_the_streams(company: Company, terminal: Terminal) -> None:
    company.connect("happened", TICKETING)
    told = terminal.json("events", "tail", "--history", "--tenant", "happened", "--count", "1")
    assert (told["detail-type"], told["detail"]["integration"]) == ("connection.connected", TICKETING)


def test_a_grant_goes_out_and_comes_back_and_is_refreshed_at_the_provider(
    company: Company, terminal: Terminal, tmp_path: Path
) -> None:
    company.connect("moving", TICKETING, account="globex")
    key, file = str(tmp_path / "key"), str(tmp_path / "file")
    terminal("keys", "new", key)
    words = (
        "connections",
        "export",
        "--still-refreshing",
        "--tenant",
        "moving",
        "--to",
        f"{key}.pub",
        "--output",
        file,
    )
    assert terminal.json(*words)["exported"] == 1
    row = {"tenant": {"S": "moving"}, "connection": {"S": f"{TICKETING}#default"}}
    company.client("dynamodb").delete_item(TableName=company.ready.tables["connections"], Key=row)
    terminal("token", "moving", TICKETING, code=3)
    told = terminal.json("connections", "import", file, "--key", key)
    assert [each["fate"] for each in told["rows"]] == ["new"]
    tick(company.ready)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (company.record("moving", TICKETING) or {})["gen"]["N"] == "1":
        assert time.monotonic() < deadline, "it was waited for in vain"
        time.sleep(0.2)
    assert terminal("token", "moving", TICKETING).strip()
    terminal("connections", "disconnect", "moving", TICKETING, "--yes")  # another test counts who shares the account
