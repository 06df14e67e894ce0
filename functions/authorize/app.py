"""GET /authorize/{integration}: a connect session's ticket in, a redirect to the provider out. GET /health as well."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.boundary import for_people
from consentry.web.consent import AuthorizeRoutes

at_init(lambda process: process.authorize)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    route = AuthorizeRoutes(lambda: process.authorize, lambda: process.base_url, process.look)
    return for_people(event, route, process.look)
