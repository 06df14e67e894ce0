"""The outermost edge of every function behind the API: the only broad `except`, and one log line for each request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from consentry import log
from consentry.errors import ConsentryError, OperatorMustAct
from consentry.pages.frame import Manner
from consentry.pages.look import Look
from consentry.pages.words import words_for
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


def for_people(event: Mapping[str, Any], route: Route, look: Look | None = None, *, forms: bool = False) -> Response:
    """Answer a browser: GET alone (and POST where there are forms), so that scanners and prefetchers use nothing up."""
    accepted = _accepted_language(event)

    def explain(error: ConsentryError, correlation_id: str) -> Response:
        return error_page(error, correlation_id, Manner(look or Look(), words_for(error.language, accepted)))

    methods = ("GET", "POST") if forms else ("GET",)
    return respond(event, lambda request: _only(methods, request, route), explain)


def for_programs(event: Mapping[str, Any], route: Route) -> Response:
    return respond(event, route, problem)


def _accepted_language(event: Mapping[str, Any]) -> str:
    """Return what the browser asked for; the event may be of any shape, and an error about that is explained too."""
    headers = event.get("headers")
    return str(headers.get("accept-language", "")) if isinstance(headers, Mapping) else ""


def _only(methods: Sequence[str], request: Request, route: Route) -> Response:
    if request.method not in methods:
        return answer(405, headers={"Allow": ", ".join(methods)})
    if "prefetch" in request.headers.get("sec-purpose", "") or request.headers.get("purpose", "") == "prefetch":
        return answer(204)
    return route(request)
