"""How integrations are doing, on record: one set of facts for memory and two emulators of DynamoDB."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest

from consentry.aws.dynamodb import from_item, to_item
from consentry.aws.health import DynamoHealth
from consentry.aws.registry import DynamoIntegrations
from consentry.ports import StorageUnavailable
from consentry.refresh.health import Health
from tests.support.dynamo import MemoryDynamo
from tests.support.tables import REGION, TableClient, create_tables, unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_800_000_000
MINUTE_AGO = NOW - 60
ODD = ["a-_-b", "0", "x" * 63, "CRM", "health"]
_stacks = itertools.count(1)


class Store:
    """The adapter over one client, with a table of its own."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = TableClient(client)
        self.table = create_tables(client, f"health{next(_stacks)}")["IntegrationsTable"]
        self.health = DynamoHealth(self.client.as_client, self.table)

    def item(self, integration: str = "crm") -> dict[str, object]:
        key = to_item({"integration": f"{integration}#health"})
        return from_item(self.client.client.get_item(TableName=self.table, Key=key).get("Item", {}))

    def put(self, **attributes: object) -> None:
        """Write an item as an operator might, by hand."""
        item = to_item({"integration": "crm#health", **attributes})
        self.client.client.put_item(TableName=self.table, Item=item)

    def fail(self, times: int = 1, *, succeeded: int = 0, now: int = NOW) -> Health:
        found = [self.health.count_failure("crm", succeeded=succeeded, now=now, since=now - 60) for _ in range(times)]
        return found[-1]


@pytest.fixture(scope="module", params=["memory", "moto", "ministack"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "memory":
        return lambda: Store(MemoryDynamo().as_client)
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=request.getfixturevalue(request.param))
    return lambda: Store(client)


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    return new_store()


def test_an_integration_without_a_record_is_well(store: Store) -> None:
    assert store.health.read("crm") == Health(integration="crm")
    assert list(store.health.all()) == []


def test_reading_is_one_call_and_need_not_be_the_newest(store: Store) -> None:
    store.health.read("crm")
    assert store.client.calls == ["get_item"]


# Counting


def test_failures_and_successes_add_up_within_the_window(store: Store) -> None:
    assert store.fail(succeeded=3) == Health(integration="crm", window_at=NOW, failed=1, succeeded=3)
    assert store.fail(2, now=NOW + 59, succeeded=1) == Health(integration="crm", window_at=NOW, failed=3, succeeded=5)
    assert store.health.read("crm") == Health(integration="crm", window_at=NOW, failed=3, succeeded=5)


def test_a_window_that_is_over_begins_anew(store: Store) -> None:
    store.fail(5, succeeded=7)
    assert store.fail(now=NOW + 60) == Health(integration="crm", window_at=NOW + 60, failed=1, succeeded=0)


def test_a_clock_that_is_behind_counts_into_the_window_of_one_that_is_ahead(store: Store) -> None:
    store.fail(now=NOW + 5)
    assert store.fail(now=NOW - 5) == Health(integration="crm", window_at=NOW + 5, failed=2)


def test_counting_costs_one_write_and_two_where_a_window_begins(store: Store) -> None:
    store.fail()
    assert store.client.calls == ["update_item"] * 2
    store.fail()
    assert store.client.calls == ["update_item"] * 3


def test_of_thirty_two_failures_at_once_none_is_lost(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: store.fail().failed, range(32)))
    assert sorted(counted) == list(range(1, 33))


def test_refused_connections_are_counted_apart_from_failures(store: Store) -> None:
    store.fail(2)
    assert store.health.count_gone("crm", now=NOW, since=NOW - 600).gone == 1
    found = store.health.count_gone("crm", now=NOW + 599, since=NOW - 1)
    assert (found.gone, found.gone_at, found.failed) == (2, NOW, 2)
    assert store.health.count_gone("crm", now=NOW + 600, since=NOW).gone == 1


# Breaker and pause


def test_of_those_who_open_one_does(store: Store) -> None:
    store.fail(10, succeeded=1)
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda n: store.health.open("crm", until=NOW + 30 + n, opened=1, now=NOW), range(8)))
    assert opened.count(True) == 1
    found = store.health.read("crm")
    assert (found.opened, found.failed, found.succeeded, found.window_at) == (1, 0, 0, NOW)
    assert found.open_until == NOW + 30 + opened.index(True)


def test_an_open_breaker_is_not_opened_again(store: Store) -> None:
    assert store.health.open("crm", until=NOW + 30, opened=1, now=NOW)
    assert not store.health.open("crm", until=NOW + 90, opened=2, now=NOW + 29)
    assert store.health.read("crm").open_until == NOW + 30


def test_a_breaker_can_open_again_from_the_second_on_in_which_it_ends(store: Store) -> None:
    store.health.open("crm", until=NOW + 30, opened=1, now=NOW)
    assert store.health.open("crm", until=NOW + 90, opened=2, now=NOW + 30)
    assert store.health.read("crm").open_until == NOW + 90


def test_a_probe_is_taken_by_one_at_a_time(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        took = list(pool.map(lambda _: store.health.take_probe("crm", now=NOW, until=NOW + 60), range(8)))
    assert took.count(True) == 1
    assert not store.health.take_probe("crm", now=NOW + 60, until=NOW + 120)
    assert store.health.take_probe("crm", now=NOW + 61, until=NOW + 121)


def test_a_recovery_is_written_once_the_breaker_is_not_open_any_more_and_frees_the_probe(store: Store) -> None:
    store.health.open("crm", until=NOW + 30, opened=1, now=NOW)
    store.health.recover("crm", now=NOW + 29)
    assert store.health.read("crm").recovered_at == 0
    store.health.take_probe("crm", now=NOW + 30, until=NOW + 90)
    store.health.recover("crm", now=NOW + 30)
    assert store.health.read("crm").recovered_at == NOW + 30
    assert store.health.take_probe("crm", now=NOW + 31, until=NOW + 91)


def test_the_longest_pause_stands_and_is_told(store: Store) -> None:
    assert store.health.pause("crm", until=NOW + 100).paused_until == NOW + 100
    assert store.health.pause("crm", until=NOW + 50).paused_until == NOW + 100
    assert store.health.pause("crm", until=NOW + 200).paused_until == NOW + 200


# Hold


def test_the_longest_hold_stands(store: Store) -> None:
    begun = [store.health.hold("crm", until=NOW + seconds, now=NOW) for seconds in (100, 50, 100)]
    assert begun == [True, False, False]
    assert store.health.read("crm").hold_until == NOW + 100


def test_a_hold_is_prolonged_and_one_that_is_over_begins_again(store: Store) -> None:
    assert store.health.hold("crm", until=NOW + 100, now=NOW)
    assert not store.health.hold("crm", until=NOW + 150, now=NOW + 99)
    assert store.health.read("crm").hold_until == NOW + 150
    assert store.health.hold("crm", until=NOW + 300, now=NOW + 150)


def test_of_those_who_hold_at_once_one_begins(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda n: store.health.hold("crm", until=NOW + 100 + n, now=NOW), range(8)))
    assert begun.count(True) == 1
    assert store.health.read("crm").hold_until == NOW + 107


def test_a_release_ends_the_hold_and_says_until_when(store: Store) -> None:
    store.health.hold("crm", until=NOW + 100, now=NOW)
    store.health.release("crm", until=NOW + 50)
    found = store.health.read("crm")
    assert (found.hold_until, found.released_until) == (0, NOW + 50)
    store.health.release("crm", until=NOW + 20)
    assert store.health.read("crm").released_until == NOW + 50


# Rate


def test_a_budget_is_reserved_by_one_of_many(store: Store) -> None:
    seen = store.health.read("crm")
    with ThreadPoolExecutor(8) as pool:
        took = list(pool.map(lambda _: store.health.reserve(seen, since=NOW, rate=60), range(8)))
    assert took.count(True) == 1
    assert store.health.read("crm") == Health(integration="crm", budget=0, budget_at=NOW, rate=60)


def test_a_budget_is_reserved_by_those_alone_who_saw_it_as_it_stands(store: Store) -> None:
    seen = store.health.read("crm")
    assert store.health.reserve(seen, since=NOW, rate=60)
    assert not store.health.reserve(seen, since=NOW + 60, rate=60)
    assert store.health.reserve(store.health.read("crm"), since=NOW + 60, rate=60)


def test_what_is_given_back_can_be_reserved_once_even_within_the_same_second(store: Store) -> None:
    store.health.reserve(store.health.read("crm"), since=NOW, rate=60)
    store.health.give_back("crm", 4, reserved_at=NOW)
    seen = store.health.read("crm")
    assert seen.budget == 4
    assert [store.health.reserve(seen, since=NOW, rate=60), store.health.reserve(seen, since=NOW, rate=60)] == [
        True,
        False,
    ]


def test_nothing_is_given_back_after_somebody_else_reserved(store: Store) -> None:
    store.health.reserve(store.health.read("crm"), since=NOW, rate=60)
    store.health.reserve(store.health.read("crm"), since=NOW + 60, rate=60)
    store.health.give_back("crm", 4, reserved_at=NOW)
    assert store.health.read("crm").budget == 0


# How many connections there are


def test_connections_are_counted_shard_by_shard(store: Store) -> None:
    for shard, connections in enumerate((5, 7, 0)):
        store.health.count_connections("crm", shard, connections)
    assert store.health.read("crm").connections == 12
    store.health.count_connections("crm", 1, 2)
    assert store.health.read("crm").connections == 7


def test_what_is_told_of_a_write_is_all_that_stands(store: Store) -> None:
    store.health.count_connections("crm", 0, 400)
    assert store.health.count_gone("crm", now=NOW, since=MINUTE_AGO).connections == 400
    assert store.fail().gone == 1


# Beside the registrations


def test_all_are_listed_and_registrations_are_not_among_them(store: Store) -> None:
    row = {"integration": "crm", "provider": "crm", "client_id": "c"}
    store.client.client.put_item(TableName=store.table, Item=to_item(row))
    for name in ODD:
        store.health.take_probe(name, now=NOW, until=NOW + 60)
    assert {each.integration for each in store.health.all()} == set(ODD)
    assert [each.id for each in DynamoIntegrations(store.client.as_client, store.table).integrations()] == ["crm"]


def test_registering_anew_ends_no_hold(store: Store) -> None:
    store.health.hold("crm", until=NOW + 100, now=NOW)
    row = {"integration": "crm", "provider": "crm"}
    store.client.client.put_item(TableName=store.table, Item=to_item(row))
    assert store.health.read("crm").hold_until == NOW + 100


def test_all_are_listed_over_as_many_pages_as_there_are(store: Store) -> None:
    for number in range(24):
        item = {"integration": f"i{number}#health", "note": "x" * 50_000}
        store.client.client.put_item(TableName=store.table, Item=to_item(item))
    assert {each.integration for each in store.health.all()} == {f"i{number}" for number in range(24)}


# What somebody wrote by hand


@pytest.mark.parametrize("value", ["soon", "", True, None, ["1"], {"a": 1}])
def test_nonsense_written_by_hand_counts_as_nothing(store: Store, value: object) -> None:
    names = ("open_until", "opened", "hold_until", "released_until", "failed", "gone", "budget_at", "connections_0")
    store.put(**dict.fromkeys(names, value), paused_until=NOW)
    assert store.health.read("crm") == Health(integration="crm", paused_until=NOW)
    assert list(store.health.all()) == [Health(integration="crm", paused_until=NOW)]


def test_a_number_beyond_all_measure_is_a_number(store: Store) -> None:
    store.put(open_until=10**37, connections_0=10**37, connections_1=10**37)
    found = store.health.read("crm")
    assert (found.open_until, found.connections) == (10**37, 2 * 10**37)


def test_attributes_of_a_later_version_are_left_alone(store: Store) -> None:
    store.put(added_later="x")
    store.fail()
    assert store.item()["added_later"] == "x"


def test_trouble_of_the_table_is_named_by_its_code_alone(store: Store) -> None:
    def fail(operation: str) -> None:
        raise unavailable(operation)

    store.client.before = fail
    for call in (
        lambda: store.health.read("crm"),
        store.fail,
        lambda: store.health.pause("crm", until=NOW),
        lambda: store.health.reserve(Health(integration="crm"), since=NOW, rate=60),
    ):
        with pytest.raises(StorageUnavailable) as raised:
            call()
        assert raised.value.detail.endswith(": InternalServerError")
        assert "CNRY-" not in f"{raised.value} {raised.value.detail}"


def test_a_window_has_so_many_turns_and_a_later_one_as_many_again(store: Store) -> None:
    took = [store.health.take_turn("crm", window=NOW, most=2) for _ in range(3)]
    assert took == [True, True, False]
    assert [store.health.take_turn("crm", window=NOW + 3, most=2) for _ in range(3)] == [True, True, False]


def test_a_clock_that_is_behind_takes_a_turn_in_the_window_that_stands(store: Store) -> None:
    assert store.health.take_turn("crm", window=NOW, most=2)
    assert [store.health.take_turn("crm", window=NOW - 3, most=2) for _ in range(2)] == [True, False]


def test_a_window_s_turns_are_shared_by_all_who_ask_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        took = list(pool.map(lambda _: store.health.take_turn("crm", window=NOW, most=3), range(8)))
    assert sum(took) == 3


def test_the_rate_of_the_last_sweep_is_known_to_workers(store: Store) -> None:
    store.health.reserve(store.health.read("crm"), since=NOW, rate=45)
    assert store.health.read("crm").rate == 45
