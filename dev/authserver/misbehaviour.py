"""Faults at work: late, wrong, endless, cut off, or no answers at all."""

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from flask import Response, request

from dev.authserver.faults import Fault

HUGE_BYTES: Final = 16 * 1024 * 1024
DEFAULT_SECONDS: Final = 5.0

type Work = Callable[[], Response]
type Sleep = Callable[[float], None]


def play(fault: Fault | None, work: Work, sleep: Sleep) -> Response:
    """Answer with `work`, spoiled by `fault`; `work` is not called where the fault strikes before it."""
    if fault is None:
        return work()
    if fault.kind == "delay" or (fault.seconds and fault.kind not in {"drip", "delay_after"}):
        sleep(_duration(fault))
    if fault.kind == "delay":
        return work()
    spoil = EFFECTS[fault.kind]
    response = spoil(fault, work() if fault.when == "after" else Response(), sleep)
    response.headers.extend(dict(fault.headers))
    return response


def _duration(fault: Fault) -> float:
    return DEFAULT_SECONDS if fault.seconds is None else fault.seconds


def _delay_after(fault: Fault, answer: Response, sleep: Sleep) -> Response:
    sleep(_duration(fault))
    return answer


def _drop(_fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    hang_up()
    return Response()


def hang_up() -> None:
    """Close the connection under the server; what it still tries to write goes nowhere."""
    connection = request.environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)


def _status(fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    status = HTTPStatus(fault.status or 503)
    if status == HTTPStatus.TOO_MANY_REQUESTS and fault.endpoint == "api":
        return _json(rate_limited(fault.policy_name or "TEN_SECONDLY_ROLLING"), status)
    if fault.error:
        return _json({"error": fault.error}, status)
    return Response(f"{status.phrase}\n", status, content_type="text/plain")


def rate_limited(policy_name: str) -> dict[str, object]:
    """HubSpot's body of a 429."""
    return {
        "status": "error",
        "message": f"You have reached your {policy_name.lower()} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid.uuid4()),
        "policyName": policy_name,
        "requestId": str(uuid.uuid4()),
    }


def _html(fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    page = "<!doctype html><title>Maintenance</title><h1>We will be right back</h1>"
    return Response(page, fault.status or 200, content_type="text/html; charset=utf-8")


def _json_error(fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    error = fault.error or "server_error"
    return _json({"error": error, "error_description": 'simulated: <b>"failure"</b> & more'}, fault.status or 400)


def _empty(fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    return Response(b"", fault.status or 200, content_type="application/json")


def _truncated(_fault: Fault, answer: Response, _sleep: Sleep) -> Response:
    body = answer.get_data()
    answer.set_data(body[: len(body) // 2])
    return answer


def _huge(fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    def chunks() -> Iterator[bytes]:
        yield b'{"access_token": "'
        for _ in range(HUGE_BYTES // 65536):
            yield b"a" * 65536
        yield b'"}'

    return Response(chunks(), fault.status or 200, content_type="application/json")


def _drip(fault: Fault, answer: Response, sleep: Sleep) -> Response:
    body = answer.get_data()
    pause = _duration(fault) / max(1, len(body))

    def drops() -> Iterator[bytes]:
        for position in range(len(body)):
            sleep(pause)
            yield body[position : position + 1]

    return _streamed(answer, drops(), len(body))


def _drop_midway(_fault: Fault, answer: Response, _sleep: Sleep) -> Response:
    body = answer.get_data()
    connection = request.environ.get("werkzeug.socket")

    def half() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        if isinstance(connection, socket.socket):
            connection.shutdown(socket.SHUT_RDWR)

    return _streamed(answer, half(), len(body))


def _streamed(answer: Response, chunks: Iterator[bytes], length: int) -> Response:
    response = Response(chunks, answer.status_code, content_type=answer.content_type)
    response.content_length = length
    return response


def _redirect(fault: Fault, _answer: Response, _sleep: Sleep) -> Response:
    return Response(b"", fault.status or 307, headers={"Location": f"{request.host_url}_redirected"})


def _json(body: object, status: int) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


EFFECTS: Final[dict[str, Callable[[Fault, Response, Sleep], Response]]] = {
    "delay_after": _delay_after,
    "drop_before": _drop,
    "drop_after": _drop,
    "drop_midway": _drop_midway,
    "status": _status,
    "html": _html,
    "json_error": _json_error,
    "empty": _empty,
    "truncated": _truncated,
    "huge": _huge,
    "drip": _drip,
    "redirect": _redirect,
}
