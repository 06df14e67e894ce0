"""Ways to refresh a token, as data: the chosen protocol, its ancestors, and what one line changed would do to it.

Times are ticks. The small ones keep the order of `consentry.refresh.policy` (call < function < lease), so that each
boundary is met in few states; `in_real_time` gives a variant the real ones, in ticks of five seconds.
"""

from enum import Enum, auto
from typing import Final, NamedTuple

from consentry.refresh import policy

TICK_SECONDS: Final = 5


class Fence(Enum):
    """What a write is conditional on."""

    NOTHING = auto()
    OWNER = auto()
    LINEAGE = auto()


class Refusal(Enum):
    """What a definite refusal (a 429, say) does to the intent on the record."""

    KEEPS_INTENT = auto()
    ENDS_ITS_OWN = auto()
    ENDS_ANY = auto()


class Variant(NamedTuple):
    """One protocol. A call ends after `call` ticks, a function after `function`, a lease after `lease` (0: no lease).

    `guarded` looks at the time left before the request, `intent` writes down that one may be under way, `settle` is
    how long after the lease it is waited for (0: not at all), `hard_timeout` kills the function before its lease ends,
    `one_write` takes lease and intent together, `repeats` asks again at once if the peer closed the connection and
    the provider grants a replay.
    """

    name: str
    summary: str
    call: int = 1
    function: int = 2
    lease: int = 3
    settle: int = 2
    fence: Fence = Fence.LINEAGE
    guarded: bool = True
    intent: bool = True
    hard_timeout: bool = True
    one_write: bool = True
    releases_any: bool = False
    abort_clears_intent: bool = False
    refusal: Refusal = Refusal.KEEPS_INTENT
    error_counts_as_refusal: bool = False
    repeats: bool = False
    forgets_doubt: bool = False


H: Final = Variant("H", "lease and intent in one write, hard timeout, settle, commit by lineage")
G: Final = H._replace(name="G", summary="as H, but lease and intent are two writes", one_write=False)
F: Final = G._replace(name="F", summary="as G, without a hard function timeout", hard_timeout=False)
E: Final = F._replace(name="E", summary="lease and guard, commit by lineage", intent=False, settle=0)
D: Final = E._replace(name="D", summary="long lease, write fenced by its owner", fence=Fence.OWNER, guarded=False)
C: Final = D._replace(name="C", summary="long lease, blind write", fence=Fence.NOTHING)
B: Final = C._replace(name="B", summary="short lock, blind write and release", lease=1, releases_any=True)
A: Final = B._replace(name="A", summary="no lock at all", lease=0)
G2: Final = G._replace(name="G2", summary="as G, without settling", settle=0)
G4: Final = G._replace(name="G4", summary="as G, without the intent", intent=False, settle=0)
H1: Final = H._replace(name="H1", summary="as H, but an abort clears the intent", abort_clears_intent=True)
H5: Final = H._replace(
    name="H5",
    summary="as H, and a refusal ends the doubt of its own request",
    refusal=Refusal.ENDS_ITS_OWN,
    repeats=True,
)
H6: Final = H5._replace(name="H6", summary="as H5, but a refusal ends any doubt", refusal=Refusal.ENDS_ANY)
H7: Final = H5._replace(name="H7", summary="as H5, but an error counts as a refusal", error_counts_as_refusal=True)
H8: Final = H5._replace(name="H8", summary="as H5, but an answer lost a moment ago is no doubt", forgets_doubt=True)

SOUND: Final = (G, H, H5)
BROKEN: Final = (A, B, C, D, E, F, G2, G4, H1, H6, H7, H8)
VARIANTS: Final = (A, B, C, D, E, F, G, G2, G4, H, H1, H5, H6, H7, H8)


def in_real_time(variant: Variant) -> Variant:
    """The same protocol with the times of the refresh policy."""
    return variant._replace(
        call=policy.CALL // TICK_SECONDS,
        function=policy.FUNCTION // TICK_SECONDS,
        lease=policy.LEASE // TICK_SECONDS,
        settle=policy.SETTLE // TICK_SECONDS,
    )
