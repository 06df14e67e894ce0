"""The IAM-signed management API: sessions, connections, tokens, credentials, refreshes, integrations."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.boundary import for_programs

at_init(lambda process: (process.connections, process.integrations))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    return for_programs(event, lambda request: process.manage(request))  # noqa: PLW0108 - wired inside the boundary
