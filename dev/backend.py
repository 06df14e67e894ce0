"""The AWS endpoint of the local stack: moto's server, plus Lambda Invoke and PutEvents handed to the runner.

`python -m dev.backend --port N --functions PORT`: PORT is where the runner takes invocations.
"""

import argparse
import http.client
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from dev.account import REGION
from dev.forgetting import forgetful_iterators, forgetful_streams, untracked_models
from dev.invoke import PUT_EVENTS
from dev.other_keys import OTHER_KEY_IDS
from dev.outages import Outages
from dev.payloads import ACCOUNT
from dev.recording import Recording
from dev.streams import whole_inserts

INVOKE: Final = "/2015-03-31/functions/"
RUNNERS: Final = ("/invocations", "/configuration")
LOCAL: Final = "/_local/"
PASSED_ON: Final = ("X-Amz-Invocation-Type", "X-Amz-Target", "Content-Type")
PASSED_BACK: Final = ("content-type", "x-amz-function-error", "x-amzn-errortype", "x-amzn-requestid")

type Environ = dict[str, Any]
type StartResponse = Callable[[str, list[tuple[str, str]]], object]
type Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def serialised(application: Application) -> Application:
    """DynamoDB calls one at a time: moto loses writes that race."""
    turn = threading.Lock()

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not str(environ.get("HTTP_X_AMZ_TARGET", "")).startswith("DynamoDB"):
            return application(environ, start_response)
        with turn:
            return list(application(environ, start_response))

    return call


def with_functions(application: Application, port: int) -> Application:
    """Lambda's Invoke, EventBridge's PutEvents and the runner's own `/_local/` paths go to the runner on `port`."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        told = environ.get("HTTP_X_AMZ_TARGET") == PUT_EVENTS
        if told or path.startswith(LOCAL) or (path.startswith(INVOKE) and path.endswith(RUNNERS)):
            return _pass_on(environ, start_response, port)
        return application(environ, start_response)

    return call


def _pass_on(environ: Environ, start_response: StartResponse, port: int) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = {name: str(environ.get("HTTP_" + name.upper().replace("-", "_"), "")) for name in PASSED_ON}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request(environ["REQUEST_METHOD"], environ["PATH_INFO"], body, headers)
        answer = connection.getresponse()
        payload = answer.read()
    finally:
        connection.close()
    back = [(name, value) for name, value in answer.getheaders() if name.lower() in PASSED_BACK]
    start_response(f"{answer.status} {answer.reason}", back)
    return [payload]


def make_other_keys() -> None:
    """Make the second pair of keys: moto chooses ids at random, and theirs take those ids' place."""
    backend = kms_backends[ACCOUNT][REGION]
    for key_id in OTHER_KEY_IDS.values():
        made = backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "a second key", None)
        del backend.keys[made.id]
        made.id = key_id
        made.arn = f"{made.arn.rpartition('/')[0]}/{key_id}"
        backend.keys[key_id] = made


class _Handler(MotoRequestHandler):
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line per request would bury what matters."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.backend")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--functions", type=int, required=True)
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    forgetful_streams()
    forgetful_iterators()
    untracked_models()
    whole_inserts()
    make_other_keys()
    moto: Application = DomainDispatcherApplication(create_backend_app)
    application = Outages(Recording(with_functions(serialised(moto), arguments.functions)))
    make_server("127.0.0.1", arguments.port, application, threaded=True, request_handler=_Handler).serve_forever()


if __name__ == "__main__":
    main()
