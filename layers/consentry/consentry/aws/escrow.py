"""New tokens that could not be written, in a queue of their own: `ports.Escrow` on SQS.

A message holds a commit as DynamoDB would have got it, ciphertexts and all; nothing in it can be read without the keys.
"""

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.dynamodb import from_item, storage_errors, to_item
from consentry.errors import InvalidRequest
from consentry.model import ConnectionKey, Status
from consentry.ports import Commit, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_VERSION: Final = 1
_NUMBERS: Final = ("expected_gen", "expected_epoch", "epoch")
_TOO_LARGE: Final = 2**53
# What a refresh may change; whatever else follows from the commit itself.
_WRITTEN: Final = frozenset({
    "access_token", "token_type", "refreshed_at", "grant", "scopes", "due_at", "expires_at", "metadata", "warned_at",
    "lost_scopes", "scopes_reduced_at",
})  # fmt: skip
_COUNTS: Final = (
    "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
)  # fmt: skip


class SqsEscrow:
    """`dead_letters` is where a message goes that could not be written for a day: it waits there all the same."""

    def __init__(self, client: "SQSClient", url: str, dead_letters: str = "") -> None:
        self._client = client
        self._url = url
        self._all = [each for each in (url, dead_letters) if each]

    def keep(self, commit: Commit) -> None:
        with storage_errors("keep in escrow"):
            self._client.send_message(QueueUrl=self._url, MessageBody=written(commit))

    def read(self, message: str) -> Commit:
        return kept(message)

    def is_empty(self) -> bool:
        try:
            return all(map(self._holds_nothing, self._all))
        except StorageUnavailable:
            return False

    def _holds_nothing(self, url: str) -> bool:
        with storage_errors("look into escrow"):
            answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
        counts = answer.get("Attributes", {})
        return all(counts.get(name) == "0" for name in _COUNTS)


def written(commit: Commit) -> str:
    """Return a commit as JSON; bytes become base64 below DynamoDB's own type name."""
    body = {
        "v": _VERSION,
        "tenant": commit.key.tenant,
        "connection": commit.key.sort_key,
        **{name: getattr(commit, name) for name in _NUMBERS},
        "commit_id": commit.commit_id,
        "status": commit.status.value,
        "set": to_item(commit.set_attributes),
        "remove": list(commit.remove),
        "consent": commit.expected_consent,
    }
    return json.dumps(body, separators=(",", ":"), default=lambda raw: base64.b64encode(raw).decode())


def kept(message: str) -> Commit:
    """Read what `written` wrote; raise `InvalidRequest` for anything else."""
    try:
        body = json.loads(message, object_hook=_with_bytes)
        if body["v"] != _VERSION or body["epoch"] != body["expected_epoch"]:  # an answer is of its request's epoch
            raise ValueError  # noqa: TRY301 - every misfit ends in the one sentence below
        return Commit(
            key=ConnectionKey.from_sort_key(body["tenant"], body["connection"]),
            **{name: _number(body[name]) for name in _NUMBERS},
            commit_id=str(body["commit_id"]),
            status=Status(body["status"]),
            set_attributes=_own(from_item(body["set"])),
            remove=tuple(_own(dict.fromkeys(_listed(body["remove"])))),
            expected_consent=_consent(body.get("consent")),
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        raise InvalidRequest("an escrow message must be a commit of version 1, as the engine writes it") from None


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_LARGE:
        return value
    raise TypeError


def _consent(value: object) -> str | None:
    """Read what messages from before it was written do not have."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError


def _listed(names: object) -> list[Any]:
    if isinstance(names, list):
        return names
    raise TypeError


def _own(attributes: dict[str, object]) -> dict[str, object]:
    """Refuse what no commit of the engine changes, such as keys and generations."""
    if attributes.keys() <= _WRITTEN:
        return attributes
    raise ValueError


def _with_bytes(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Turn `{"B": "<base64>"}` back into bytes; an attribute that happens to be called B holds no bare text."""
    if set(value) == {"B"} and isinstance(value["B"], str):
        return {"B": base64.b64decode(value["B"], validate=True)}
    return value
