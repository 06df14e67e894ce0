"""An escrow in memory, with messages as the real one writes them."""

from consentry.aws.escrow import kept, written
from consentry.ports import Commit, StorageUnavailable


class FakeEscrow:
    """`ports.Escrow`: what was kept, as text; `unavailable` makes it fail like everything else."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.unavailable = False

    def keep(self, commit: Commit) -> None:
        if self.unavailable:
            raise StorageUnavailable("the queue is gone")
        self.messages.append(written(commit))

    def read(self, message: str) -> Commit:
        return kept(message)

    def is_empty(self) -> bool:
        return not self.unavailable and not self.messages
