"""Structured logs from an allow-list of fields, and the few metrics.

Nothing is logged that is not named here: no URLs, no headers, no bodies, no exception texts of other libraries.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

ALLOWED: Final = frozenset({
    "attempt", "cause", "code", "completion", "connection", "correlation_id", "count", "detail", "dispatched", "due",
    "error", "failing", "fault", "gen", "grant_type", "held", "host", "integration", "method", "next_try_at",
    "oldest_overdue_seconds", "outcome", "parked", "provider", "remedy", "revoked", "route", "scopes", "session",
    "status", "tenant", "where",
})  # fmt: skip
type Level = Literal["info", "warning", "error", "critical"]
_MAX_LENGTH: Final = 300
NAMESPACE: Final = "Consentry"


@cache
def _logger() -> "Logger":
    from aws_lambda_powertools import Logger  # noqa: PLC0415 - only where something is logged

    return Logger(log_record_order=["level", "message"], location=None, utc=True)


def prepare() -> None:
    """Load what the first line would load."""
    _logger()


def record(message: str, fields: Mapping[str, object] | None = None, *, level: Level = "info") -> None:
    """Write one line of JSON; fields outside the allow-list are dropped, long ones cut."""
    told = {name: value for name, value in (fields or {}).items() if value is not None and value != ""}
    kept = {name: _short(value) for name, value in told.items() if name in ALLOWED}
    getattr(_logger(), level)(message, extra=kept)


def _short(value: object) -> object:
    if isinstance(value, (int, float)):
        return value
    # A lone surrogate could not be written, and the whole line would be lost.
    return str(value)[:_MAX_LENGTH].encode("utf-8", "backslashreplace").decode()


def count(metric: str, *, value: float = 1, unit: str = "Count", **dimensions: str) -> None:
    """Emit one metric in CloudWatch's embedded format. Dimensions are few and never a tenant."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415 - only where something is counted

    with single_metric(name=metric, unit=MetricUnit(unit), value=value, namespace=NAMESPACE) as emitted:
        for name, text in dimensions.items():
            emitted.add_dimension(name=name, value=text)


def heartbeat(values: Mapping[str, float]) -> None:
    """Emit several metrics in one line: that it comes at all is what an alarm watches for."""
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit  # noqa: PLC0415 - as above

    metrics = EphemeralMetrics(namespace=NAMESPACE)
    for name, value in values.items():
        unit = MetricUnit.Seconds if name == "OldestOverdue" else MetricUnit.Count
        metrics.add_metric(name=name, unit=unit, value=value)
    metrics.flush_metrics()
