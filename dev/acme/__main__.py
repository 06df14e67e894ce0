"""`python -m dev.acme --port N`: serve Acme to browsers on this machine; the local stack starts it so."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dev.acme.consentry_api import Consentry
from dev.acme.readings import Readings
from dev.acme.site import Site, make_app
from dev.ready import Ready

ADDRESS: Final = "127.0.0.1"
VARIABLE: Final = "CONSENTRY_STACK_JSON"


class QuietHandler(WSGIRequestHandler):
    """Logs no request lines: the address of the return page holds a one-time handle."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def listen(port: int, ready: Ready) -> tuple[BaseWSGIServer, str]:
    """Bind the port (0: any free one) on loopback; return the server, not yet serving, and its address.

    Raise OSError if the port is taken.
    """
    # Bound here and not by werkzeug, which ends the whole program when a port is taken.
    with socket.create_server((ADDRESS, port), backlog=128) as listener:
        port = listener.getsockname()[1]
        consentry, url = Consentry(ready), f"http://localhost:{port}"
        app = make_app(Site(url, consentry, Readings(ready, consentry)))
        server = make_server(ADDRESS, port, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno())
    return server, url


def stop(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def main(words: Sequence[str]) -> int:
    """Serve until stopped; 2 if the stack is not described or the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m dev.acme", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    port = parser.parse_args(words).port
    try:
        server, url = listen(port, Ready.from_json(os.environ.get(VARIABLE, "")))
    except (ValueError, TypeError):
        parser.error(f"{VARIABLE} must hold the line of JSON that `JSON=1 python -m dev run` prints")
    except (OSError, OverflowError) as mistake:
        parser.error(f"cannot serve on port {port} ({mistake}); choose another --port, or 0 for any free one")
    signal.signal(signal.SIGTERM, stop)
    print(f"Acme is at {url}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
