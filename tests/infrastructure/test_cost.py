"""docs/cost.md says what counted calls and dated prices say."""

from pathlib import Path
from typing import Final

import pytest

from benchmarks.cost import __main__ as cost
from benchmarks.cost.billing import Prices

PRICES: Final = Prices.read(Path(cost.__file__).with_name("prices.toml"))


def test_the_pages_are_what_the_data_says() -> None:
    pages = dict(cost.pages(PRICES))
    assert set(pages) == {cost.PAGE, cost.README}
    assert [path.name for path, text in pages.items() if path.read_text() != text] == []


def test_a_read_from_the_cache_costs_nothing_and_one_that_is_not_two_calls() -> None:
    told = cost.operations()
    assert PRICES.of(told["read_hit"]) == {}
    assert set(PRICES.of(told["read_miss"])) == {"dynamodb read unit", "kms request"}


def test_a_write_is_billed_by_the_record_s_size_and_moves_its_entry_in_the_index() -> None:
    assert PRICES.billed("dynamodb:UpdateItem ConnectionsTable") == ("dynamodb write unit", 3 + 2)
    assert PRICES.billed("dynamodb:UpdateItem PendingTable") == ("dynamodb write unit", 1)


def test_a_call_without_a_price_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="sns:Publish"):
        PRICES.billed("sns:Publish Topic")


def test_idle_cost_counts_what_the_template_has() -> None:
    has = cost.deployment()
    assert (has.keys, has.secrets) == (2, 1)
    assert has.alarm_metrics > 16
