"""The program's options, and the plan that follows from a seed."""

from itertools import pairwise

import pytest

from tests.chaos.__main__ import main
from tests.chaos.plan import Plan


@pytest.mark.parametrize(
    "words", [["--connections", "0"], ["--faults", "2"], ["--kills", "-1"], ["--minutes", "0"], ["--rotations", "many"]]
)
def test_a_mistaken_option_ends_with_status_2_and_its_name(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["soak", *words])
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_seed_decides_kills_and_outages_and_another_one_decides_otherwise() -> None:
    plan, other = (Plan(seed=seed, kills=20, outages=True, revocations=5) for seed in (1, 2))
    assert plan.kill_times() == Plan(seed=1, kills=20, outages=True).kill_times() != other.kill_times()
    assert plan.outage_times() == Plan(seed=1, outages=True).outage_times() != other.outage_times()
    assert len(plan.kill_times()) == 20


def test_outages_follow_one_another() -> None:
    plan = Plan(outages=True, rotations=20_000)
    begins = [at for at, _, _ in plan.outage_times()]
    assert {service for _, service, _ in plan.outage_times()} == set(plan.services)
    assert all(later - earlier > plan.outage_seconds for earlier, later in pairwise(begins))


def test_more_kills_do_not_move_the_outages() -> None:
    assert Plan(seed=3, kills=1, outages=True).outage_times() == Plan(seed=3, kills=50, outages=True).outage_times()


def test_it_is_demanded_that_everything_settles_only_if_there_is_time_to() -> None:
    assert Plan().must_settle
    assert not Plan(calm_seconds=5).must_settle
