"""The engine weakened in one place at a time: each must break an invariant, or the simulator proves nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from types import ModuleType
from typing import Any, Final

import pytest

from consentry.aws import connections, erasures, removals
from consentry.aws.connections import DynamoConnections
from consentry.aws.dynamodb import apply
from consentry.aws.escrow import SqsEscrow
from consentry.model import Connection, Status
from consentry.oauth.provider import Provider, RefreshBehaviour
from consentry.oauth.wire import FailureClass
from consentry.ports import CommitOutcome, Failure
from consentry.refresh import engine, policy, withdrawing
from consentry.refresh.engine import RefreshConnection, Refreshed
from consentry.refresh.policy import Outcome, Refusal, Verdict
from tests.simulation import world
from tests.simulation.faults import Answer, Weather, weather
from tests.simulation.runs import Options

type Mutation = Callable[[pytest.MonkeyPatch], None]
type Request = dict[str, Any]


def rough(random: Random, start: float, span: float) -> Weather:
    """Weather in which workers pause, die and wait in vain, often."""
    drawn = weather(random, start, span)
    return replace(drawn, error=0.02, death=0.03, pause=0.08, bad_answer=0.4)


def silent(random: Random, start: float, span: float) -> Weather:
    """Weather in which workers pause and requests stay unanswered, and nothing else goes wrong."""
    return Weather(pause=0.12, bad_answer=0.6, answers=(Answer.LATE, Answer.SILENT, Answer.NEVER_ARRIVES))


def slow(random: Random, start: float, span: float) -> Weather:
    """Weather in which workers pause for long, and everything else is well."""
    return Weather(pause=0.2)


def curt(random: Random, start: float, span: float) -> Weather:
    """Weather in which requests stay unanswered or are refused."""
    return Weather(bad_answer=0.6, answers=(Answer.SILENT, Answer.TOO_MANY))


def fair(random: Random, start: float, span: float) -> Weather:
    return Weather()


_ROTATING: Final = Options(kinds=("strict", "grace"), most_connections=1, impatience=0.5, misfortune=0, interference=0)
_STRICT: Final = replace(_ROTATING, kinds=("strict",))
ROUGH: Final = replace(_ROTATING, weather=rough, misfortune=0.1, interference=0.05)
SILENT: Final = replace(_ROTATING, weather=silent, kinds=("grace",))
SLOW: Final = replace(_ROTATING, weather=slow, impatience=0.8)
CURT: Final = replace(_STRICT, weather=curt, impatience=0.8)
CHANGING: Final = replace(_ROTATING, weather=fair, interference=0.5)
UNFORTUNATE: Final = replace(_STRICT, weather=fair, impatience=0.7, misfortune=0.4)
PARTING: Final = replace(_ROTATING, weather=slow, impatience=0.5, farewells=1, parting=0.7)
PARTING_IN_MISFORTUNE: Final = replace(UNFORTUNATE, kinds=("none", "strict"), farewells=1)
SORTS: Final = (ROUGH, SILENT, SLOW, CURT, CHANGING, UNFORTUNATE, PARTING, PARTING_IN_MISFORTUNE)


def _rewritten(
    patch: pytest.MonkeyPatch, what: str, rewrite: Callable[[Request], Request], where: ModuleType = connections
) -> None:
    """Change the requests of one operation of an adapter before they are made."""

    def weak(write: Callable[..., Mapping[str, Any]], request: Request, operation: str) -> dict[str, Any]:
        return apply(write, rewrite(request) if operation == what else request, operation)

    patch.setattr(where, "apply", weak)


def _pruned(request: Request) -> Request:
    """Leave out placeholders that nobody uses any more."""
    text = f"{request.get('UpdateExpression', '')} {request['ConditionExpression']}"
    used = set(re.findall(r"[#:]\w+", text))
    given = {
        name: {placeholder: value for placeholder, value in request[name].items() if placeholder in used}
        for name in ("ExpressionAttributeNames", "ExpressionAttributeValues")
    }
    return request | given


def without_condition(*attributes: str) -> Callable[[Request], Request]:
    """Drop every parenthesised condition that is about one of the attributes."""

    def rewrite(request: Request) -> Request:
        names = request["ExpressionAttributeNames"]
        conditions = request["ConditionExpression"][1:-1].split(") AND (")
        kept = [each for each in conditions if names[re.findall(r"#\w+", each)[0]] not in attributes]
        return _pruned(request | {"ConditionExpression": " AND ".join(f"({each})" for each in kept)})

    return rewrite


def without_intent(request: Request) -> Request:
    """Take the lease without writing down that a request is about to be sent."""
    names = {attribute: placeholder for placeholder, attribute in request["ExpressionAttributeNames"].items()}
    text = request["UpdateExpression"]
    for attribute in ("pend_gen", "pend_at"):
        text = re.sub(rf"{names[attribute]} = :\w+, ", "", text)
    assert text != request["UpdateExpression"], "nothing was weakened"
    return _pruned(request | {"UpdateExpression": text})


def commit_over_any_generation(patch: pytest.MonkeyPatch) -> None:
    _rewritten(patch, "commit tokens", without_condition("gen"))


def lease_without_intent(patch: pytest.MonkeyPatch) -> None:
    _rewritten(patch, "take lease", without_intent)


def lease_over_a_lease(patch: pytest.MonkeyPatch) -> None:
    """Neither the lease nor the intent of another worker stops this one."""
    _rewritten(patch, "take lease", without_condition("lease_until", "pend_gen"))


def failure_mark_of_anyone(patch: pytest.MonkeyPatch) -> None:
    """A loser's failure may overwrite a winner's success."""
    _rewritten(patch, "record failure", without_condition("gen", "lease_owner"))


def no_settling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policy, "SETTLE", 0)


def lease_shorter_than_the_function(patch: pytest.MonkeyPatch) -> None:
    for module in (policy, engine):
        patch.setattr(module, "LEASE", 10)


def function_longer_than_the_lease(patch: pytest.MonkeyPatch) -> None:
    """No hard end: the platform lets a worker live for two minutes more."""
    patch.setattr(world, "FUNCTION_SECONDS", 165.0)


def abort_clears_the_intent(patch: pytest.MonkeyPatch) -> None:
    """A worker without time left tidies up behind itself, and takes an older doubt along."""
    take = RefreshConnection._take_lease

    def tidy(self: RefreshConnection, record: Connection, provider: Provider, owner: str) -> Connection | None:
        before = take(self, record, provider, owner)
        if before and self.clock.remaining_seconds() < policy.GUARD:
            now = self.clock.now()
            aborted = Failure(
                owner=owner, gen=before.gen, epoch=self.epoch, error="aborted", failures=before.failures + 1,
                next_try_at=now + 60, due_at=now + 60, answered=True, status=Status.ACTIVE, now=now,
            )  # fmt: skip
            self.connections.record_failure(before.key, aborted)
        return before

    patch.setattr(RefreshConnection, "_take_lease", tidy)


def doubt_as_trouble(patch: pytest.MonkeyPatch) -> None:
    """A request without an answer is repeated like one that was refused."""
    decide = policy.verdict

    def careless(
        before: Connection, refusal: Refusal, behaviour: RefreshBehaviour, *, now: int, fraction: float
    ) -> Verdict:
        if refusal.kind is FailureClass.IN_DOUBT:
            refusal = replace(refusal, kind=FailureClass.LATER, processed=False)
        return decide(before, refusal, behaviour, now=now, fraction=fraction)

    patch.setattr(engine, "verdict", careless)


def answers_end_older_doubts(patch: pytest.MonkeyPatch) -> None:
    """A definite refusal clears the intent, whosever it was."""
    decide = policy.verdict

    def forgetful(
        before: Connection, refusal: Refusal, behaviour: RefreshBehaviour, *, now: int, fraction: float
    ) -> Verdict:
        return replace(decide(before, refusal, behaviour, now=now, fraction=fraction), answered=not refusal.processed)

    patch.setattr(engine, "verdict", forgetful)


def overtaken_and_proud(patch: pytest.MonkeyPatch) -> None:
    """A worker that was overtaken does not look at what stands, and calls its own token the newest."""

    def claims(self: RefreshConnection, record: Connection) -> Refreshed:
        return Refreshed(Outcome.REFRESHED, record.gen + 1)

    patch.setattr(RefreshConnection, "_adopt", claims)


def escrow_never_asked(patch: pytest.MonkeyPatch) -> None:
    """An in-doubt token is sent again although its successor waits in escrow."""
    patch.setattr(SqsEscrow, "is_empty", lambda _self: True)


def commit_to_another_consent(patch: pytest.MonkeyPatch) -> None:
    """Tokens of an erased connection land in one of the same name and generation."""
    _rewritten(patch, "commit tokens", without_condition("consent_id"))


def claim_over_a_lease(patch: pytest.MonkeyPatch) -> None:
    """The record is erased while a refresh is under way."""
    _rewritten(patch, "claim for removal", without_condition("lease_until"), erasures)


def hand_nothing_over(patch: pytest.MonkeyPatch) -> None:
    """What a refresh brings for a connection on its way out is dropped."""
    patch.setattr(DynamoConnections, "_hand_over", lambda _self, _commit: CommitOutcome.DELETING)


def keep_the_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(removals, "_ENDED", ("next_try_at", "enqueued_until"))


def revoke_before_the_escrow_is_empty(patch: pytest.MonkeyPatch) -> None:
    """The grant that waits in escrow outlives the connection."""
    patch.setattr(withdrawing, "_in_doubt", lambda _record, _provider: False)


MUTATIONS: Final[dict[Mutation, Options]] = {
    commit_over_any_generation: CHANGING,
    lease_without_intent: ROUGH,
    lease_over_a_lease: ROUGH,
    failure_mark_of_anyone: CHANGING,
    no_settling: SILENT,
    lease_shorter_than_the_function: SILENT,
    function_longer_than_the_lease: SLOW,
    abort_clears_the_intent: ROUGH,
    doubt_as_trouble: ROUGH,
    answers_end_older_doubts: CURT,
    overtaken_and_proud: CHANGING,
    escrow_never_asked: UNFORTUNATE,
    commit_to_another_consent: PARTING_IN_MISFORTUNE,
    claim_over_a_lease: PARTING,
    hand_nothing_over: PARTING,
    keep_the_token: PARTING,
    revoke_before_the_escrow_is_empty: PARTING_IN_MISFORTUNE,
}
