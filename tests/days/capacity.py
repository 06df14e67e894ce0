"""What a sweep and a worker can do in a minute: calls counted on the real code, service times assumed and printed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from consentry import bootstrap
from consentry.aws.connections import SHARDS, DynamoConnections, shard_of
from consentry.aws.health import DynamoHealth
from consentry.aws.registry import SqsRefreshQueue
from consentry.model import ConnectionKey
from consentry.refresh import dispatch
from consentry.refresh.dispatch import Dispatch
from tests.days.fleet import at_once, batch_size, timeout_of
from tests.days.store import OrderedDynamo
from tests.support.tables import create_tables, template

_VCPU_MB: Final = 1769  # of memory for each processor that Lambda gives
_COUNTED: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Service times in seconds; nothing here is measured on the machine that runs this.

    `client_cpu` is what one call costs the client library in processor time, `tls_cpu` a fresh connection to a
    provider; a function has the processor share of its memory.
    """

    dynamo: float = 0.008
    queue: float = 0.015
    kms: float = 0.008
    secrets: float = 0.012
    provider_first: float = 0.1
    provider_last: float = 1.0
    client_cpu: float = 0.002
    tls_cpu: float = 0.004
    functions: int = 0
    memory_mb: int = 0

    def told(self) -> dict[str, Any]:
        return asdict(self)

    def call(self, port: str) -> float:
        return float(getattr(self, port))


def sized() -> Assumptions:
    """Return the assumptions for a deployment that was sized for a hundred thousand connections."""
    return Assumptions(functions=30, memory_mb=_VCPU_MB)


def as_deployed() -> Assumptions:
    """Return the assumptions with the template's own sizes."""
    memory = template()["Globals"]["Function"]["MemorySize"]
    return Assumptions(functions=at_once(), memory_mb=int(memory))


class _Counting:
    """A client that answers from memory, and counts."""

    def __init__(self, client: object, calls: Counter[str]) -> None:
        self._client = client
        self._calls = calls

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - boto3 makes methods at run time
        act = getattr(self._client, name)
        if name == "get_paginator":
            return lambda operation: self._pages(operation, act(operation))

        def call(**request: object) -> object:
            self._calls[name] += 1
            return act(**request)

        return call

    def _pages(self, operation: str, pages: Any) -> Any:  # noqa: ANN401 - as above
        paginate = pages.paginate

        class Pages:
            @staticmethod
            def paginate(**request: object) -> Any:  # noqa: ANN401 - as above
                for page in paginate(**request):
                    self._calls[operation] += 1
                    yield page

        return Pages()


class _Accepting:
    """An SQS client that takes everything."""

    @staticmethod
    def send_message_batch(*, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        return {"Successful": [{"Id": each["Id"]} for each in Entries]}


class _Patient:
    """A clock in which no time passes."""

    @staticmethod
    def now() -> int:
        return 10_000

    @staticmethod
    def remaining_seconds() -> float:
        return 50.0

    @staticmethod
    def sleep(_seconds: float) -> None: ...


def sweep_calls(connections: int = _COUNTED) -> Mapping[str, float]:
    """Count the calls of one real sweep in which so many connections are due; return them for each connection."""
    calls: Counter[str] = Counter()
    dynamo = OrderedDynamo("test-ConnectionsTable")
    create_tables(dynamo.as_client)
    for number in range(connections):
        key = ConnectionKey(f"tenant{number}", "crm")
        numbers = {"gen": 1, "due_shard": shard_of(key), "due_at": 1 + number}
        item = {"tenant": {"S": key.tenant}, "connection": {"S": key.sort_key}}
        dynamo.put_item(
            TableName="test-ConnectionsTable", Item=item | {name: {"N": str(each)} for name, each in numbers.items()}
        )
    client = cast("Any", _Counting(dynamo, calls))
    sweep = Dispatch(
        clock=_Patient(),
        index=DynamoConnections(client, "test-ConnectionsTable"),
        queue=SqsRefreshQueue(cast("Any", _Counting(_Accepting(), calls)), "queue"),
        rates=DynamoHealth(client, "test-IntegrationsTable"),
        limits=dict,
        shards=SHARDS,
    )
    told = sweep()
    assert told.dispatched == connections
    return {name: count / connections for name, count in calls.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Connections a sweep can send, and messages a second that all workers together can handle."""

    sweep: int
    refreshes_a_second: float
    checks_a_second: float


def capacity(assumed: Assumptions, sweep: Mapping[str, float], worker: Mapping[str, float]) -> Capacity:
    """`sweep` and `worker` are calls for each connection; the scarcer of waiting and processor time decides."""
    vcpu = min(1.0, assumed.memory_mb / _VCPU_MB)
    time_left = timeout_of("RefreshDispatchFunction") - dispatch._STOP_SECONDS
    at_a_time = dispatch._PER_MESSAGE_CALL * bootstrap._SENDING_AT_ONCE
    one_batch = assumed.queue + dispatch._PER_MESSAGE_CALL * sweep["update_item"] * assumed.dynamo
    waits = one_batch / at_a_time + sweep["query"] * assumed.dynamo
    computes = sum(sweep.values()) * assumed.client_cpu / vcpu
    refresh = _rate(assumed, worker, vcpu, asks=True)
    check = _rate(assumed, {"dynamo.get_item": 1.0}, vcpu, asks=False)
    return Capacity(
        sweep=int(time_left / max(waits, computes)),
        refreshes_a_second=assumed.functions * refresh,
        checks_a_second=assumed.functions * check,
    )


def _rate(assumed: Assumptions, calls: Mapping[str, float], vcpu: float, *, asks: bool) -> float:
    """Return messages a second of one function: a batch at once, as long as its slowest."""
    batch = batch_size()
    waits = sum(count * assumed.call(name.partition(".")[0]) for name, count in calls.items())
    spread = assumed.provider_last - assumed.provider_first
    waits += assumed.provider_first + spread * batch / (batch + 1) if asks else 0.0
    computes = (sum(calls.values()) * assumed.client_cpu + assumed.tls_cpu * asks) / vcpu
    return batch / max(waits, batch * computes)
