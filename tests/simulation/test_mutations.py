"""A checker that cannot fail proves nothing: each weakened engine breaks an invariant, the real one breaks none."""

import pytest

from tests.simulation.mutations import MUTATIONS, SORTS, Mutation
from tests.simulation.runs import BrokenInvariant, Options, run

ENOUGH_SEEDS = 2500
NAMED = [pytest.param(mutation, id=mutation.__name__) for mutation in MUTATIONS]


def first_broken(options: Options, seeds: int) -> BrokenInvariant | None:
    for seed in range(seeds):
        try:
            run(seed, options)
        except BrokenInvariant as error:
            return error
    return None


@pytest.mark.parametrize("mutation", NAMED)
def test_a_weakened_engine_is_found_out(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    assert first_broken(MUTATIONS[mutation], ENOUGH_SEEDS) is not None


@pytest.mark.parametrize("options", [pytest.param(sort, id=sort.weather.__name__) for sort in SORTS])
def test_the_real_engine_is_not(options: Options) -> None:
    assert first_broken(options, 120) is None


def test_a_broken_invariant_is_told_with_its_seed_and_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = MUTATIONS
    first(monkeypatch)
    found = first_broken(MUTATIONS[first], ENOUGH_SEEDS)
    assert found is not None
    with pytest.raises(BrokenInvariant) as again:
        run(found.seed, MUTATIONS[first])
    assert str(found).startswith(f"seed {found.seed}: ")
    assert str(again.value) == str(found)
