"""An example consumer: reads a tenant's HubSpot tickets, page by page, with `requests` and the layer alone."""

import os
from time import sleep
from typing import Any

import requests

from consentry import ConsentryError, Vault

PAUSES = {"SECONDLY": 1, "TEN_SECONDLY_ROLLING": 10}  # seconds, by the limit that a 429 names; DAILY outlasts us
FAILURES = {
    403: ("forbidden", "HubSpot refuses: the scope tickets is missing, or the user who connected may not see them."),
    429: ("rate_limited", "HubSpot's limit for this account is used up; try again later."),
}
vault = Vault()  # does nothing until the first token


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no .netrc or proxy of this machine has a say
            session.auth = vault.auth(event.get("tenant", ""), event.get("integration", "hubspot-ticketing"))
            return read(session, os.environ["HUBSPOT_API_BASE"], event.get("limit", 100))
    except ConsentryError as error:
        return {"error": error.code, "message": error.public}
    except (requests.RequestException, LookupError, TypeError, AttributeError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        code, message = FAILURES.get(status, ("provider_error", f"No usable answer (HTTP status {status})."))
        return {"error": code, "message": message}


def read(session: requests.Session, base: str, limit: int) -> dict[str, Any]:
    tickets, pages, pauses = list[dict[str, Any]](), 0, dict(PAUSES)
    query = {"limit": str(limit), "properties": "subject,hs_pipeline_stage"}
    while not pages or query["after"]:  # the function's timeout ends what a provider never would
        answer = session.get(f"{base}/crm/v3/objects/tickets", params=query, timeout=10, allow_redirects=False)
        named = (each for each in pauses if f'"{each}"' in answer.text)
        if answer.status_code == requests.codes.too_many and (policy := next(named, "")):
            sleep(pauses.pop(policy))  # each limit is waited for once
            continue
        answer.raise_for_status()
        page, pages = answer.json(), pages + 1
        for each in page["results"]:
            subject, stage = map(each["properties"].get, ("subject", "hs_pipeline_stage"))
            tickets.append({"id": each["id"], "subject": subject, "stage": stage, "created_at": each["createdAt"]})
        query["after"] = page.get("paging", {}).get("next", {}).get("after", "")
    return {"tickets": tickets, "pages": pages}
