"""The chosen protocol breaks nothing, and each way to weaken it breaks what it was said to break."""

from collections.abc import Callable

import pytest

from consentry.refresh import policy
from tests.model.checker import Protocol, Result, search
from tests.model.protocol import SILENTLY_DEAD, TWO_IN_FLIGHT, explore, refresh_protocol
from tests.model.provider import (
    FORGIVING,
    HELD_TOKEN_KILLED,
    REAL_TIME,
    SHORT_GRACE,
    SINGLE_USE,
    STRICT,
    ProviderKind,
)
from tests.model.record import LINEAGE_BROKEN, LIVE_TOKEN_CONDEMNED, LIVE_TOKEN_DISCARDED
from tests.model.report import say_result
from tests.model.state import GONE, Orphan, Phase, Row, State
from tests.model.variants import (
    BROKEN,
    G2,
    G4,
    H1,
    H5,
    H6,
    H7,
    H8,
    SOUND,
    VARIANTS,
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    Variant,
    in_real_time,
)

AT_LEAST_STATES = (1_500, 10_000, 25_000)


def told(variant: Variant, faults: int, result: Result) -> Result:
    say_result(f"{variant.name:2} faults={faults}  {variant.summary}", result, traces=True)
    return result


@pytest.mark.parametrize("faults", [0, 1, 2])
@pytest.mark.parametrize("variant", SOUND, ids=lambda variant: variant.name)
def test_a_sound_variant_breaks_nothing(variant: Variant, faults: int) -> None:
    result = told(variant, faults, explore(variant, faults, horizon=22, jobs=4))
    assert result.violations == {}
    assert result.states > AT_LEAST_STATES[faults]


@pytest.mark.parametrize(
    ("variant", "faults", "broken"),
    [
        (A, 0, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED}),
        (A, 1, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED, SILENTLY_DEAD, LINEAGE_BROKEN}),
        (B, 0, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED}),
        (B, 1, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED, SILENTLY_DEAD, LINEAGE_BROKEN}),
        (C, 0, {HELD_TOKEN_KILLED}),
        (C, 1, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED, SILENTLY_DEAD, LINEAGE_BROKEN}),
        (D, 0, {LIVE_TOKEN_DISCARDED, HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (E, 0, {HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (E, 1, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (F, 0, {HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (F, 2, {HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (G2, 1, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (G4, 1, {TWO_IN_FLIGHT, HELD_TOKEN_KILLED, SILENTLY_DEAD}),
        (H1, 1, {SILENTLY_DEAD}),
        (H6, 2, {SILENTLY_DEAD}),
        (H7, 1, {SILENTLY_DEAD}),
    ],
    ids=lambda value: value.name if isinstance(value, Variant) else None,
)
def test_a_broken_variant_breaks_what_is_said_of_it(variant: Variant, faults: int, broken: set[str]) -> None:
    result = told(variant, faults, explore(variant, faults, horizon=14, jobs=2))
    assert broken <= result.violations.keys()


@pytest.mark.parametrize("variant", [E, F], ids=lambda variant: variant.name)
def test_without_a_hard_timeout_a_pause_alone_is_enough(variant: Variant) -> None:
    violations = explore(variant, faults=0, horizon=14, jobs=2).violations
    assert "a tick passes" in violations[HELD_TOKEN_KILLED]
    assert TWO_IN_FLIGHT not in violations


@pytest.mark.parametrize("variant", [G2, G4, H1, H6, H7, H8], ids=lambda variant: variant.name)
def test_without_a_fault_the_subtle_mistakes_stay_hidden(variant: Variant) -> None:
    assert explore(variant, faults=0, horizon=22, jobs=4).violations == {}


def test_each_variant_is_said_to_be_sound_or_broken() -> None:
    assert sorted((*SOUND, *BROKEN)) == sorted(VARIANTS)
    assert set(SOUND) == {G, H, H5}


def test_a_third_worker_breaks_nothing() -> None:
    result = told(H5, 2, explore(H5, faults=2, horizon=22, jobs=3, workers=3))
    assert result.violations == {}
    assert result.states > 15_000


def test_the_times_of_the_policy_break_nothing() -> None:
    variant = in_real_time(H5)
    assert (variant.call, variant.function, variant.lease, variant.settle) == (5, 9, 12, 7)
    result = told(variant, 1, explore(variant, faults=1, horizon=60, jobs=2, kind=REAL_TIME))
    assert result.violations == {}
    assert result.states > 15_000


def test_the_small_times_keep_the_order_of_the_policy() -> None:
    assert 0 < H5.call < H5.function < H5.lease
    assert 0 < policy.CALL < policy.FUNCTION < policy.LEASE
    assert H5.settle == STRICT.late
    assert REAL_TIME.late == in_real_time(H5).settle


@pytest.mark.parametrize("settle", [1, 2, 3])
@pytest.mark.parametrize("lease", [1, 2, 3])
def test_the_wait_is_long_enough_exactly_if_it_outlasts_the_latest_request(lease: int, settle: int) -> None:
    variant = H5._replace(lease=lease, settle=settle)
    outlasts = lease + settle >= variant.function + STRICT.late
    result = explore(variant, faults=2, horizon=14, jobs=2)
    assert (TWO_IN_FLIGHT not in result.violations) is outlasts
    assert (HELD_TOKEN_KILLED not in result.violations) is outlasts


@pytest.mark.parametrize("variant", [A, B, C], ids=lambda variant: variant.name)
def test_a_loser_that_writes_blindly_condemns_the_winner(variant: Variant) -> None:
    assert LIVE_TOKEN_CONDEMNED in explore(variant, faults=0, horizon=14, jobs=2, kind=SINGLE_USE).violations


@pytest.mark.parametrize("kind", [SINGLE_USE, FORGIVING, SHORT_GRACE], ids=lambda kind: kind.name)
def test_other_kinds_of_provider_break_nothing(kind: ProviderKind) -> None:
    result = told(H5, 2, explore(H5, faults=2, horizon=22, jobs=2, kind=kind))
    assert result.violations == {}
    assert result.states > 2_500


@pytest.mark.parametrize("kind", [FORGIVING, SHORT_GRACE], ids=lambda kind: kind.name)
def test_asking_again_at_once_relies_on_a_closed_connection_being_over(kind: ProviderKind) -> None:
    """The limit of the second request: a provider that acts on the first one afterwards takes it for a stolen token."""
    late = kind._replace(acts_after_close=True)
    assert HELD_TOKEN_KILLED in explore(H5, faults=1, horizon=14, jobs=2, kind=late).violations
    assert explore(H5._replace(repeats=False), faults=2, horizon=14, jobs=2, kind=late).violations == {}


def reaches(protocol: Protocol[State], sight: Callable[[State], bool]) -> bool:
    looking = protocol._replace(violated=lambda state: ["seen"] if sight(state) else [])
    return "seen" in search(looking, horizon=14).violations


def is_refreshed_twice(state: State) -> bool:
    return state.row.gen == 2 and state.server.lives(state.row.token)


def is_flagged(state: State) -> bool:
    return not state.row.active


def is_fresh(state: State) -> bool:
    return state.row.gen == 1 and state.server.lives(state.row.token) and not state.row.in_doubt


def in_doubt() -> Protocol[State]:
    """A worker died while it was asking; its request is still on the way, and one job is left."""
    beginning = refresh_protocol(H5, faults=0, jobs=1)
    left = beginning.initial._replace(row=Row(owner=GONE, pend_gen=0), orphans=(Orphan(token=0, left=STRICT.late),))
    return beginning._replace(initial=left)


def test_the_sound_protocol_does_refresh() -> None:
    assert reaches(refresh_protocol(H5, faults=0, jobs=2), is_refreshed_twice)


def test_only_a_fault_ever_flags_a_connection() -> None:
    assert not reaches(refresh_protocol(H5, faults=0, jobs=2), is_flagged)
    assert reaches(refresh_protocol(H5, faults=1, jobs=2), is_flagged)


def test_a_doubt_ends_fresh_or_flagged() -> None:
    assert reaches(in_doubt(), is_fresh)
    assert reaches(in_doubt(), is_flagged)
    assert search(in_doubt(), horizon=14).violations == {}


def test_a_doubt_lasts_until_the_lease_and_the_settling_are_over() -> None:
    def is_asked_again(state: State) -> bool:
        return any(worker.phase is Phase.ASKING for worker in state.workers)

    asked = in_doubt()._replace(violated=lambda state: ["asked"] if is_asked_again(state) else [])
    assert search(asked, horizon=H5.lease + H5.settle - 1).violations == {}
    assert "asked" in search(asked, horizon=H5.lease + H5.settle).violations


def test_doubts_of_a_moment_ago_are_not_forgotten() -> None:
    assert SILENTLY_DEAD in told(H8, 3, explore(H8, faults=3, horizon=14, jobs=2)).violations
    assert SILENTLY_DEAD in told(H8, 2, explore(H8, faults=2, horizon=14, jobs=2, kind=SHORT_GRACE)).violations


def test_the_number_of_workers_is_bounded() -> None:
    with pytest.raises(ValueError, match="one to 3 workers, not 4"):
        explore(H5, 0, 14, 2, workers=4)
