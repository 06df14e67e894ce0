"""Reading a token: what it costs, what it returns, and what it raises. AWS is three small fakes that count."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from boto3.session import Session
from botocore.exceptions import ClientError, NoRegionError, ReadTimeoutError

from consentry import ConsentryError, NotConnected, ReauthRequired, TokenUnavailable, Vault
from consentry.envelope import seal
from consentry.errors import InvalidRequest, Misconfigured, UnreadableRecord
from consentry.model import ConnectionKey, Field
from consentry.read import CACHE_SECONDS, OUTAGE_PAUSE_SECONDS
from consentry.record import READ_ATTRIBUTES
from consentry.sharing import REFRESH_PAUSE_SECONDS, begin_again

KEY = ConnectionKey("acme", "hubspot")
ACCESS_KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DATA_KEY = bytes(range(32))
START = 1_800_000_000
CANARY = "CNRY-access-"


def secret(gen: int, key: ConnectionKey = KEY) -> str:
    return f"{CANARY}{key.tenant}-{key.integration}-{key.name}-{gen}-5d0c7be2f19a4863"


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": CANARY}}, "Operation")


def projected(request: dict[str, Any]) -> list[str]:
    return [request["ExpressionAttributeNames"][part] for part in request["ProjectionExpression"].split(", ")]


class FakeAws:
    """A connections table, a KMS key and a refresh function, behind what a boto3 Session offers."""

    def __init__(self) -> None:
        self.now = float(START)
        self.region_name = "eu-central-1"
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.reads: list[dict[str, Any]] = []
        self.decrypts: list[dict[str, Any]] = []
        self.invocations: list[dict[str, Any]] = []
        self.clients: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.answered: tuple[bytes, dict[str, object]] | None = None
        self.on_refresh: Callable[[ConnectionKey, int], object] = self.renew
        self.slept: Callable[[float], object] = lambda _now: None
        self.stale_item: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def client(self, service: str, *, config: object) -> object:
        self.clients.append(service)
        return SimpleNamespace(get_item=self.get_item, decrypt=self.decrypt, invoke=self.invoke)

    def store(self, gen: int = 1, *, key: ConnectionKey = KEY, lifetime: int | None = 3600, **changes: object) -> None:
        context = key.encryption_context(Field.ACCESS_TOKEN)
        sealed = seal(
            secret(gen, key).encode(),
            data_key=DATA_KEY,
            encrypted_data_key=b"wrapped",
            key_arn=ACCESS_KEY,
            context=context,
            message_id=gen.to_bytes(32),
        )
        item = {
            "tenant": {"S": key.tenant},
            "connection": {"S": key.sort_key},
            "v": {"N": "1"},
            "status": {"S": "active"},
            "gen": {"N": str(gen)},
            "access_token": {"B": sealed},
            "grant": {"B": b"never asked for"},
            "token_type": {"S": "bearer"},
            "refreshed_at": {"N": str(int(self.now))},
            "scopes": {"L": [{"S": "tickets"}]},
            "metadata": {"M": {"hub_id": {"N": "4242"}, "region": {"S": "eu1"}}},
            "account": {"S": "4242"},
        }
        if lifetime is not None:
            item["expires_at"] = {"N": str(int(self.now) + lifetime)}
        self.items[key.tenant, key.sort_key] = {**item, **changes}

    def renew(self, key: ConnectionKey, gen: int) -> object:
        self.store(gen + 1, key=key)
        return {"generation": gen + 1, "outcome": "refreshed"}

    def change(self, **changes: object) -> None:
        self.items[KEY.tenant, KEY.sort_key] |= changes

    def _called(self, operation: str) -> None:
        with self._lock:
            self.calls.append(operation)
        if error := self.failing.get(operation):
            raise error

    def get_item(self, **request: object) -> dict[str, Any]:
        self._called("GetItem")
        self.reads.append(request)
        key = cast("dict[str, dict[str, str]]", request["Key"])
        item = self.items.get((key["tenant"]["S"], key["connection"]["S"]))
        if self.stale_item is not None and not request["ConsistentRead"]:
            item = self.stale_item
        wanted = set(projected(request))
        return {"Item": {name: value for name, value in item.items() if name in wanted}} if item else {}

    def decrypt(self, **request: object) -> dict[str, Any]:
        self._called("Decrypt")
        self.decrypts.append(request)
        return {"Plaintext": DATA_KEY, "KeyId": request["KeyId"]}

    def invoke(self, **request: object) -> dict[str, Any]:
        self._called("Invoke")
        wish = json.loads(cast("bytes", request["Payload"]))
        self.invocations.append({**wish, "function": request["FunctionName"]})
        key = ConnectionKey.from_sort_key(wish["tenant"], wish["connection"])
        answer = self.on_refresh(key, wish["rejected_generation"])
        payload, more = self.answered or (json.dumps(answer).encode(), {})
        return {"StatusCode": 200, "Payload": io.BytesIO(payload), **more}

    def vault(
        self,
        *,
        table: str | None = "connections",
        refresh_function: str | None = "refresh",
        deadline_seconds: float = 10.0,
    ) -> Vault:
        return Vault(
            table=table,
            refresh_function=refresh_function,
            session=cast("Session", self),
            clock=lambda: self.now,
            sleep=self.sleep,
            deadline_seconds=deadline_seconds,
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept(self.now)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("CONNECTIONS_TABLE", "REFRESH_FUNCTION", "ACCESS_KEY", "OTHER_ACCESS_KEY")
    for variable in (f"CONSENTRY_{name}" for name in names):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def aws() -> FakeAws:
    fake = FakeAws()
    fake.store()
    return fake


def nothing_new(_key: ConnectionKey, gen: int) -> object:
    return {"generation": gen, "outcome": "later"}


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    pytest.fail("waited ten seconds in vain")


# What a read costs


def test_making_a_vault_makes_no_client_and_reads_no_environment(aws: FakeAws) -> None:
    Vault(session=cast("Session", aws))
    assert (aws.clients, aws.calls) == ([], [])


def test_a_miss_costs_one_get_and_one_decrypt_and_a_hit_nothing(aws: FakeAws) -> None:
    vault = aws.vault()
    assert vault.token("acme", "hubspot").access_token.reveal() == secret(1)
    assert aws.calls == ["GetItem", "Decrypt"]
    assert vault.token("acme", "hubspot") is vault.token("acme", "hubspot", "default")
    assert aws.calls == ["GetItem", "Decrypt"]


def test_there_is_one_client_for_each_service_and_none_before_it_is_needed(aws: FakeAws) -> None:
    vault = aws.vault()
    for tenant in ("acme", "globex"):
        aws.store(key=ConnectionKey(tenant, "hubspot"))
        vault.token(tenant, "hubspot")
    assert aws.clients == ["dynamodb", "kms"]


def test_a_read_asks_for_exactly_the_attributes_that_readers_may_see(aws: FakeAws) -> None:
    aws.vault().token("acme", "hubspot")
    (request,) = aws.reads
    named = projected(request)
    assert tuple(named) == READ_ATTRIBUTES
    assert "grant" not in named
    assert (request["TableName"], request["ConsistentRead"]) == ("connections", False)


def test_the_token_is_decrypted_under_the_context_of_its_row(aws: FakeAws) -> None:
    aws.vault().token("acme", "hubspot")
    (request,) = aws.decrypts
    assert request["EncryptionContext"] == {
        "tenant": "acme",
        "connection": "hubspot#default",
        "field": "access_token",
    }
    assert request["KeyId"] == ACCESS_KEY


def test_a_token_tells_what_the_record_says(aws: FakeAws) -> None:
    token = aws.vault().token("acme", "hubspot")
    assert (token.token_type, token.expires_at, token.generation) == ("bearer", START + 3600, 1)
    assert (token.scopes, dict(token.metadata), token.account) == (
        ("tickets",),
        {"hub_id": 4242, "region": "eu1"},
        "4242",
    )


def test_the_cache_is_kept_from_what_a_caller_does_to_a_token(aws: FakeAws) -> None:
    metadata = cast("dict[str, object]", aws.vault().token("acme", "hubspot").metadata)
    with pytest.raises(TypeError):
        metadata["hub_id"] = 1


def test_a_disconnect_is_felt_within_five_minutes(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    aws.change(status={"S": "deleting"})
    aws.now += CACHE_SECONDS
    with pytest.raises(NotConnected):
        vault.token("acme", "hubspot")


def test_a_token_is_not_cached_beyond_its_own_end_less_skew(aws: FakeAws) -> None:
    aws.store(lifetime=100)
    vault = aws.vault()
    assert vault.token("acme", "hubspot").generation == 1
    aws.now += 89
    assert vault.token("acme", "hubspot").generation == 1
    aws.now += 1
    assert vault.token("acme", "hubspot").generation == 2


def test_a_token_without_an_end_is_served_and_cached_five_minutes(aws: FakeAws) -> None:
    aws.store(lifetime=None)
    vault = aws.vault()
    assert vault.token("acme", "hubspot").expires_at is None
    aws.now += CACHE_SECONDS - 1
    vault.token("acme", "hubspot")
    assert aws.calls == ["GetItem", "Decrypt"]
    aws.now += 1
    vault.token("acme", "hubspot")
    assert aws.calls == ["GetItem", "Decrypt"] * 2


def test_the_cache_is_bounded(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consentry.read.CACHE_ENTRIES", 3)
    vault = aws.vault()
    for number in range(5):
        aws.store(key=ConnectionKey(f"tenant{number}", "hubspot"))
        vault.token(f"tenant{number}", "hubspot")
    vault.token("tenant4", "hubspot")
    assert aws.calls.count("GetItem") == 5
    vault.token("tenant0", "hubspot")
    assert aws.calls.count("GetItem") == 6


def test_tenants_names_and_integrations_never_share_a_token(aws: FakeAws) -> None:
    keys = [ConnectionKey(t, i, n) for t in ("a", "b") for i in ("hubspot", "hotjar") for n in ("default", "two")]
    vault = aws.vault()
    for key in keys:
        aws.store(key=key)
    for key in keys * 2:
        token = vault.token(key.tenant, key.integration, key.name)
        assert token.access_token.reveal() == secret(1, key)


def test_a_child_process_has_the_token_and_waits_for_no_thread_of_its_parent(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    with ExitStack() as held:
        held.enter_context(vault._turns.of(ConnectionKey("acme", "hubspot"), 1))  # as a thread does while it reads
        held.enter_context(vault._turns._lock)
        held.enter_context(vault._kept._lock)
        held.enter_context(warnings.catch_warnings(action="ignore", category=DeprecationWarning))  # fork, with threads
        child = os.fork()
        if not child:
            signal.alarm(20)
            assert vault.token("acme", "hubspot").generation == 1 or os._exit(1)
            aws.now += CACHE_SECONDS
            calls = len(aws.calls)
            vault.token("acme", "hubspot")
            os._exit(0 if aws.calls[calls:] == ["GetItem", "Decrypt"] else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_process_makes_its_own_connections_to_aws(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    begin_again()
    vault.token("acme", "hubspot")
    aws.now += CACHE_SECONDS
    vault.token("acme", "hubspot")
    assert aws.clients == ["dynamodb", "kms", "dynamodb", "kms"]


def test_many_threads_that_miss_together_cost_one_read(aws: FakeAws) -> None:
    vault = aws.vault()
    with ThreadPoolExecutor(20) as threads:
        with vault._turns.of(KEY, 10):
            reading = [threads.submit(vault.token, "acme", "hubspot") for _ in range(20)]
            wait_until(lambda: vault._turns._turns[KEY][1] == 21)
        tokens = [each.result() for each in reading]
    assert len(set(map(id, tokens))) == 1
    assert aws.calls == ["GetItem", "Decrypt"]


def test_nothing_is_kept_of_callers_that_are_done(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    assert vault._turns._turns == {}


# Statuses and ends


@pytest.mark.parametrize("status", ["reauth_required", "scope_insufficient"])
def test_a_token_that_still_works_is_served_whatever_became_of_the_grant(aws: FakeAws, status: str) -> None:
    aws.change(status={"S": status}, status_cause={"S": "grant_revoked"})
    assert aws.vault().token("acme", "hubspot").generation == 1
    assert aws.invocations == []


def test_without_a_grant_an_ended_token_is_not_renewed_and_the_customer_is_named_with_the_cause(aws: FakeAws) -> None:
    aws.change(status={"S": "reauth_required"}, status_cause={"S": "ambiguous_rotation"})
    aws.now += 3600
    with pytest.raises(ReauthRequired) as caught:
        aws.vault().token("acme", "hubspot")
    assert caught.value.cause == "ambiguous_rotation"
    assert "POST /tenants/acme/sessions" in str(caught.value)
    assert aws.calls == ["GetItem", "GetItem"]
    assert [each["ConsistentRead"] for each in aws.reads] == [False, True]


def test_nobody_connected_says_how_to_connect(aws: FakeAws) -> None:
    with pytest.raises(NotConnected) as caught:
        aws.vault().token("globex", "hubspot")
    assert 'Vault().connect_url("globex", "hubspot", user_ref' in str(caught.value)
    assert "POST /tenants/globex/sessions" in str(caught.value)


def test_a_connection_that_a_replica_does_not_know_yet_is_found(aws: FakeAws) -> None:
    aws.stale_item = {}
    assert aws.vault().token("acme", "hubspot").generation == 1
    assert aws.calls == ["GetItem", "GetItem", "Decrypt"]


@pytest.mark.parametrize("status", ["reauth_required", "scope_insufficient", "deleting"])
def test_who_has_just_connected_again_is_not_sent_away_by_a_replica(aws: FakeAws, status: str) -> None:
    aws.store(1, lifetime=0, status={"S": status})
    aws.stale_item = aws.items[KEY.tenant, KEY.sort_key]
    aws.store(2)
    assert aws.vault().token("acme", "hubspot").generation == 2
    assert aws.calls == ["GetItem", "GetItem", "Decrypt"]


def test_a_connection_with_a_name_of_its_own_is_connected_again_under_that_name(aws: FakeAws) -> None:
    with pytest.raises(NotConnected, match=r'connect_url."acme", "hubspot", name="second", user_ref'):
        aws.vault().token("acme", "hubspot", "second")


def test_a_token_inside_its_margin_is_served_and_nobody_waits(aws: FakeAws) -> None:
    aws.now += 3539
    assert aws.vault().token("acme", "hubspot").generation == 1
    assert "Invoke" not in aws.calls


def test_an_ended_token_costs_one_refresh_and_a_consistent_read(aws: FakeAws) -> None:
    aws.now += 3540
    assert aws.vault().token("acme", "hubspot").access_token.reveal() == secret(2)
    assert aws.calls == ["GetItem", "Invoke", "GetItem", "Decrypt"]
    assert [read["ConsistentRead"] for read in aws.reads] == [False, True]
    assert aws.invocations == [
        {"tenant": "acme", "connection": "hubspot#default", "rejected_generation": 1, "function": "refresh"}
    ]


def test_a_record_without_an_access_token_is_renewed(aws: FakeAws) -> None:
    del aws.items[KEY.tenant, KEY.sort_key]["access_token"]
    assert aws.vault().token("acme", "hubspot").generation == 2


def test_when_no_refresh_helps_the_caller_learns_when_to_come_back(aws: FakeAws) -> None:
    aws.on_refresh = nothing_new
    aws.now += 3600
    with pytest.raises(TokenUnavailable) as caught:
        aws.vault().token("acme", "hubspot")
    assert caught.value.retry_after_seconds == REFRESH_PAUSE_SECONDS


def test_a_refresh_in_vain_is_not_repeated_at_once(aws: FakeAws) -> None:
    aws.on_refresh = nothing_new
    aws.now += 3600
    vault = aws.vault()
    for _ in range(5):
        with pytest.raises(TokenUnavailable):
            vault.token("acme", "hubspot")
    assert len(aws.invocations) == 1
    aws.on_refresh = aws.renew
    aws.now += REFRESH_PAUSE_SECONDS
    assert vault.token("acme", "hubspot").generation == 2


@pytest.mark.parametrize(
    "error", [ReadTimeoutError(endpoint_url="https://lambda"), refused("TooManyRequestsException")]
)
def test_a_refresh_that_did_not_answer_may_have_worked_all_the_same(aws: FakeAws, error: Exception) -> None:
    aws.now += 3600
    vault = aws.vault()

    def answer_lost(key: ConnectionKey, gen: int) -> object:
        aws.renew(key, gen)
        raise error

    aws.on_refresh = answer_lost
    assert vault.token("acme", "hubspot").generation == 2


@pytest.fixture(
    params=[(b"{}", {"FunctionError": "Unhandled"}), (b"", {}), (b"\xff", {}), (b'"busy"', {})],
    ids=["function error", "nothing", "no text", "no object"],
)
def odd(request: pytest.FixtureRequest) -> tuple[bytes, dict[str, object]]:
    """What a refresh function may answer beside what it should."""
    answer: tuple[bytes, dict[str, object]] = request.param
    return answer


def test_whatever_the_refresh_function_answers_the_record_says_what_became_of_it(
    aws: FakeAws, odd: tuple[bytes, dict[str, object]]
) -> None:
    aws.answered = odd
    aws.now += 3600
    assert aws.vault().token("acme", "hubspot").generation == 2


def test_nobody_waits_for_a_refresh_that_was_not_said_to_be_under_way(
    aws: FakeAws, odd: tuple[bytes, dict[str, object]]
) -> None:
    aws.answered, aws.on_refresh = odd, nothing_new
    aws.now += 3600
    began = aws.now
    with pytest.raises(TokenUnavailable):
        aws.vault().token("acme", "hubspot")
    assert (len(aws.invocations), aws.now) == (1, began)


def test_a_grant_that_the_refresh_found_gone_needs_the_customer(aws: FakeAws) -> None:
    def gone(key: ConnectionKey, gen: int) -> object:
        aws.change(status={"S": "reauth_required"}, status_cause={"S": "grant_revoked"})
        return nothing_new(key, gen)

    aws.on_refresh = gone
    aws.now += 3600
    with pytest.raises(ReauthRequired) as caught:
        aws.vault().token("acme", "hubspot")
    assert caught.value.cause == "grant_revoked"


def test_twenty_threads_past_the_end_cause_one_refresh(aws: FakeAws) -> None:
    aws.now += 3600
    vault = aws.vault()
    with ThreadPoolExecutor(20) as threads:
        tokens = list(threads.map(lambda _: vault.token("acme", "hubspot"), range(20)))
    assert {token.generation for token in tokens} == {2}
    assert len(aws.invocations) == 1


def under_way(_key: ConnectionKey, gen: int) -> object:
    return {"generation": gen, "outcome": "busy"}


def test_a_caller_waits_for_another_process_that_is_refreshing(aws: FakeAws) -> None:
    aws.store(lifetime=-1)
    aws.on_refresh, began = under_way, aws.now
    aws.slept = lambda now: aws.store(2) if now >= began + 3 else None
    assert aws.vault().token("acme", "hubspot").generation == 2
    assert (len(aws.invocations), aws.now) == (1, began + 3)


def test_a_caller_waits_for_another_process_no_longer_than_the_deadline(aws: FakeAws) -> None:
    aws.store(lifetime=-1)
    aws.on_refresh, began = under_way, aws.now
    with pytest.raises(TokenUnavailable):
        aws.vault(deadline_seconds=4).token("acme", "hubspot")
    assert aws.now == began + 4


def test_a_caller_does_not_wait_for_what_another_process_found_out(aws: FakeAws) -> None:
    aws.store(lifetime=-1)
    aws.on_refresh, began = under_way, aws.now
    aws.slept = lambda _now: aws.change(status={"S": "reauth_required"}, status_cause={"S": "grant_revoked"})
    with pytest.raises(ReauthRequired):
        aws.vault().token("acme", "hubspot")
    assert aws.now < began + 1


def test_a_caller_waits_for_another_no_longer_than_the_deadline(aws: FakeAws) -> None:
    vault = aws.vault(deadline_seconds=0.01)
    with vault._turns.of(KEY, 0.01), ThreadPoolExecutor(1) as thread:
        caught = thread.submit(vault.token, "acme", "hubspot").exception()
    assert isinstance(caught, TokenUnavailable)


# AWS in trouble


@pytest.mark.parametrize("operation", ["GetItem", "Decrypt"])
def test_a_token_that_is_still_valid_outlasts_aws_in_trouble(aws: FakeAws, operation: str) -> None:
    vault = aws.vault()
    before = vault.token("acme", "hubspot")
    aws.failing[operation] = refused("ThrottlingException")
    aws.now += CACHE_SECONDS
    assert vault.token("acme", "hubspot") is before


def test_while_aws_is_in_trouble_it_is_asked_now_and_then_and_believed_when_it_is_back(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    aws.failing["GetItem"] = refused("ThrottlingException")
    aws.now += CACHE_SECONDS
    for _ in range(10):
        vault.token("acme", "hubspot")
    assert aws.calls.count("GetItem") == 2
    aws.failing.clear()
    aws.store(2)
    aws.now += OUTAGE_PAUSE_SECONDS
    assert vault.token("acme", "hubspot").generation == 2


def test_a_token_that_has_ended_does_not_outlast_anything(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    aws.failing["GetItem"] = refused("ThrottlingException")
    aws.now += 3539
    assert vault.token("acme", "hubspot").generation == 1
    aws.now += 1
    with pytest.raises(TokenUnavailable):
        vault.token("acme", "hubspot")


def test_a_process_that_has_never_seen_the_token_has_none_to_serve(aws: FakeAws) -> None:
    aws.failing["Decrypt"] = refused("ThrottlingException")
    with pytest.raises(TokenUnavailable):
        aws.vault().token("acme", "hubspot")


def test_a_permission_that_was_taken_away_is_felt_within_five_minutes(aws: FakeAws) -> None:
    vault = aws.vault()
    vault.token("acme", "hubspot")
    aws.failing["Decrypt"] = refused("AccessDeniedException")
    aws.now += CACHE_SECONDS
    with pytest.raises(Misconfigured):
        vault.token("acme", "hubspot")


def test_whoever_waits_in_vain_for_a_turn_is_served_what_is_still_valid(aws: FakeAws) -> None:
    vault = aws.vault(deadline_seconds=0.01)
    before = vault.token("acme", "hubspot")
    aws.now += CACHE_SECONDS
    with vault._turns.of(KEY, 0.01), ThreadPoolExecutor(1) as thread:
        assert thread.submit(vault.token, "acme", "hubspot").result() is before


# Rejected tokens


def test_twenty_threads_with_the_same_rejected_token_cause_one_refresh(aws: FakeAws) -> None:
    vault = aws.vault()
    rejected = vault.token("acme", "hubspot")
    with ThreadPoolExecutor(20) as threads:
        renewed = list(threads.map(lambda _: vault.renewed("acme", "hubspot", rejected=rejected), range(20)))
    assert {token.generation for token in renewed if token} == {2}
    assert None not in renewed
    assert len(aws.invocations) == 1


def test_twenty_threads_whose_refresh_is_in_vain_cause_one_refresh(aws: FakeAws) -> None:
    aws.on_refresh = nothing_new
    vault = aws.vault()
    rejected = vault.token("acme", "hubspot")
    with ThreadPoolExecutor(20) as threads:
        renewed = list(threads.map(lambda _: vault.renewed("acme", "hubspot", rejected=rejected), range(20)))
    assert renewed == [None] * 20
    assert len(aws.invocations) == 1


def test_a_rejected_token_that_another_process_replaced_is_found_in_the_record(aws: FakeAws) -> None:
    vault = aws.vault()
    rejected = vault.token("acme", "hubspot")
    aws.store(7)
    aws.on_refresh = lambda _key, _gen: {"generation": 7, "outcome": "fresh"}
    renewed = vault.renewed("acme", "hubspot", rejected=rejected)
    assert renewed is not None
    assert renewed.generation == 7


# A record never goes back in time


def test_a_stale_replica_is_read_again_consistently(aws: FakeAws) -> None:
    vault = aws.vault()
    aws.stale_item = dict(aws.items[KEY.tenant, KEY.sort_key])
    rejected = vault.token("acme", "hubspot")
    assert vault.renewed("acme", "hubspot", rejected=rejected) is not None
    aws.now += CACHE_SECONDS
    assert vault.token("acme", "hubspot").generation == 2
    assert [read["ConsistentRead"] for read in aws.reads] == [False, True, True, False, True]


def test_a_generation_older_than_one_seen_is_refused(aws: FakeAws) -> None:
    old = dict(aws.items[KEY.tenant, KEY.sort_key])
    aws.now += 10
    aws.store(2)
    vault = aws.vault()
    vault.token("acme", "hubspot")
    aws.items[KEY.tenant, KEY.sort_key] = old
    aws.now += CACHE_SECONDS
    with pytest.raises(UnreadableRecord) as caught:
        vault.token("acme", "hubspot")
    assert caught.value.code == "record_rolled_back"
    assert aws.calls.count("Decrypt") == 1


def test_a_connection_made_anew_is_not_taken_for_an_old_one(aws: FakeAws) -> None:
    aws.store(9)
    vault = aws.vault()
    vault.token("acme", "hubspot")
    aws.now += CACHE_SECONDS
    aws.store(1)
    assert vault.token("acme", "hubspot").generation == 1


# What is wrong, said clearly


@pytest.mark.parametrize(
    ("operation", "permission"),
    [("GetItem", "dynamodb:GetItem"), ("Decrypt", "kms:Decrypt"), ("Invoke", "lambda:InvokeFunction")],
)
@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_missing_permission_or_resource_is_named(aws: FakeAws, operation: str, permission: str, code: str) -> None:
    aws.failing[operation] = refused(code)
    aws.now += 3600 if operation == "Invoke" else 0
    with pytest.raises(Misconfigured) as caught:
        aws.vault().token("acme", "hubspot")
    assert permission in str(caught.value)


def test_a_missing_variable_is_named_at_first_use(aws: FakeAws) -> None:
    aws.now += 3600
    without_table, without_function = aws.vault(table=None), aws.vault(refresh_function=None)
    for vault, variable in (
        (without_table, "CONSENTRY_CONNECTIONS_TABLE"),
        (without_function, "CONSENTRY_REFRESH_FUNCTION"),
    ):
        with pytest.raises(Misconfigured) as caught:
            vault.token("acme", "hubspot")
        assert variable in str(caught.value)


def test_table_and_function_come_from_the_environment(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = aws.vault(table=None, refresh_function=None)
    monkeypatch.setenv("CONSENTRY_CONNECTIONS_TABLE", "from-environment")
    monkeypatch.setenv("CONSENTRY_REFRESH_FUNCTION", "refresh-from-environment")
    aws.now += 3600
    vault.token("acme", "hubspot")
    assert aws.reads[0]["TableName"] == "from-environment"
    assert aws.invocations[0]["function"] == "refresh-from-environment"


@pytest.mark.parametrize("key", [ACCESS_KEY.replace("1234abcd", "ffffffff"), "alias/access"])
def test_a_token_under_another_key_than_the_configured_one_is_refused_without_a_call(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("CONSENTRY_ACCESS_KEY", key)
    with pytest.raises(UnreadableRecord):
        aws.vault().token("acme", "hubspot")
    assert aws.calls == ["GetItem"]


def test_while_keys_are_replaced_a_token_under_either_of_two_is_read(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSENTRY_ACCESS_KEY", ACCESS_KEY.replace("1234abcd", "ffffffff"))
    monkeypatch.setenv("CONSENTRY_OTHER_ACCESS_KEY", ACCESS_KEY)
    aws.vault().token("acme", "hubspot")
    assert [request["KeyId"] for request in aws.decrypts] == [ACCESS_KEY]


def test_a_ciphertext_from_another_row_is_refused_without_a_call(aws: FakeAws) -> None:
    aws.store(key=ConnectionKey("globex", "hubspot"))
    aws.change(access_token=aws.items["globex", "hubspot#default"]["access_token"])
    with pytest.raises(UnreadableRecord):
        aws.vault().token("acme", "hubspot")
    assert aws.calls == ["GetItem"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"v": {"N": "2"}}, Misconfigured),
        ({"gen": {"S": "one"}}, UnreadableRecord),
        ({"access_token": {"S": "text"}}, UnreadableRecord),
        ({"scopes": {"S": "tickets"}}, UnreadableRecord),
        ({"status": {"NULL": True}}, UnreadableRecord),
    ],
)
def test_a_record_of_another_version_or_shape_is_refused(
    aws: FakeAws, changes: dict[str, Any], expected: type[ConsentryError]
) -> None:
    aws.change(**changes)
    with pytest.raises(expected):
        aws.vault().token("acme", "hubspot")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused("ThrottlingException"), TokenUnavailable),
        (ReadTimeoutError(endpoint_url=CANARY), TokenUnavailable),
        (refused("KMSInvalidStateException"), Misconfigured),
        (refused("InvalidCiphertextException"), UnreadableRecord),
        (NoRegionError(), Misconfigured),
    ],
)
def test_trouble_with_aws_is_told_by_what_to_do_next(
    aws: FakeAws, error: Exception, expected: type[ConsentryError]
) -> None:
    aws.failing["Decrypt"] = error
    with pytest.raises(expected) as caught:
        aws.vault().token("acme", "hubspot")
    assert CANARY not in f"{caught.value!r} {caught.value.detail}"


@pytest.mark.parametrize("names", [("", "hubspot"), ("acme", "a#b"), ("acme", "hubspot", "x/y"), (None, "hubspot")])
def test_names_are_checked_before_anything_is_read(aws: FakeAws, names: tuple[str, ...]) -> None:
    for reading in (aws.vault().token, aws.vault().auth, aws.vault().headers):
        with pytest.raises(InvalidRequest):
            reading(*names)
    assert aws.calls == []


# Nothing is shown


def test_no_repr_log_or_exception_holds_a_token(aws: FakeAws, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vault = aws.vault()
    token = vault.token("acme", "hubspot")
    shown = [
        repr(token),
        str(token),
        f"{token}",
        f"{token.access_token:>40}",
        repr(vars(vault)),
        repr(vault.auth("a", "b")),
    ]
    shown += [repr(vault._kept.get(KEY)), repr(vars(vault._kept))]
    aws.now += 3600
    aws.failing["Invoke"] = refused("ServiceException")
    with pytest.raises(TokenUnavailable) as caught:
        vault.token("acme", "hubspot")
    shown += [repr(caught.value), str(caught.value), caught.value.detail, caplog.text]
    assert "ServiceException" in caplog.text
    assert not [text for text in shown if CANARY in text]


def test_a_token_that_would_break_the_header_is_refused_and_not_shown(aws: FakeAws) -> None:
    context = KEY.encryption_context(Field.ACCESS_TOKEN)
    broken = seal(
        f"{CANARY}\r\nX-Other: 1".encode(),
        data_key=DATA_KEY,
        encrypted_data_key=b"wrapped",
        key_arn=ACCESS_KEY,
        context=context,
        message_id=bytes(32),
    )
    aws.change(access_token={"B": broken})
    with pytest.raises(UnreadableRecord) as caught:
        aws.vault().headers("acme", "hubspot")
    assert CANARY not in f"{caught.value!r} {caught.value.detail}"


# What importing costs

LIGHT = """
import sys
import consentry
assert not [name for name in sys.modules if name.startswith("consentry.")], "import consentry loads nothing"
assert "boto3" not in sys.modules
from consentry import Vault, ConsentryError, NotConnected, ReauthRequired, TokenUnavailable
ours = ("oauth", "ports", "catalogue", "web", "signed", "testing", "listing")
heavy = ("requests", "aws_lambda_powertools", "unittest", "pytest", *("consentry." + name for name in ours))
assert not [name for name in heavy if name in sys.modules]
Vault()
"""


def test_importing_a_vault_loads_no_http_client_and_no_oauth() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_has_the_names_that_consumers_need_and_no_others() -> None:
    import consentry  # noqa: PLC0415 - the package itself is the subject here

    assert all(getattr(consentry, name).__name__ == name for name in consentry.__all__)
    with pytest.raises(AttributeError):
        _ = consentry.Connections


# With requests


class Api:
    """A provider's API on loopback: knows which tokens are good, remembers what it was sent."""

    def __init__(self) -> None:
        self.good = {secret(1)}
        self.seen: list[tuple[str, str | None, bytes]] = []
        self.connections: set[object] = set()
        self.redirects: dict[str, str] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def authorizations(self) -> list[str | None]:
        return [authorization for _, authorization, _ in self.seen]

    def answer(self, path: str, authorization: str | None, body: bytes) -> tuple[int, str | None]:
        self.seen.append((path, authorization, body))
        if path in self.redirects:
            return 307, self.redirects[path]
        return (200, None) if authorization in {f"Bearer {token}" for token in self.good} else (401, None)


def handler_for(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            api.connections.add(self.client_address)
            status, location = api.answer(self.path, self.headers.get("Authorization"), body)
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the standard library
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Api]:
    api = Api()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_for(api)) as server:
        server.daemon_threads = True
        api.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def client(aws: FakeAws) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.auth = aws.vault().auth("acme", "hubspot")
        yield session


def test_the_header_is_bearer_however_the_provider_spells_the_type(aws: FakeAws) -> None:
    for spelling in ("bearer", "BEARER", "bot"):
        aws.change(token_type={"S": spelling})
        assert aws.vault().headers("acme", "hubspot") == {"Authorization": f"Bearer {secret(1)}"}


@pytest.mark.parametrize("url", ["http://api.example/tickets", "http://localhost.example/", "http://127.0.0.1.example"])
def test_a_token_is_not_sent_in_the_clear(aws: FakeAws, client: requests.Session, url: str) -> None:
    with pytest.raises(InvalidRequest, match="must begin with https://"):
        client.prepare_request(requests.Request("GET", url))
    assert aws.calls == []


@pytest.mark.parametrize(
    "url", ["https://api.example/tickets", "HTTPS://api.example", "http://localhost:3000", "http://[::1]"]
)
def test_a_token_is_for_tls_and_for_this_machine(client: requests.Session, url: str) -> None:
    assert client.prepare_request(requests.Request("GET", url)).headers["Authorization"] == f"Bearer {secret(1)}"


def test_a_good_token_costs_the_api_one_request(api: Api, client: requests.Session) -> None:
    assert client.get(api.url, timeout=5).status_code == 200
    assert api.authorizations == [f"Bearer {secret(1)}"]


def test_a_rejected_token_is_renewed_once_and_the_same_request_sent_again(
    aws: FakeAws, api: Api, client: requests.Session
) -> None:
    api.good = {secret(2)}
    response = client.post(f"{api.url}/tickets?limit=1", data=b"body", timeout=5)
    assert response.status_code == 200
    assert [earlier.status_code for earlier in response.history] == [401]
    assert api.seen == [("/tickets?limit=1", f"Bearer {secret(gen)}", b"body") for gen in (1, 2)]
    assert aws.invocations[0]["rejected_generation"] == 1
    assert len(api.connections) == 1
    assert client.get(api.url, timeout=5).status_code == 200
    assert len(aws.invocations) == 1


def test_a_token_rejected_twice_is_not_tried_a_third_time(aws: FakeAws, api: Api, client: requests.Session) -> None:
    api.good = set()
    assert client.get(api.url, timeout=5).status_code == 401
    assert api.authorizations == [f"Bearer {secret(gen)}" for gen in (1, 2)]
    assert len(aws.invocations) == 1


def test_without_a_newer_token_the_original_401_is_returned(aws: FakeAws, api: Api, client: requests.Session) -> None:
    aws.on_refresh = nothing_new
    api.good = set()
    response = client.get(api.url, timeout=5)
    assert (response.status_code, response.content, response.history) == (401, b"{}", [])
    assert len(api.seen) == 1


def test_a_rejected_token_whose_grant_is_gone_says_so(aws: FakeAws, api: Api, client: requests.Session) -> None:
    aws.on_refresh = nothing_new
    aws.change(status={"S": "reauth_required"}, status_cause={"S": "grant_revoked"})
    api.good = set()
    with pytest.raises(ReauthRequired):
        client.get(api.url, timeout=5)


def test_when_all_tokens_ended_at_once_a_cached_old_one_still_ends_in_one_refresh(
    aws: FakeAws, api: Api, client: requests.Session
) -> None:
    api.good = {secret(1)}
    assert client.get(api.url, timeout=5).status_code == 200
    aws.store(2)  # the schedule rotated meanwhile; then the provider ended both
    api.good = {secret(3)}
    response = client.get(api.url, timeout=5)
    assert response.status_code == 200
    assert api.authorizations[1:] == [f"Bearer {secret(gen)}" for gen in (1, 2, 3)]
    assert [each["rejected_generation"] for each in aws.invocations] == [2]


def test_a_newer_token_that_exists_already_costs_no_refresh(aws: FakeAws, api: Api, client: requests.Session) -> None:
    api.good = {secret(1)}
    assert client.get(api.url, timeout=5).status_code == 200
    aws.store(2)
    api.good = {secret(2)}
    assert client.get(api.url, timeout=5).status_code == 200
    assert aws.invocations == []


@pytest.mark.parametrize("status", [403, 429, 500])
def test_only_a_401_is_worth_a_refresh(aws: FakeAws, api: Api, client: requests.Session, status: int) -> None:
    api.answer = lambda *_request: (status, None)  # type: ignore[method-assign]  # this API always answers so
    assert client.get(api.url, timeout=5).status_code == status
    assert aws.invocations == []


def test_a_file_is_sent_again_from_where_it_began(api: Api, client: requests.Session) -> None:
    api.good = {secret(2)}
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    assert client.post(api.url, data=file, timeout=5).status_code == 200
    assert [body for _, _, body in api.seen] == [b"sent", b"sent"]


def test_a_stream_is_not_sent_twice_but_the_next_request_has_the_newer_token(
    api: Api, client: requests.Session
) -> None:
    api.good = {secret(2)}
    assert client.post(api.url, data=iter([b"once"]), timeout=5).status_code == 401
    assert client.post(api.url, data=iter([b"twice"]), timeout=5).status_code == 200
    assert [body for _, _, body in api.seen] == [b"once", b"twice"]


def test_a_redirect_to_another_host_gets_no_token_neither_at_once_nor_after_its_401(
    aws: FakeAws, api: Api, client: requests.Session
) -> None:
    with serving() as elsewhere:
        api.redirects["/"] = f"http://localhost:{elsewhere.port}/"
        assert client.get(f"{api.url}/", timeout=5).status_code == 401
    assert elsewhere.authorizations == [None]
    assert aws.invocations == []


def test_a_redirect_within_the_host_keeps_the_token_and_the_one_retry(
    aws: FakeAws, api: Api, client: requests.Session
) -> None:
    api.redirects["/old"] = "/new"
    api.good = {secret(2)}
    assert client.get(f"{api.url}/old", timeout=5).status_code == 200
    assert [path for path, _, _ in api.seen] == ["/old", "/new", "/new"]
    assert len(aws.invocations) == 1


def test_twenty_threads_with_a_rejected_token_refresh_once_and_all_succeed(
    aws: FakeAws, api: Api, client: requests.Session
) -> None:
    api.good = {secret(2)}
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: client.get(api.url, timeout=10).status_code, range(20)))
    assert answers == [200] * 20
    assert len(aws.invocations) == 1
