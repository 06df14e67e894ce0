"""The scenarios: what happens in the field, one sentence each, and how it is brought about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from torture import provocations

if TYPE_CHECKING:
    from torture.trial import Trial

GRACE_SECONDS: Final = 600


class Need(StrEnum):
    """What a store must be able to let happen to it; the value completes "the adapter cannot ..."."""

    NOTHING = ""
    KILL = "kill its processes (kill)"
    STORAGE = "take its storage away (storage_down)"


class Life(StrEnum):
    """How long the access token that consent brings still works when the trouble begins."""

    SHORT = "short"
    LONG = "long"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`fault` marks the requests that met the trouble (empty: any refresh); with `loses_answer` nobody got theirs.

    Where `must_serve` holds, a refused read is a failure as long as a token still works.
    """

    id: str
    story: str
    provoke: "Callable[[Trial], None]"
    fault: str = ""
    loses_answer: bool = False
    grace_seconds: int = 0
    life: Life = Life.SHORT
    needs: Need = Need.NOTHING
    must_serve: bool = False


# Deaths come first: nothing else may be refreshing when processes are killed.
SCENARIOS: Final[Sequence[Scenario]] = (
    Scenario(
        id="kill-grace",
        story="The process dies (kill -9, out of memory, a deployment) between the provider's rotation and its answer;"
        " the provider forgives a replay for ten minutes.",
        provoke=provocations.kill,
        fault="delay_after",
        loses_answer=True,
        grace_seconds=GRACE_SECONDS,
        needs=Need.KILL,
    ),
    Scenario(
        id="kill-strict",
        story="The process dies in the same moment, and the provider forgives nothing: the new token is lost,"
        " and the store must say so.",
        provoke=provocations.kill,
        fault="delay_after",
        loses_answer=True,
        needs=Need.KILL,
    ),
    Scenario(
        id="two-replicas",
        story="Two replicas notice at the same time that a token has to be refreshed.",
        provoke=provocations.two_replicas,
        fault="delay",
    ),
    Scenario(
        id="slow-provider",
        story="The provider takes longer to answer than a lock lasts, while the other replica keeps trying.",
        provoke=provocations.slow_provider,
        fault="delay",
    ),
    Scenario(
        id="storage-outage",
        story="The storage is away for some seconds, just when the new tokens have to be written.",
        provoke=provocations.storage_outage,
        fault="delay_after",
        needs=Need.STORAGE,
    ),
    Scenario(
        id="lost-reply-grace",
        story="The connection breaks after the provider rotated, before its answer arrived; a replay is forgiven.",
        provoke=provocations.one_by_one("drop_after"),
        fault="drop_after",
        loses_answer=True,
        grace_seconds=GRACE_SECONDS,
    ),
    Scenario(
        id="lost-reply-strict",
        story="The connection breaks in the same moment, and nothing is forgiven: the store must say what happened.",
        provoke=provocations.one_by_one("drop_after"),
        fault="drop_after",
        loses_answer=True,
    ),
    Scenario(
        id="provider-down",
        story="The provider answers 503 when a token is refreshed early; the old one still works, so reads must go on.",
        provoke=provocations.provider_down,
        fault="status",
        life=Life.LONG,
        must_serve=True,
    ),
    Scenario(
        id="late-loser",
        story="Of two refreshes one succeeds, and the other one's failure arrives a second later.",
        provoke=provocations.late_loser,
        fault="delay",
    ),
    Scenario(
        id="twenty-readers",
        story="Twenty readers come at once for a token that has just ended.",
        provoke=provocations.twenty_readers,
        life=Life.ENDED,
    ),
    Scenario(
        id="garbage-200",
        story="A proxy answers in the provider's place: an HTML page with status 200; the provider saw nothing.",
        provoke=provocations.one_by_one("html"),
        fault="html",
    ),
    Scenario(
        id="cut-200",
        story="Half of the answer arrives, with status 200, after the provider rotated; a replay is forgiven.",
        provoke=provocations.one_by_one("truncated"),
        fault="truncated",
        loses_answer=True,
        grace_seconds=GRACE_SECONDS,
    ),
    Scenario(
        id="rate-limited",
        story="The provider answers 429 with Retry-After; asking again earlier makes it worse, and reads must go on.",
        provoke=provocations.rate_limited,
        fault="status",
        life=Life.LONG,
        must_serve=True,
    ),
)
