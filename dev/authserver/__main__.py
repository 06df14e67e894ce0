"""`python -m dev.authserver --port N`: run the servers, and print where as one line of JSON."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from dev.authserver.options import BadInput, Options
from dev.authserver.server import listen


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dev.authserver", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--access-ttl", type=float, default=1800, metavar="SECONDS")
    parser.add_argument("--code-ttl", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--refresh-ttl", type=float, metavar="SECONDS", help="default: refresh tokens do not expire")
    parser.add_argument("--rotation", choices=("none", "rotates"), default="rotates")
    parser.add_argument("--grace", type=float, default=0, metavar="SECONDS", help="how long a used refresh token works")
    parser.add_argument("--issuer-mode", choices=("omit", "send"), help="default: only the generic system sends iss")
    return parser


def options_of(wishes: argparse.Namespace) -> Options:
    return Options().changed(
        {
            "access_ttl": wishes.access_ttl,
            "code_ttl": wishes.code_ttl,
            "refresh_ttl": wishes.refresh_ttl,
            "rotation": wishes.rotation,
            "grace": wishes.grace,
            "iss": wishes.issuer_mode,
        }
    )


def stop(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def main(words: Sequence[str]) -> int:
    """Serve until stopped; 2 if the options or the port cannot be used."""
    parser = arguments()
    wishes = parser.parse_args(words)
    try:
        server, simulation = listen(wishes.port, options_of(wishes))
    except BadInput as mistake:
        parser.error(str(mistake))
    except (OSError, OverflowError) as mistake:
        parser.error(f"cannot serve on port {wishes.port} ({mistake}); choose another --port, or 0 for any free one")
    signal.signal(signal.SIGTERM, stop)
    print(json.dumps({"url": simulation.base_url}), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
