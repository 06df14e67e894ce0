"""The table `pending` in DynamoDB: connect sessions, and the flows that begin from them.

A flow is one item for each session and integration. Starting again overwrites its state, so the newest state wins by
itself; a finished one stays until the session has ended, so that a session is used up once.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from consentry.aws.dynamodb import Refused, Update, apply, from_item, storage_errors, to_item
from consentry.connect.ports import MOST_TRIES, Try
from consentry.model import Completion, Flow, FlowStatus, Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_AFTERLIFE_SECONDS: Final = 900  # a flow may outlive its session by ten minutes; the row outlives both
_SECRETS: Final = ("code", "handle_hashes", "verifier")
_SINCE_THE_START: Final = (
    "code", "handle_hashes", "parked_until", "replaces", "outcome", "reissued", "claimed_by",
)  # fmt: skip


def _session_item(session: Session) -> dict[str, object]:
    plain = asdict(session)
    return {**plain, "integrations": list(session.integrations), "completion": session.completion.value}


def _session_from(item: Mapping[str, Any]) -> Session:
    return Session(
        **{
            **item,
            "integrations": tuple(item["integrations"]),
            "scopes": tuple(item["scopes"]),
            "completion": Completion(item["completion"]),
        }
    )


class DynamoSessions:
    """`ports.Sessions` and `connect.ports.Tries` on a boto3 DynamoDB client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def create(self, session: Session) -> None:
        item = {"id": f"session#{session.id}", "ttl": session.expires_at + _AFTERLIFE_SECONDS}
        with storage_errors("create session"):
            self._client.put_item(
                TableName=self._table,
                Item=to_item({**item, "session": _session_item(session)}),
                ConditionExpression="attribute_not_exists(id)",
            )

    def session(self, session_id: str) -> Session | None:
        item = self._get(f"session#{session_id}")
        return _session_from(item["session"]) if item and item.get("tries", 0) <= MOST_TRIES else None

    def spend_try(self, session_id: str, *, form: str, claim_id: str) -> Try:
        update = Update().set({"tried_by": claim_id}).add({"tries": 1, "forms": {form}})
        forms = update.name("forms")
        update.require(
            f"attribute_exists({update.name('id')})",
            f"attribute_not_exists({forms}) OR NOT contains({forms}, {update.value(form)})",
            update.earlier("tries", MOST_TRIES + 1),
        )
        request = update.request(self._table, {"id": f"session#{session_id}"}) | {"ReturnValues": "UPDATED_NEW"}
        try:
            stands = apply(self._client.update_item, request, "spend try")
        except Refused as refused:
            stands = refused.item
            if stands.get("tried_by") != claim_id:  # a retried call whose first answer was lost finds itself
                return Try.REPEATED if form in stands.get("forms", ()) else Try.EXHAUSTED
        return Try.SPENT if stands["tries"] <= MOST_TRIES else Try.EXHAUSTED

    def flow(self, session_id: str, integration: str) -> Flow | None:
        item = self._get(_flow_id(session_id, integration))
        return _flow_from(item) if item else None

    def start(self, flow: Flow) -> bool:
        update = Update().set(_flow_item(flow)).remove(_SINCE_THE_START)
        status = update.name("status")
        taken = [update.value(each.value) for each in (FlowStatus.EXCHANGING, FlowStatus.DONE)]
        update.require(f"attribute_not_exists({status}) OR NOT {status} IN ({', '.join(taken)})")
        return self._apply(update, flow, "start flow", lambda _: False)

    def park(self, flow: Flow, *, code: bytes, handle_hash: str, until: int, replaces: str) -> bool:
        update = Update().set({"status": FlowStatus.CODE_RECEIVED.value, "code": code, "parked_until": until})
        update.set({"handle_hashes": [handle_hash], "replaces": replaces})
        self._require(update, flow, FlowStatus.STARTED)
        return self._apply(update, flow, "park code", _has_handle(handle_hash))

    def reissue_handle(self, flow: Flow, *, handle_hash: str) -> bool:
        update = Update().set({"reissued": True, "handle_hashes": [*flow.handle_hashes, handle_hash]})
        self._require(update, flow, FlowStatus.CODE_RECEIVED)
        update.require(update.missing("reissued"))
        return self._apply(update, flow, "reissue handle", _has_handle(handle_hash))

    def claim(self, flow: Flow, *, expected: FlowStatus, claim_id: str) -> bool:
        update = Update().set({"status": FlowStatus.EXCHANGING.value, "claimed_by": claim_id}).remove(_SECRETS)
        self._require(update, flow, expected)
        return self._apply(update, flow, "claim flow", lambda item: item.get("claimed_by") == claim_id)

    def finish(self, flow: Flow, status: FlowStatus, outcome: str, *, expected: FlowStatus) -> bool:
        ended = {"status": status.value, "outcome": outcome}
        update = Update().set(ended).remove(_SECRETS)
        self._require(update, flow, expected)
        return self._apply(update, flow, "finish flow", lambda item: {**item, **ended} == item)

    @staticmethod
    def _require(update: Update, flow: Flow, status: FlowStatus) -> None:
        update.require(update.equal("state_hash", flow.state_hash), update.equal("status", status.value))

    def _apply(self, update: Update, flow: Flow, what: str, is_ours: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Write, and return whether the flow now stands so.

        A write that boto3 repeats, because the answer to it was lost, finds itself in the way: `is_ours` recognises it.
        """
        request = update.request(self._table, {"id": _flow_id(flow.session.id, flow.integration)})
        try:
            apply(self._client.update_item, request, what)
        except Refused as refused:
            return refused.item.get("state_hash") == flow.state_hash and is_ours(refused.item)
        return True

    def _get(self, item_id: str) -> dict[str, Any]:
        with storage_errors("read pending"):
            answer = self._client.get_item(TableName=self._table, Key=to_item({"id": item_id}), ConsistentRead=True)
        return from_item(answer.get("Item", {}))


def _has_handle(handle_hash: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda item: handle_hash in item.get("handle_hashes", ())


def _flow_id(session_id: str, integration: str) -> str:
    return f"flow#{session_id}#{integration}"


_FLOW_PLAIN: Final = (
    "integration", "provider", "client_id", "redirect_uri", "state_hash", "browser_hash", "expires_at", "verifier",
    "variables",
)  # fmt: skip


def _flow_item(flow: Flow) -> dict[str, object]:
    return {
        **{name: getattr(flow, name) for name in _FLOW_PLAIN},
        "status": flow.status.value,
        "scopes": list(flow.scopes),
        "optional_scopes": list(flow.optional_scopes),
        "session": _session_item(flow.session),
        "ttl": max(flow.session.expires_at, flow.expires_at) + _AFTERLIFE_SECONDS,
    }


def _flow_from(item: Mapping[str, Any]) -> Flow:
    return Flow(
        **{name: item[name] for name in (*_FLOW_PLAIN, "code", "parked_until", "replaces", "outcome") if name in item},
        session=_session_from(item["session"]),
        status=FlowStatus(item["status"]),
        scopes=tuple(item["scopes"]),
        optional_scopes=tuple(item.get("optional_scopes", ())),
        handle_hashes=tuple(item.get("handle_hashes", ())),
    )
