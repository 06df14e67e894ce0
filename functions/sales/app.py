"""An example consumer: reads a tenant's Hotmart sales, page by page."""

import os
from typing import Any

import requests

from consentry import ConsentryError, Vault

FAILURES = {
    200: ("provider_error", "Hotmart answered with a page instead of sales: is HOTMART_API_BASE right?"),
    403: ("forbidden", "Hotmart refuses: the credentials that the customer entered may not see sales."),
    429: ("rate_limited", "Hotmart has had too many requests; try again in {seconds} seconds."),
}
vault = Vault()  # does nothing until the first token


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no .netrc or proxy of this machine has a say
            session.auth = vault.auth(event.get("tenant", ""), event.get("integration", "hotmart"))
            return read(session, os.environ["HOTMART_API_BASE"], event.get("limit", 50))
    except ConsentryError as error:
        return {"error": error.code, "message": error.public}
    except (requests.RequestException, LookupError, TypeError, AttributeError) as error:
        answer = getattr(error, "response", None)
        status, headers = getattr(answer, "status_code", 0), getattr(answer, "headers", {})
        code, message = FAILURES.get(status, ("provider_error", f"No usable answer (HTTP status {status})."))
        return {"error": code, "message": message.format(seconds=headers.get("RateLimit-Reset", 60))}


def read(session: requests.Session, base: str, limit: int) -> dict[str, Any]:
    sales, pages, query = list[dict[str, Any]](), 0, {"max_results": str(limit)}
    while not pages or query["page_token"]:  # the function's timeout ends what a provider never would
        url = f"{base}/payments/api/v1/sales/history"
        answer = session.get(url, params=query, timeout=10, allow_redirects=False)
        answer.raise_for_status()
        if "json" not in answer.headers.get("Content-Type", ""):  # what does not exist there is a 200 with HTML
            raise requests.HTTPError(response=answer)
        page, pages = answer.json(), pages + 1
        for each in page["items"]:
            bought, product = each["purchase"], each["product"]["name"]
            sale = {"transaction": bought["transaction"], "status": bought["status"], "product": product}
            sales.append({**sale, "price": bought["price"]["value"], "currency": bought["price"]["currency_code"]})
        query["page_token"] = page["page_info"].get("next_page_token") or ""
    return {"sales": sales, "pages": pages}
