"""Which process sent a request: the kernel knows whose socket has the peer's port (proc(5))."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/net/tcp")
_LOCAL, _STATE, _INODE = 1, 3, 9
_ATTEMPTS: Final = 3  # the kernel's table is read in pieces, and lines may be missed while others come and go


class Senders:
    """Looks among the processes that `candidates` returns."""

    def __init__(self, candidates: Callable[[], Sequence[int]]) -> None:
        self._candidates = candidates

    def of(self, port: int, server_port: int) -> int:
        """Return the process id that connected from a loopback `port`; 0 if it is gone or not among the candidates."""
        for _ in range(_ATTEMPTS):
            if inode := _inode_of(port, server_port):
                wanted = f"socket:[{inode}]"
                return next((pid for pid in self._candidates() if wanted in _sockets(pid)), 0)
        return 0


def children(pid: int) -> list[int]:
    """Return the process ids of the direct children of a process."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile
            found += [int(child) for child in tasks.read_text().split()]
    return found


def _inode_of(port: int, server_port: int) -> str:
    """Return the inode of a connected socket; a port may lead to several servers."""
    ends = [f"0100007F:{each:04X}" for each in (port, server_port)]
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[_LOCAL:_STATE] == ends:
            return fields[_INODE]
    return ""


def _sockets(pid: int) -> set[str]:
    folder = f"/proc/{pid}/fd"
    try:
        return {_target(f"{folder}/{name}") for name in os.listdir(folder)}  # noqa: PTH208 - thousands of calls
    except OSError:
        return set()


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - as above
    except OSError:
        return ""
