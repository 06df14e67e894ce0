"""An example of a rule's target: says in its log who has to connect again. Put your mail or your chat in its place.

Events come at least once: where a second message would hurt, keep `detail.id`, and write only what is new.
"""

import logging
from typing import Any

WHY = {
    "grant_revoked": "the provider no longer accepts what was granted",
    "ambiguous_rotation": "the provider's answer to a refresh was lost",
    "credential_rejected": "the provider refuses the credentials that were entered",
    "no_refresh_token": "the provider gave access that cannot be renewed",
    "scope_missing": "not everything that was asked for was allowed",
}
logger = logging.getLogger(__name__)


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    detail = event["detail"]
    why = WHY.get(detail["cause"], detail["cause"])
    message = f"{detail['tenant']} must connect {detail['integration']} ({detail['name']}) again: {why}."
    logger.warning(message, extra={"event_id": detail["id"]})
    return {"message": message}
