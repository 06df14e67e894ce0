"""HubSpot's list of tickets: pages, properties, and enough of them that paging is needed."""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from flask import Response, request

from dev.authserver.answers import json_answer
from dev.authserver.grants import AccessToken
from dev.authserver.hubspot_errors import api_error, missing_scopes
from dev.authserver.strict import Refused, query_parameters
from dev.authserver.systems import Account

TICKETS_PER_ACCOUNT: Final = 27
DEFAULT_LIMIT: Final = 10
MAXIMUM_LIMIT: Final = 100
BEGINNING: Final = datetime(2026, 9, 1, 8, 30, tzinfo=UTC)
SUBJECTS: Final = (
    "Invoice shows the wrong address",
    "Cannot log in after the password change",
    "Export stops at 10,000 rows",
    "Feature request: dark mode",
    "Webhook arrives twice",
)
STAGES: Final = ("1", "2", "3", "4")
PRIORITIES: Final = ("LOW", "MEDIUM", "HIGH")
DEFAULT_PROPERTIES: Final = (
    "content",
    "createdate",
    "hs_lastmodifieddate",
    "hs_object_id",
    "hs_pipeline",
    "hs_pipeline_stage",
    "hs_ticket_category",
    "hs_ticket_priority",
    "subject",
)
RATE_LIMIT_HEADERS: Final = {
    "X-HubSpot-RateLimit-Max": "110",
    "X-HubSpot-RateLimit-Remaining": "109",
    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
}


def ticket_page(token: AccessToken) -> Response:
    """`GET /crm/v3/objects/tickets`: `limit`, `after`, `properties`; the last page has no `paging`."""
    if "tickets" not in token.scopes:
        return missing_scopes("tickets")
    try:
        query = query_parameters(request)
        limit = whole(query.get("limit", str(DEFAULT_LIMIT)), 1, MAXIMUM_LIMIT, "limit")
        after = whole(query.get("after", "0"), 0, 10**12, "after")
    except Refused as refused:
        return api_error(400, "VALIDATION_ERROR", refused.description)
    wanted = tuple(name for name in query.get("properties", "").split(",") if name) or DEFAULT_PROPERTIES
    first = after % 1000
    numbers = range(first, min(first + limit, TICKETS_PER_ACCOUNT))
    body: dict[str, object] = {"results": [ticket(token.account, number, wanted) for number in numbers]}
    if first + limit < TICKETS_PER_ACCOUNT:
        # A cursor is not an offset: it only looks like a number.
        cursor = str(token.account.number * 1000 + first + limit)
        link = f"{request.base_url}?{urlencode({**query, 'after': cursor})}"
        body["paging"] = {"next": {"after": cursor, "link": link}}
    return json_answer(body, headers=RATE_LIMIT_HEADERS)


def whole(value: str, least: int, most: int, name: str) -> int:
    if not (value.isascii() and value.isdigit() and least <= int(value[:20]) <= most):
        raise Refused("invalid_request", f"{name} must be a whole number from {least} to {most}", about=name)
    return int(value)


def ticket(account: Account, number: int, wanted: tuple[str, ...]) -> dict[str, object]:
    identifier = str(account.number * 1000 + number)
    created = BEGINNING + timedelta(hours=7 * number, minutes=13 * number)
    created_at, updated_at = (_moment(created), _moment(created + timedelta(hours=26)))
    known = {
        "content": f"{SUBJECTS[number % len(SUBJECTS)]}. Reported by {account.name}.",
        "createdate": created_at,
        "hs_lastmodifieddate": updated_at,
        "hs_object_id": identifier,
        "hs_pipeline": "0",
        "hs_pipeline_stage": STAGES[number % len(STAGES)],
        "hs_ticket_category": None,
        "hs_ticket_priority": PRIORITIES[number % len(PRIORITIES)],
        "subject": f"{SUBJECTS[number % len(SUBJECTS)]} (#{number + 1})",
    }
    always = ("createdate", "hs_lastmodifieddate", "hs_object_id")
    properties = {name: known.get(name) for name in dict.fromkeys(wanted + always)}
    return {
        "id": identifier,
        "properties": properties,
        "createdAt": created_at,
        "updatedAt": updated_at,
        "archived": False,
    }


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")
