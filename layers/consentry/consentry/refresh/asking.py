"""Ask a provider's token endpoint for one connection's tokens, and say what became of the request."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from consentry.errors import ConsentryError
from consentry.model import Connection, Grant, Secret
from consentry.oauth.provider import Provider
from consentry.oauth.token_answer import UNKNOWN, parse_token_answer
from consentry.oauth.wire import FailureClass, GrantType, TokenGrant, TokenRequest, TokenRequestFailed
from consentry.ports import Clock, NotDelivered, TokenEndpointClient, Undetermined
from consentry.refresh.policy import CALL, GUARD, LEASE, SETTLE, Outcome, Refusal
from consentry.tokens import SealingKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything the request and its commit need, obtained before the request."""

    record: Connection
    provider: Provider
    request: TokenRequest
    keys: SealingKeys
    grant: Mapping[str, Secret] = field(repr=False)

    @property
    def grant_type(self) -> GrantType:
        remint = self.record.grant_type is Grant.CLIENT_CREDENTIALS
        return GrantType.CLIENT_CREDENTIALS if remint else GrantType.REFRESH


class Unprepared(Exception):
    """No request could be prepared; nothing was sent."""

    def __init__(self, outcome: Outcome, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.remedy = remedy


@contextmanager
def unprepared() -> Iterator[None]:
    """Turn everything that can go wrong before the request into `Unprepared`."""
    try:
        yield
    except ConsentryError as error:
        raise Unprepared(Outcome.UNAVAILABLE, error.detail or error.code, error.public) from None


class Refused(Exception):
    """A request that brought no token: never arrived, never answered, or refused."""

    def __init__(self, refusal: Refusal, *, undelivered: bool = False, peer_closed: bool = False) -> None:
        super().__init__(refusal.kind)
        self.refusal = refusal
        self.undelivered = undelivered
        self.peer_closed = peer_closed


@dataclass(frozen=True, slots=True)
class AskProvider:
    clock: Clock
    client: TokenEndpointClient
    may_repeat: Callable[[], bool]

    def __call__(self, prepared: Prepared) -> tuple[TokenGrant, int]:
        """One request; a second one only if the first provably never arrived, or the provider forgives a replay.

        Return the tokens and when they were asked for: a lifetime counts from there at the latest. Raise `Refused`.
        """
        try:
            return self._request(prepared, repeated=False)
        except Refused as first:
            forgiving = prepared.provider.refresh.reuse_grace_seconds > 0
            harmless = first.undelivered or (first.peer_closed and forgiving)
            if not harmless or self.clock.remaining_seconds() < GUARD:
                raise
            # A grace that ends before anybody else may ask leaves no other chance: no budget counts then.
            last_chance = first.peer_closed and prepared.provider.refresh.reuse_grace_seconds <= LEASE + SETTLE
            if not last_chance and not self.may_repeat():
                raise
            return self._repeat(prepared, first)

    def _repeat(self, prepared: Prepared, first: Refused) -> tuple[TokenGrant, int]:
        try:
            return self._request(prepared, repeated=not first.undelivered)
        except Refused as second:
            # That the second never left says nothing about the first.
            raise first if second.undelivered else second from None

    def _request(self, prepared: Prepared, *, repeated: bool) -> tuple[TokenGrant, int]:
        asked_at = self.clock.now()
        try:
            answer = self.client.send(prepared.request, deadline_seconds=CALL)
            tokens = parse_token_answer(prepared.provider, answer, grant=prepared.grant_type, now=self.clock.now())
            return tokens, asked_at  # noqa: TRY300 - what failed is told apart below
        except NotDelivered as error:
            refusal = Refusal(kind=FailureClass.LATER, error=f"not_delivered_{error}")
            raise Refused(refusal, undelivered=True) from None
        except Undetermined as error:
            refusal = Refusal(kind=FailureClass.IN_DOUBT, error=str(error), processed=True, repeated=repeated)
            raise Refused(refusal, peer_closed=error.peer_closed) from None
        except TokenRequestFailed as error:
            refusal = Refusal(
                kind=error.kind,
                error=error.error,
                retry_after_seconds=error.retry_after_seconds,
                processed=_may_have_acted(error),
                repeated=repeated,
            )
            raise Refused(refusal) from None


def _may_have_acted(error: TokenRequestFailed) -> bool:
    """Whether the provider may have rotated although it failed: only a readable refusal says that it did not."""
    readable = HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.error != UNKNOWN
    return error.kind is FailureClass.IN_DOUBT or not readable or error.status == HTTPStatus.REQUEST_TIMEOUT
