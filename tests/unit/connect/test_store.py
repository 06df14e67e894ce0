"""Committing what a consent brought: new, again, in a race, and when nobody knows whether the write arrived."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consentry.aws.dynamodb import Update, apply
from consentry.connect.store import Arrival, Overtaken
from consentry.errors import BeingRemoved, Conflict
from consentry.model import Connection, ConnectionKey, Field, Grant, Secret
from consentry.oauth.wire import TokenGrant
from consentry.ports import Commit, CommitOutcome, StorageUnavailable
from consentry.tokens import client_account, grant_secrets
from tests.support.catalogue import CRM, DESK
from tests.support.deployment import Browser, Deployment, SlowProvider, body_of, query_of
from tests.support.provider import TOKEN_ANSWER, tokens
from tests.support.tables import ignore, items, unavailable

KEY = ConnectionKey("acme", "crm")
GRANTED = TokenGrant(
    access_token=Secret("CNRY-access-1"),
    token_type="Bearer",
    expires_in_seconds=1800,
    refresh_token=Secret("CNRY-refresh-1"),
    scopes=None,
    metadata={"hub_id": 4711},
    account="4711",
)
ARRIVAL = Arrival(
    key=KEY,
    provider=CRM,
    grant_type=Grant.AUTHORIZATION_CODE,
    client_id="crm-client",
    tokens=GRANTED,
    account="4711",
    metadata={"hub_id": 4711},
    requested_scopes=("contacts",),
)
NEXT = replace(GRANTED, access_token=Secret("CNRY-access-2"), refresh_token=Secret("CNRY-refresh-2"))


def connect(deployment: Deployment, answer: dict[str, Any] | None = None, **session: object) -> dict[str, Any]:
    """Go through a whole consent; return the body of the answer to `complete`."""
    deployment.provider.then(tokens(**(answer or {})))
    returned = query_of(Browser(deployment).consents(deployment.created(**session)))
    return body_of(deployment.completed(returned))


def access_token(deployment: Deployment) -> str:
    connection = deployment.connection()
    assert connection is not None
    return deployment.envelopes.open(
        connection.access_token, connection.key.encryption_context(Field.ACCESS_TOKEN)
    ).reveal()


def refresh_token(deployment: Deployment) -> str:
    connection = deployment.connection()
    assert connection is not None
    payload = deployment.envelopes.open(connection.grant, connection.key.encryption_context(Field.GRANT))
    return grant_secrets(payload)["refresh_token"].reveal()


def row(deployment: Deployment) -> dict[str, Any]:
    (stored,) = items(deployment.dynamo.client, deployment.names["ConnectionsTable"])
    return stored


def stored(deployment: Deployment, arrival: Arrival = ARRIVAL) -> Connection:
    before = deployment.connections.read(KEY)
    return deployment.store(arrival, deployment.store.sealing_keys(KEY), before)


def store(deployment: Deployment, arrival: Arrival = ARRIVAL) -> int:
    return stored(deployment, arrival).gen


def refresh_meanwhile(deployment: Deployment) -> None:
    """A refresh of the old grant commits the next generation."""
    now = deployment.connections.read(KEY)
    assert now is not None
    commit = Commit(
        key=KEY,
        expected_gen=now.gen,
        expected_epoch=1,
        epoch=1,
        commit_id=f"refresh-{now.gen}",
        status=now.status,
        set_attributes={"access_token": b"refreshed", "grant": b"refreshed"},
    )
    assert deployment.connections.commit(commit) is CommitOutcome.COMMITTED


def once(operation: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Do something the first time that an operation is called."""
    waiting = [action]

    def hook(name: str) -> None:
        if name == operation and waiting:
            waiting.pop()()

    return hook


def always(operation: str) -> Callable[[str], None]:
    """Fail each call of an operation."""

    def fail(name: str) -> None:
        if name == operation:
            raise unavailable(name)

    return fail


def raising(operation: str) -> Callable[[], object]:
    def fail() -> object:
        raise unavailable(operation)

    return fail


def test_a_new_connection_has_every_attribute_of_the_contract(deployment: Deployment) -> None:
    connect(deployment, {"scope": "contacts"})
    now = deployment.clock.now()
    stored = row(deployment)
    assert {name: stored[name] for name in ("tenant", "connection", "provider", "grant_type", "client_id")} == {
        "tenant": {"S": "acme"},
        "connection": {"S": "crm#default"},
        "provider": {"S": "crm"},
        "grant_type": {"S": "authorization_code"},
        "client_id": {"S": "crm-client"},
    }
    numbers = {name: int(stored[name]["N"]) for name in ("v", "gen", "epoch", "failures", "created_at", "refreshed_at")}
    assert numbers == {"v": 1, "gen": 1, "epoch": 1, "failures": 0, "created_at": now, "refreshed_at": now}
    assert int(stored["expires_at"]["N"]) == now + 1800
    assert now + 900 <= int(stored["due_at"]["N"]) <= now + 1350
    assert 0 <= int(stored["due_shard"]["N"]) < 8
    assert stored["status"] == {"S": "active"}
    assert stored["scopes"] == {"L": [{"S": "contacts"}]}
    assert stored["account"] == {"S": "4711"}
    assert stored["client_account"] == {"S": "api.crm.test|crm-client|4711"}
    assert stored["metadata"] == {"M": {"hub_id": {"N": "4711"}}}
    assert len(stored["commit_id"]["S"]) == 43
    assert stored["consent_id"] == stored["commit_id"]
    assert stored["access_token"].keys() == stored["grant"].keys() == {"B"}
    absent = {"lease_owner", "lease_until", "pend_gen", "pend_at", "last_error", "status_cause"}
    assert (absent | {"attention", "attention_since"}).isdisjoint(stored)


def test_an_account_too_long_for_the_index_is_told_apart_by_its_digest(deployment: Deployment) -> None:
    long, other = "x" * 1025, "x" * 1024 + "y"
    store(deployment, replace(ARRIVAL, account=long))
    stored = row(deployment)
    assert stored["account"] == {"S": long}
    assert stored["client_account"] == {"S": client_account(ARRIVAL.provider, ARRIVAL.client_id, long)}
    assert len(stored["client_account"]["S"]) <= 1024
    assert stored["client_account"]["S"] != client_account(ARRIVAL.provider, ARRIVAL.client_id, other)
    assert stored["client_account"]["S"] != client_account(ARRIVAL.provider, "another-client", long)


def test_tokens_are_sealed_each_under_its_own_context(deployment: Deployment) -> None:
    connect(deployment)
    assert access_token(deployment) == TOKEN_ANSWER["access_token"]
    assert refresh_token(deployment) == TOKEN_ANSWER["refresh_token"]


def test_scopes_that_an_answer_does_not_mention_are_those_that_were_asked_for(deployment: Deployment) -> None:
    assert connect(deployment, scopes=["contacts", "deals"])["connection"]["scopes"] == ["contacts", "deals"]


def test_granted_scopes_are_recorded_also_when_there_are_more(deployment: Deployment) -> None:
    shown = connect(deployment, {"scope": "contacts extra"})["connection"]
    assert (shown["scopes"], shown["status"]) == (["contacts", "extra"], "active")


def test_a_missing_scope_makes_the_connection_insufficient(deployment: Deployment) -> None:
    """S-43."""
    shown = connect(deployment, {"scope": "contacts"}, scopes=["contacts", "deals"])["connection"]
    assert (shown["status"], shown["cause"]) == ("scope_insufficient", "scope_missing")
    assert shown["scopes"] == ["contacts"]
    stored = row(deployment)
    assert {"due_at", "due_shard"}.isdisjoint(stored)
    assert stored["attention"] == {"S": "scope_insufficient"}
    assert stored["attention_since"] == {"N": str(deployment.clock.now())}


def test_connecting_again_with_all_scopes_mends_an_insufficient_connection(deployment: Deployment) -> None:
    connect(deployment, {"scope": "contacts"}, scopes=["contacts", "deals"])
    shown = connect(deployment, {"scope": "contacts deals"}, scopes=["contacts", "deals"])["connection"]
    assert (shown["status"], shown["cause"], shown["generation"]) == ("active", "", 2)
    assert "due_at" in row(deployment)
    assert {"attention", "attention_since"}.isdisjoint(row(deployment))


def test_an_active_connection_that_comes_back_with_less_is_taken_off_the_due_index(deployment: Deployment) -> None:
    connect(deployment)
    assert connect(deployment, {"scope": "other"})["connection"]["status"] == "scope_insufficient"
    assert {"due_at", "due_shard"}.isdisjoint(row(deployment))


def test_old_tokens_stay_until_the_new_ones_are_committed(deployment: Deployment, browser: Browser) -> None:
    """S-42."""
    connect(deployment)
    old = access_token(deployment)
    created = deployment.created()
    returned = query_of(browser.consents(created))
    assert access_token(deployment) == old
    deployment.provider.then(tokens(access_token="CNRY-access-second"))
    assert deployment.completed(returned)["statusCode"] == 200
    assert access_token(deployment) == "CNRY-access-second"
    assert int(row(deployment)["gen"]["N"]) == 2


def test_a_reconnect_keeps_the_day_of_the_first_connection(deployment: Deployment) -> None:
    first = connect(deployment)["connection"]["created_at"]
    deployment.clock.advance(5000)
    again = connect(deployment)["connection"]
    assert again["created_at"] == first
    assert again["refreshed_at"] == first + 5000


def test_another_account_is_refused_and_the_old_tokens_stay(deployment: Deployment) -> None:
    """S-42."""
    connect(deployment)
    before = row(deployment)
    refused = connect(deployment, {"hub_id": 9, "access_token": "CNRY-of-another"})
    assert (refused["status"], refused["code"]) == (409, "account_mismatch")
    assert row(deployment) == before


def test_another_account_is_taken_where_the_session_allows_it(deployment: Deployment) -> None:
    """S-42."""
    connect(deployment)
    assert connect(deployment, {"hub_id": 9}, allow_account_change=True)["connection"]["account"] == "9"
    assert row(deployment)["client_account"] == {"S": "api.crm.test|crm-client|9"}


def test_an_account_that_is_no_longer_told_is_not_called_another_one(deployment: Deployment) -> None:
    """S-42."""
    connect(deployment)
    before = row(deployment)
    refused = connect(deployment, {"hub_id": None})
    assert (refused["status"], refused["code"]) == (502, "account_unknown")
    assert "CRM did not say which account this is" in refused["detail"]
    assert row(deployment) == before


def test_the_first_known_account_may_follow_an_unknown_one(deployment: Deployment) -> None:
    connect(deployment, {"hub_id": None})
    assert connect(deployment)["connection"]["account"] == "4711"


def test_an_answer_without_a_refresh_token_keeps_the_one_of_the_same_account(deployment: Deployment) -> None:
    connect(deployment)
    connect(deployment, {"refresh_token": None, "access_token": "CNRY-access-second"})
    stored = row(deployment)
    assert access_token(deployment) == "CNRY-access-second"
    assert refresh_token(deployment) == TOKEN_ANSWER["refresh_token"]
    assert int(stored["due_at"]["N"]) < int(stored["expires_at"]["N"])


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({}, {"account": "9", "tokens": replace(GRANTED, account="9", refresh_token=None)}),
        ({"account": ""}, {"account": ""}),
        ({"client_id": "an-older-client"}, {}),
        ({"provider": DESK}, {}),
        ({"grant_type": Grant.CLIENT_CREDENTIALS}, {}),
        ({"tokens": replace(GRANTED, refresh_token=None)}, {}),
    ],
)
def test_a_refresh_token_that_may_belong_to_another_grant_ends(
    deployment: Deployment, first: dict[str, Any], again: dict[str, Any]
) -> None:
    store(deployment, replace(ARRIVAL, **first))
    returned = stored(deployment, replace(ARRIVAL, **{"tokens": replace(NEXT, refresh_token=None), **again}))
    ended = row(deployment)
    assert "grant" not in ended
    assert ended["due_at"] == ended["expires_at"]
    assert returned.grant == b""


def test_a_refresh_token_that_was_found_dead_is_not_kept(deployment: Deployment) -> None:
    store(deployment)
    table = deployment.names["ConnectionsTable"]
    dead = {**row(deployment), "status": {"S": "reauth_required"}, "status_cause": {"S": "grant_revoked"}}
    deployment.dynamo.client.put_item(TableName=table, Item=dead)
    stored(deployment, replace(ARRIVAL, tokens=replace(NEXT, refresh_token=None)))
    ended = row(deployment)
    assert ("grant" not in ended, ended["status"]) == (True, {"S": "active"})
    assert ended["due_at"] == ended["expires_at"]


def test_a_kept_refresh_token_is_the_one_of_the_refresh_that_was_faster(deployment: Deployment) -> None:
    store(deployment)
    deployment.ports.before = once("update_item", lambda: refresh_meanwhile(deployment))
    returned = stored(deployment, replace(ARRIVAL, tokens=replace(NEXT, refresh_token=None)))
    assert row(deployment)["grant"] == {"B": b"refreshed"}
    assert returned == deployment.connection()


def test_a_lifetime_counts_from_when_the_token_was_asked_for(deployment: Deployment) -> None:
    asked_at = deployment.clock.now()
    deployment.provider = SlowProvider(deployment.clock, 9)
    connect(deployment)
    stored = row(deployment)
    assert stored["refreshed_at"] == {"N": str(asked_at)}
    assert stored["expires_at"] == {"N": str(asked_at + 1800)}
    assert int(stored["due_at"]["N"]) <= asked_at + 1350


REST = [
    {},
    {"requested_scopes": ("contacts", "deals"), "tokens": replace(NEXT, scopes=("contacts",))},
    {"tokens": replace(NEXT, refresh_token=None)},
    {"tokens": replace(NEXT, expires_in_seconds=None)},
    {"account": "", "tokens": replace(NEXT, account="", refresh_token=None)},
    {"credentials": {"client_secret": Secret("CNRY-secret")}, "texts": {"label": "New"}},
    {"metadata": {}, "tokens": replace(NEXT, scopes=())},
]


@pytest.mark.parametrize("changes", REST)
@pytest.mark.parametrize("known", [False, True])
def test_what_is_returned_is_what_is_stored_and_nobody_has_to_look(
    deployment: Deployment, changes: dict[str, Any], *, known: bool
) -> None:
    if known:
        store(deployment, replace(ARRIVAL, texts={"label": "Shop", "description": "The shop"}))
        deployment.clock.advance(5)
    keys, before = deployment.store.sealing_keys(KEY), deployment.connections.read(KEY)
    deployment.dynamo.calls.clear()
    returned = deployment.store(replace(ARRIVAL, **{"tokens": NEXT, **changes}), keys, before)
    assert deployment.dynamo.calls == ["update_item"]
    assert returned == deployment.connection()


def test_a_refresh_that_was_faster_is_superseded(deployment: Deployment) -> None:
    store(deployment)
    deployment.ports.before = once("update_item", lambda: refresh_meanwhile(deployment))
    assert store(deployment, replace(ARRIVAL, tokens=NEXT)) == 3
    assert access_token(deployment) == "CNRY-access-2"
    assert refresh_token(deployment) == "CNRY-refresh-2"


def test_a_consent_that_was_faster_stands_whatever_account_follows(deployment: Deployment) -> None:
    other = replace(ARRIVAL, account="9", tokens=replace(NEXT, account="9"), same_account=True)
    deployment.ports.before = once("update_item", lambda: store(deployment))
    with pytest.raises(Conflict) as refused:
        store(deployment, other)
    assert refused.value.code == "overtaken"
    assert access_token(deployment) == "CNRY-access-1"


def test_somebody_who_is_always_faster_wins(deployment: Deployment) -> None:
    store(deployment)
    busy = [False]

    def meanwhile(operation: str) -> None:
        if operation == "update_item" and not busy[0]:
            busy[0] = True
            refresh_meanwhile(deployment)
            busy[0] = False

    deployment.ports.before = meanwhile
    with pytest.raises(Conflict) as refused:
        store(deployment)
    assert refused.value.code == "busy"


def test_a_write_that_was_applied_but_not_answered_counts_once(deployment: Deployment) -> None:
    deployment.ports.after = once("update_item", raising("update_item"))
    assert store(deployment) == 1
    assert int(row(deployment)["gen"]["N"]) == 1


def test_a_reconnect_that_was_applied_but_not_answered_counts_once(deployment: Deployment) -> None:
    store(deployment)
    deployment.ports.after = once("update_item", raising("update_item"))
    assert store(deployment, replace(ARRIVAL, tokens=NEXT)) == 2
    assert access_token(deployment) == "CNRY-access-2"


def test_a_write_that_was_neither_applied_nor_answered_is_repeated(deployment: Deployment) -> None:
    deployment.ports.before = once("update_item", raising("update_item"))
    assert store(deployment) == 1


def test_a_write_without_an_answer_is_repeated_as_it_was_and_nothing_is_read(deployment: Deployment) -> None:
    keys = deployment.store.sealing_keys(KEY)

    def away_after_the_first(operation: str) -> None:
        if 1 < deployment.dynamo.calls.count("update_item") < 8:
            raise unavailable(operation)

    deployment.dynamo.calls.clear()
    deployment.ports.before = away_after_the_first
    deployment.ports.after = once("update_item", raising("update_item"))
    returned = deployment.store(ARRIVAL, keys, None)
    assert deployment.dynamo.calls == ["update_item"] * 8
    assert returned == deployment.connection()


def test_a_consent_whose_commit_was_not_answered_is_known_again_below_a_refresh_that_followed(
    deployment: Deployment,
) -> None:
    store(deployment)

    def refreshed_and_silent() -> None:
        deployment.ports.after = ignore
        refresh_meanwhile(deployment)
        raise unavailable("update_item")

    deployment.ports.after = once("update_item", refreshed_and_silent)
    returned = stored(deployment, replace(ARRIVAL, tokens=NEXT))
    assert returned.gen == 3
    assert returned.commit_id == "refresh-2"
    assert returned == deployment.connection()
    assert row(deployment)["access_token"] == {"B": b"refreshed"}


def test_a_refresh_leaves_the_consent_s_id_alone(deployment: Deployment) -> None:
    store(deployment)
    consent = row(deployment)["consent_id"]
    refresh_meanwhile(deployment)
    assert row(deployment)["consent_id"] == consent
    assert row(deployment)["commit_id"] != consent


def test_a_read_that_fails_after_a_race_is_tried_again(deployment: Deployment) -> None:
    store(deployment)
    keys, before = deployment.store.sealing_keys(KEY), deployment.connections.read(KEY)
    refresh_meanwhile(deployment)
    deployment.ports.before = once("get_item", raising("get_item"))
    assert deployment.store(replace(ARRIVAL, tokens=NEXT), keys, before).gen == 3
    assert access_token(deployment) == "CNRY-access-2"


def test_a_table_that_stays_away_is_given_up_after_twenty_attempts(deployment: Deployment) -> None:
    deployment.ports.before = always("update_item")
    with pytest.raises(StorageUnavailable):
        store(deployment)
    assert deployment.dynamo.calls.count("update_item") == 20
    deployment.ports.before = ignore
    assert deployment.connections.read(KEY) is None


def test_a_table_that_stays_away_is_given_up_when_time_is_up(deployment: Deployment) -> None:
    deployment.clock.remaining = 7.6
    deployment.ports.before = always("update_item")
    with pytest.raises(StorageUnavailable):
        store(deployment)
    assert deployment.dynamo.calls.count("update_item") == 4
    assert deployment.clock.slept == [0.25] * 3


def test_a_connection_that_is_being_removed_is_not_revived(deployment: Deployment) -> None:
    store(deployment)
    update = Update().set({"status": "deleting"})
    update.require(update.equal("gen", 1))
    key = {"tenant": "acme", "connection": "crm#default"}
    apply(
        deployment.dynamo.client.update_item, update.request(deployment.names["ConnectionsTable"], key), "mark deleting"
    )
    with pytest.raises(Conflict) as refused:
        store(deployment)
    assert refused.value.code == "deleting"
    assert connect(deployment)["code"] == "deleting"


def test_what_was_erased_while_the_customer_consented_stays_so(deployment: Deployment) -> None:
    store(deployment)
    before = deployment.connections.read(KEY)
    key = {"tenant": {"S": "acme"}, "connection": {"S": "crm#default"}}
    deployment.dynamo.client.delete_item(TableName=deployment.names["ConnectionsTable"], Key=key)
    with pytest.raises(BeingRemoved):
        deployment.store(ARRIVAL, deployment.store.sealing_keys(KEY), before)
    assert deployment.connections.read(KEY) is None


def test_a_consent_lands_in_no_connection_that_was_made_anew_meanwhile(deployment: Deployment) -> None:
    """Generations may coincide; the consent that they descend from does not."""
    store(deployment)
    before = deployment.connections.read(KEY)
    assert before is not None
    stale = replace(before, consent_id="of-the-erased-one", account="4712")
    with pytest.raises(Overtaken):
        deployment.store(ARRIVAL, deployment.store.sealing_keys(KEY), stale)
    assert deployment.connections.read(KEY) == before


def test_credentials_follow_credentials_that_were_faster(deployment: Deployment) -> None:
    """Nothing at the provider is lost with those that they replace."""
    entered = replace(ARRIVAL, credentials={"client_secret": Secret("CNRY-entered")})
    store(deployment, entered)
    made = deployment.store(entered, deployment.store.sealing_keys(KEY), None)
    assert made.gen == 2
    assert deployment.dynamo.calls[-3:] == ["update_item", "get_item", "update_item"]


def test_an_arrival_does_not_print_its_secrets() -> None:
    shown = repr(replace(ARRIVAL, credentials={"client_secret": Secret("CNRY-secret")}))
    assert "CNRY-" not in shown


# A grant that ends


DAY = 86_400
YEARLY = replace(CRM, credential_lifetime_days=365)


def numbers(deployment: Deployment, *names: str) -> list[int | None]:
    stored = row(deployment)
    return [int(stored[name]["N"]) if name in stored else None for name in names]


def warn(deployment: Deployment) -> None:
    """Mark the connection as warned of, as a refresh does."""
    update = Update().set({"warned_at": deployment.clock.now()})
    update.require(update.equal("gen", int(row(deployment)["gen"]["N"])))
    key = {"tenant": "acme", "connection": "crm#default"}
    apply(deployment.dynamo.client.update_item, update.request(deployment.names["ConnectionsTable"], key), "warn")


def test_a_consent_sets_when_its_grant_ends(deployment: Deployment) -> None:
    returned = stored(deployment, replace(ARRIVAL, provider=YEARLY))
    ends = deployment.clock.now() + 365 * DAY
    assert numbers(deployment, "grant_expires_at", "warned_at") == [ends, None]
    assert returned.grant_expires_at == ends


def test_an_absolute_lifetime_of_refresh_tokens_counts_from_the_consent_too(deployment: Deployment) -> None:
    ending = replace(CRM, refresh=replace(CRM.refresh, absolute_lifetime_seconds=90 * DAY))
    store(deployment, replace(ARRIVAL, provider=ending))
    assert numbers(deployment, "grant_expires_at") == [deployment.clock.now() + 90 * DAY]


def test_the_keys_lifetime_goes_before_the_token_s(deployment: Deployment) -> None:
    both = replace(YEARLY, refresh=replace(CRM.refresh, absolute_lifetime_seconds=90 * DAY))
    store(deployment, replace(ARRIVAL, provider=both))
    assert numbers(deployment, "grant_expires_at") == [deployment.clock.now() + 365 * DAY]


def test_a_grant_without_an_end_has_none(deployment: Deployment) -> None:
    store(deployment)
    assert numbers(deployment, "grant_expires_at", "warned_at") == [None, None]


def test_entered_credentials_end_too(deployment: Deployment) -> None:
    keys = {"client_id": Secret("customer"), "client_secret": Secret("CNRY-secret")}
    arrival = replace(ARRIVAL, provider=YEARLY, grant_type=Grant.CLIENT_CREDENTIALS, credentials=keys)
    store(deployment, arrival)
    assert numbers(deployment, "grant_expires_at") == [deployment.clock.now() + 365 * DAY]


def test_a_reconnect_starts_anew_and_forgets_the_warning(deployment: Deployment) -> None:
    store(deployment, replace(ARRIVAL, provider=YEARLY))
    deployment.clock.advance(350 * DAY)
    warn(deployment)
    store(deployment, replace(ARRIVAL, provider=YEARLY, tokens=NEXT))
    assert numbers(deployment, "grant_expires_at", "warned_at") == [deployment.clock.now() + 365 * DAY, None]


def test_a_reconnect_that_keeps_the_old_grant_keeps_its_end_and_its_warning(deployment: Deployment) -> None:
    store(deployment, replace(ARRIVAL, provider=YEARLY))
    ends = deployment.clock.now() + 365 * DAY
    deployment.clock.advance(350 * DAY)
    warn(deployment)
    store(deployment, replace(ARRIVAL, provider=YEARLY, tokens=replace(NEXT, refresh_token=None)))
    assert numbers(deployment, "grant_expires_at", "warned_at") == [ends, deployment.clock.now()]


def test_a_reconnect_with_a_provider_whose_grants_do_not_end_has_none(deployment: Deployment) -> None:
    store(deployment, replace(ARRIVAL, provider=YEARLY))
    store(deployment, replace(ARRIVAL, tokens=NEXT))
    assert numbers(deployment, "grant_expires_at", "warned_at") == [None, None]


def test_a_token_that_never_ends_comes_due_for_the_warning(deployment: Deployment) -> None:
    store(deployment, replace(ARRIVAL, provider=YEARLY, tokens=replace(GRANTED, expires_in_seconds=None)))
    assert numbers(deployment, "expires_at", "due_at") == [None, deployment.clock.now() + 335 * DAY]
