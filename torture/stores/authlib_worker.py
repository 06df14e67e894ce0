"""One replica of an application that uses Authlib: `python -m torture.stores.authlib_worker FILE`, a thread a question.

Reads lines such as `{"number": 1, "do": "read", "name": "two-replicas-0"}` and answers `{"number": 1, "token": "..."}`
or `{"number": 1, "cause": "...", "reconnect": false}`.
"""

import json
import sqlite3
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import requests

THREADS: Final = 32
TYPE: Final = {"token_type": "Bearer"}


class Sessions:
    """Restores a session from the table for each request, as a web application would."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._session_class: Any = import_module("authlib.integrations.requests_client").OAuth2Session

    def read(self, name: str) -> str:
        """What `session.get(url)` does before it sends its request."""
        session = self._restored(name)
        session.ensure_active_token(session.token)
        return str(session.token["access_token"])

    def renew(self, name: str, rejected: str) -> None:
        """Automatically if the token is about to end by Authlib's own rule, and by hand if it is not."""
        session = self._restored(name)
        if session.token["access_token"] != rejected:
            return
        if session.token.is_expired(leeway=session.leeway):
            session.ensure_active_token(session.token)
        else:
            session.refresh_token(session.metadata["token_endpoint"], refresh_token=session.token["refresh_token"])

    def _restored(self, name: str) -> Any:  # noqa: ANN401 - Authlib has no types
        with closing(sqlite3.connect(self._file)) as table:
            table.row_factory = sqlite3.Row
            row = dict(table.execute("SELECT * FROM token WHERE name = ?", (name,)).fetchone())
        token = {field: row[field] for field in ("access_token", "refresh_token", "expires_at")}
        return self._session_class(
            row["client_id"],
            row["client_secret"],
            token_endpoint=row["token_endpoint"],
            token=TYPE | token,
            update_token=partial(self._update_token, name),
        )

    def _update_token(
        self, name: str, token: Mapping[str, Any], refresh_token: str | None = None, access_token: str | None = None
    ) -> None:
        """Find the item by the old token and save the new one, as in the documentation."""
        new = (token["access_token"], token.get("refresh_token"), token["expires_at"])
        statement = (
            "UPDATE token SET access_token = ?, refresh_token = ?, expires_at = ?"
            " WHERE name = ? AND (refresh_token = ? OR access_token = ?)"
        )
        with closing(sqlite3.connect(self._file)) as table, table:
            table.execute(statement, (*new, name, refresh_token, access_token))


def answer(sessions: Sessions, question: Mapping[str, Any]) -> dict[str, Any]:
    oauth_error: Any = import_module("authlib.integrations.base_client").OAuthError
    try:
        if question["do"] == "read":
            return {"token": sessions.read(question["name"])}
        sessions.renew(question["name"], question["rejected"])
    except oauth_error as error:
        # The provider's own word reaches the application, which can tell its customer.
        return {"cause": str(error.error), "reconnect": error.error == "invalid_grant"}
    except (requests.RequestException, sqlite3.Error, ValueError) as error:
        return {"cause": type(error).__name__, "reconnect": False}
    return {"token": ""}


def main() -> None:
    sessions, writing = Sessions(Path(sys.argv[1])), threading.Lock()

    def handle(line: str) -> None:
        question = json.loads(line)
        found = answer(sessions, question) | {"number": question["number"]}
        with writing:
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        for line in sys.stdin:
            pool.submit(handle, line)


if __name__ == "__main__":
    main()
