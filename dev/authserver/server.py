"""The web server around the simulation: threads, loopback only, and no request lines in any log."""

import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from flask import Flask, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dev.authserver import generic, hotjar, hotmart, hubspot, zendesk
from dev.authserver.answers import json_answer
from dev.authserver.control import Control
from dev.authserver.options import Options
from dev.authserver.simulation import Simulation

ADDRESS: Final = "127.0.0.1"
LARGEST_BODY_BYTES: Final = 256 * 1024


class QuietHandler(WSGIRequestHandler):
    """Logs nothing (queries hold codes and, at Hotmart, secrets) and answers without Nagle's delay."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the parent's name
        if type == "error":
            super().log(type, message, *args)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def make_app(simulation: Simulation) -> Flask:
    app = Flask("dev.authserver")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    for system in (hubspot, hotjar, hotmart, zendesk, generic):
        system.register(app, simulation)
    Control(simulation).register(app)
    every_method = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_url_rule("/_redirected", "redirected", redirected(simulation), methods=every_method)
    return app


def redirected(simulation: Simulation) -> Callable[[], Response]:
    """Where the fault `redirect` points to: whoever arrives here followed a redirect with a secret in hand."""

    def view() -> Response:
        simulation.journal.redirects_followed += 1
        return json_answer({"error": "redirect_followed"}, HTTPStatus.BAD_REQUEST)

    return view


def listen(port: int, options: Options, clock: Callable[[], float] = time.time) -> tuple[BaseWSGIServer, Simulation]:
    """Bind the port (0: any free one) on loopback; call `serve_forever` on the server. Raise OSError if it is taken."""
    # Bound here and not by werkzeug, which ends the whole program when a port is taken.
    with socket.create_server((ADDRESS, port), backlog=128) as listener:
        port = listener.getsockname()[1]
        simulation = Simulation(f"http://localhost:{port}", options, clock)
        app = make_app(simulation)
        server = make_server(ADDRESS, port, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno())
    return server, simulation
