"""The outermost edge of every function behind the API: the only broad `except`, and one log line for each request."""

from collections.abc import Callable, Mapping
from typing import Any

from consentry import log
from consentry.errors import ConsentryError, OperatorMustAct
from consentry.web.request import Request
from consentry.web.response import Response, answer, error_page, problem

type Route = Callable[[Request], Response]
type Explain = Callable[[ConsentryError, str], Response]


class Unforeseen(ConsentryError):
    """A mistake of ours: the public sentence says nothing about it, the log says where."""

    status = 503
    default_code = "unforeseen"


def respond(event: Mapping[str, Any], route: Route, explain: Explain) -> Response:
    """Answer the event; whatever goes wrong becomes a page or a problem, never a traceback."""
    correlation_id = str(event.get("requestContext", {}).get("requestId", ""))
    fields = {"correlation_id": correlation_id, "route": event.get("routeKey", "")}
    try:
        response = route(Request.of(event))
    except ConsentryError as error:
        level: log.Level = "error" if isinstance(error, OperatorMustAct) else "warning"
        log.record(
            "refused", {**fields, "code": error.code, "status": error.status, "detail": error.detail}, level=level
        )
        return explain(error, correlation_id)
    except Exception as error:  # noqa: BLE001 - the one boundary; its text may hold secrets, so only kind and place are kept
        log.record("unforeseen", {**fields, "error": type(error).__name__, "where": place(error)}, level="error")
        return explain(Unforeseen("Something went wrong on our side. Try again in a moment."), correlation_id)
    log.record("answered", {**fields, "status": response["statusCode"]})
    return response


def place(error: BaseException) -> str:
    """Return module and line of the innermost frame: enough to find it, nothing of what it held."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__', '')}:{trace.tb_lineno}" if trace else ""


def for_people(event: Mapping[str, Any], route: Route) -> Response:
    """Answer a browser: GET alone, so that scanners and prefetchers use nothing up."""
    return respond(event, lambda request: _get_only(request, route), error_page)


def for_programs(event: Mapping[str, Any], route: Route) -> Response:
    return respond(event, route, problem)


def _get_only(request: Request, route: Route) -> Response:
    if request.method != "GET":
        return answer(405, headers={"Allow": "GET"})
    if "prefetch" in request.headers.get("sec-purpose", "") or request.headers.get("purpose", "") == "prefetch":
        return answer(204)
    return route(request)
