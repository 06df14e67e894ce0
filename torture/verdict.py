"""What a trial came to: counted from what the authorization server saw, and judged."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from dev.authserver.journal import Entry
from torture.trial import Connection, Trial


class Fate(StrEnum):
    """What became of one grant.

    `kept`: two newer tokens in a row. `destroyed`: revoked by the server although nobody asked for it, and it could
    have been kept. `given_up`: alive and within reach, and yet the store wants the customer again. `silent`: no token,
    and no word about it. `unavoidable`: the new refresh token was lost before the store could have had it, no replay
    is forgiven, and the store says that the customer has to connect again.
    """

    KEPT = "kept"
    DESTROYED = "destroyed"
    GIVEN_UP = "given_up"
    SILENT = "silent"
    UNAVOIDABLE = "unavoidable"


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "FAILED"
    NOT_PROVOKED = "NOT PROVOKED"
    NOT_APPLICABLE = "NOT APPLICABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Counts of grants, requests and reads of one scenario. `reads_in_vain` got none although a token still worked."""

    scenario: str
    verdict: Verdict
    why: str = ""
    tried: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    in_flight_max: int = 0
    presented_twice: int = 0
    asked_too_early: int = 0
    reads: int = 0
    reads_refused: int = 0
    reads_dead: int = 0
    reads_in_vain: int = 0

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def judged(trial: Trial) -> Result:
    """Judge a trial whose store has settled."""
    tried = [each for each in trial.connections if _met(trial, each)]
    fates = Counter(_fate(trial, each) for each in tried)
    readings = [reading for each in tried for reading in each.readings]
    in_vain = sum(each.in_vain for each in readings)
    why = _failure(fates, in_vain if trial.scenario.must_serve else 0)
    verdict = Verdict.FAILED if why else Verdict.PASSED
    if not tried:
        verdict, why = Verdict.NOT_PROVOKED, "the store sent no refresh request when it was told to"
    return Result(
        scenario=trial.scenario.id,
        verdict=verdict,
        why=why,
        tried=len(tried),
        fates={fate.value: fates[fate] for fate in Fate},
        causes=dict(Counter(each.cause for each in tried if each.cause)),
        in_flight_max=max((_in_flight_max(each) for each in tried), default=0),
        presented_twice=sum(_presented_twice(each) for each in tried),
        asked_too_early=sum(_asked_too_early(trial, each) for each in tried),
        reads=len(readings),
        reads_refused=sum(not each.served for each in readings),
        reads_dead=sum(each.dead for each in readings),
        reads_in_vain=in_vain,
    )


def not_applicable(trial: Trial) -> Result:
    why = f"the adapter cannot {trial.scenario.needs}"
    return Result(scenario=trial.scenario.id, verdict=Verdict.NOT_APPLICABLE, why=why)


def _met(trial: Trial, connection: Connection) -> bool:
    return any(trial.scenario.fault in {"", each.fault} for each in connection.refreshes())


def _fate(trial: Trial, connection: Connection) -> Fate:
    alive = connection.witness.alive()
    if connection.proven and alive:
        return Fate.KEPT
    if _is_unavoidable(trial, connection):
        return Fate.UNAVOIDABLE if connection.cause else Fate.SILENT
    if not alive:
        return Fate.DESTROYED
    return Fate.GIVEN_UP if connection.cause else Fate.SILENT


def _is_unavoidable(trial: Trial, connection: Connection) -> bool:
    """Whether nobody got the answer to the first refresh that the server acted on, and no replay is forgiven."""
    scenario = trial.scenario
    issued = (each for each in connection.refreshes() if each.outcome == "issued")
    first = next(issued, None)
    lost = scenario.loses_answer and first is not None and first.fault == scenario.fault
    return lost and not scenario.grace_seconds


def _failure(fates: Counter[Fate], in_vain: int) -> str:
    counted = {
        "destroyed": fates[Fate.DESTROYED],
        "given up": fates[Fate.GIVEN_UP],
        "lost silently": fates[Fate.SILENT],
        "reads in vain": in_vain,
    }
    return ", ".join(f"{count} {what}" for what, count in counted.items() if count)


def _in_flight_max(connection: Connection) -> int:
    return max((each.in_flight_max_for_grant for each in connection.refreshes()), default=0)


def _presented_twice(connection: Connection) -> int:
    presented = Counter(each.refresh_token_id for each in connection.refreshes())
    return sum(times > 1 for times in presented.values())


def _asked_too_early(trial: Trial, connection: Connection) -> int:
    """How many requests came before the time that the first 429 had named."""
    refused: Sequence[Entry] = [each for each in connection.refreshes() if each.status == 429]  # noqa: PLR2004 - RFC 6585
    if not refused or not trial.retry_after_seconds:
        return 0
    until = refused[0].at + trial.retry_after_seconds
    return sum(each.at < until for each in connection.refreshes()) - 1
