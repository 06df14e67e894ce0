"""A connection's record as a reader sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, cast

from consentry.envelope import unreadable
from consentry.errors import Misconfigured
from consentry.model import RECORD_VERSION, Metadata, Status, skew_seconds

# All that a reader may see of a record; the exported `read` policy allows these attributes and no others.
READ_ATTRIBUTES: Final = (
    *("tenant", "connection", "v", "status", "status_cause", "gen", "access_token"),
    *("token_type", "expires_at", "refreshed_at", "scopes", "metadata", "account"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What READ_ATTRIBUTES say; the access token is still encrypted, times are epoch seconds."""

    status: str
    cause: str
    gen: int
    access_token: bytes = field(repr=False)
    token_type: str
    expires_at: int | None
    refreshed_at: int
    scopes: tuple[str, ...]
    metadata: Metadata
    account: str

    @classmethod
    def of(cls, item: Mapping[str, object]) -> Self:
        """Check an item's shape. Raises `Misconfigured` for another record version, else `UnreadableRecord`."""
        if item.get("v") != RECORD_VERSION or isinstance(item["v"], bool):
            raise Misconfigured("The record was written by another version of Consentry; update this function's layer.")
        try:
            return cls(
                status=of_type(str, item["status"]),
                cause=of_type(str, item.get("status_cause", "")),
                gen=of_type(int, item["gen"]),
                access_token=of_type(bytes, item.get("access_token", b"")),
                token_type=of_type(str, item.get("token_type", "Bearer")),
                expires_at=None if item.get("expires_at") is None else of_type(int, item["expires_at"]),
                refreshed_at=of_type(int, item.get("refreshed_at", 0)),
                scopes=tuple(of_type(str, scope) for scope in of_type(list, item.get("scopes", []))),
                metadata=cast("Metadata", of_type(dict, item.get("metadata", {}))),
                account=of_type(str, item.get("account", "")),
            )
        except (KeyError, TypeError):
            raise unreadable("record of another shape") from None

    @property
    def served_until(self) -> float:
        """The end of the token's life less skew, as in `Connection.servable`; infinity if it has none."""
        if self.expires_at is None:
            return float("inf")
        return self.expires_at - skew_seconds(max(0, self.expires_at - self.refreshed_at))

    def servable(self, now: float) -> bool:
        return bool(self.access_token) and now < self.served_until

    def is_lost(self, now: float) -> bool:
        """Whether only the customer can bring a token that works, for all that this reading says."""
        return self.status == Status.DELETING or (self.status != Status.ACTIVE and not self.servable(now))


def of_type[T](expected: type[T], value: object) -> T:
    """Return `value` if it is of the expected type, and no truth value in a number's place; raise `TypeError` else."""
    if isinstance(value, expected) and not isinstance(value, bool):
        return value
    raise TypeError


def projection(attributes: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return a projection, and the names that it stands for: some of them are words of DynamoDB's own."""
    return ", ".join(f"#{name}" for name in attributes), {f"#{name}": name for name in attributes}


def plain_values(item: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Return an item without DynamoDB's `{"S": "..."}` around its values."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(value: Mapping[str, object]) -> object:
    """Turn DynamoDB's `{"S": "..."}` into a value; whole numbers become `int`, other numbers stay text."""
    ((kind, content),) = value.items()
    match kind, content:
        case "NULL", _:
            return None
        case "N", str():
            return int(content) if content.removeprefix("-").isdecimal() else content
        case "L", list():
            return [_plain(each) for each in content]
        case "M", dict():
            return {name: _plain(each) for name, each in content.items()}
        case _:
            return content
