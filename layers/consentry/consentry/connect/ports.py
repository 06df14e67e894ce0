"""What the connect page and its form need of the outside world, beyond `consentry.ports`."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from consentry.model import Connection

MOST_TRIES: Final = 5


class Try(StrEnum):
    """What became of an attempt to enter credentials: it counts, its form counted before, or there were too many."""

    SPENT = "spent"
    REPEATED = "repeated"
    EXHAUSTED = "exhausted"


class Tries(Protocol):
    """The table `pending`: what a session has left."""

    def spend_try(self, session_id: str, *, form: str, claim_id: str) -> Try:
        """Count one of `MOST_TRIES` for a form that was not tried before; one more ends the session.

        `claim_id` is unique to the claimer: a write that was applied already is recognised by it.
        """


class Summaries(Protocol):
    """The table `connections` for those who may see no ciphertext."""

    def summaries(self, tenant: str) -> Sequence[Connection]:
        """Return the tenant's connections without access tokens and grants, strongly consistent."""
