"""A table with one connection, and a key: what `GetItem` and `Decrypt` answer, on loopback HTTP, counted."""

import base64
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from consentry.envelope import seal
from consentry.model import ConnectionKey, Field
from dev.runtime_api import QuietHandler, QuietServer

KEY: Final = ConnectionKey("acme", "hubspot")
KEY_ARN: Final = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DATA_KEY: Final = bytes(range(32))
TOKEN: Final = "CNRY-" + "t" * 195
WRAPPED: Final = b"w" * 184  # as long as KMS's own


def row() -> dict[str, Any]:
    """Return what DynamoDB says to somebody who may read it, whoever asks and however."""
    context = KEY.encryption_context(Field.ACCESS_TOKEN)
    sealed = seal(
        TOKEN.encode(), data_key=DATA_KEY, encrypted_data_key=WRAPPED, key_arn=KEY_ARN, context=context,
        message_id=bytes(32),
    )  # fmt: skip
    now = int(time.time())
    return {
        "tenant": {"S": KEY.tenant},
        "connection": {"S": KEY.sort_key},
        "v": {"N": "1"},
        "status": {"S": "active"},
        "gen": {"N": "7"},
        "access_token": {"B": base64.b64encode(sealed).decode()},
        "token_type": {"S": "bearer"},
        "expires_at": {"N": str(now + 10**8)},
        "refreshed_at": {"N": str(now)},
        "scopes": {"L": [{"S": "oauth"}, {"S": "tickets"}]},
        "metadata": {"M": {"hub_id": {"N": "62515"}, "hub_domain": {"S": "acme.example"}}},
        "account": {"S": "62515"},
    }


@dataclass
class Endpoint:
    """Serves http://127.0.0.1:<port>; `asked` counts by operation."""

    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def start(self) -> None:
        answers = {
            "GetItem": json.dumps({"Item": row()}).encode(),
            "Decrypt": json.dumps({"KeyId": KEY_ARN, "Plaintext": base64.b64encode(DATA_KEY).decode()}).encode(),
        }
        server = QuietServer(("127.0.0.1", 0), _handler(answers, self.asked))
        self.port = int(server.server_address[1])
        threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()


def _handler(answers: dict[str, bytes], asked: Counter[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802 - http.server finds methods by name
            self.body()
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            asked[operation] += 1
            self.answer(200, answers[operation], {"Content-Type": "application/x-amz-json-1.0"})

    return Handler
