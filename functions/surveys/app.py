"""An example consumer: reads a tenant's Hotjar surveys, page by page. The site is what the customer entered."""

import os
from typing import Any

import requests

from consentry import ConsentryError, Vault

FAILURES = {
    403: ("forbidden", "Hotjar refuses: the key that the customer entered does not reach this site."),
    429: ("rate_limited", "Hotjar has had too many requests from this address; try again in a minute."),
}
vault = Vault()  # does nothing until the first token


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    connection = event.get("tenant", ""), event.get("integration", "hotjar")
    try:
        site = vault.token(*connection).metadata.get("site_id")
        if not site:
            return {
                "error": "site_id_missing",
                "message": "Hotjar needs a site ID: enter the credentials again, with it.",
            }
        with requests.Session() as session:
            session.trust_env = False  # no .netrc or proxy of this machine has a say
            session.auth = vault.auth(*connection)
            return read(session, f"{os.environ['HOTJAR_API_BASE']}/v1/sites/{site}/surveys", event.get("limit", 100))
    except ConsentryError as error:
        return {"error": error.code, "message": error.public}
    except (requests.RequestException, LookupError, TypeError, AttributeError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        code, message = FAILURES.get(status, ("provider_error", f"No usable answer (HTTP status {status})."))
        return {"error": code, "message": message}


def read(session: requests.Session, url: str, limit: int) -> dict[str, Any]:
    surveys, pages, query = list[dict[str, Any]](), 0, {"limit": str(limit)}
    while not pages or query["cursor"]:  # the function's timeout ends what a provider never would
        answer = session.get(url, params=query, timeout=10, allow_redirects=False)
        answer.raise_for_status()
        page, pages = answer.json(), pages + 1
        surveys += [{name: each[name] for name in ("id", "name", "type", "is_enabled")} for each in page["results"]]
        query["cursor"] = page.get("next_cursor") or ""
    return {"surveys": surveys, "pages": pages}
