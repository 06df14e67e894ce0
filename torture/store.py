"""What a token store has to offer to be tortured: a small protocol, and two optional abilities."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from torture.application import Application, Grant


class Refused(Exception):
    """The store gave no token. `cause` is its word for why; `reconnect` says that only the customer can mend it."""

    def __init__(self, cause: str, *, reconnect: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.reconnect = reconnect


class Store(Protocol):
    """A token store as the kit sees it. Every method may be called from several threads.

    Replicas are numbers: 0 and 1 are two processes, machines or clients that share one storage.
    """

    name: str
    # A read begins to refresh a token this long before its end; 0 where reads leave that to somebody else.
    early_seconds: float = 0
    # The longest that the store needs, once all is quiet again, to know what became of every grant.
    settle_seconds: float = 10
    # How many grants it can refresh at the same time, twice each.
    lanes: int = 4

    def connect(self, grant: Grant) -> None:
        """Take a new grant into the store, to be read by the name `grant.connection`."""
        ...

    def read(self, connection: str, replica: int) -> str:
        """Return the access token that a consumer would get now; raise `Refused` if there is none."""
        ...

    def renew(self, connection: str, replica: int, token: str) -> None:
        """A consumer says that the provider's API rejected `token`, or will soon; return once that was dealt with.

        Whether a request is sent is the store's decision. Raise `Refused` or return if nothing came of it.
        """
        ...

    def restart(self) -> None:
        """End and start both replicas, so that only what is stored durably counts."""
        ...

    def rest(self, seconds: float) -> None:
        """Let time pass, in which the store does what it does by itself (a schedule, a queue)."""
        time.sleep(seconds)

    def close(self) -> None:
        """Stop and remove everything."""
        return


@runtime_checkable
class Killable(Protocol):
    """A store whose processes can die."""

    def kill(self) -> None:
        """End with SIGKILL whatever may be refreshing a token now. `restart` is called afterwards."""
        ...


@runtime_checkable
class StorageOutage(Protocol):
    """A store whose storage can be taken away."""

    def storage_down(self) -> AbstractContextManager[None]:
        """Let the storage fail, or not answer, for the length of a `with` block."""
        ...


type OpenStore = Callable[[Sequence[Application]], Store]
