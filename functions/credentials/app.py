"""GET and POST /connect/{integration}: the form for a customer's own credentials, tried before they are stored."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.boundary import for_people
from consentry.web.credentials import CredentialsRoute

at_init(lambda process: (process.enter_credentials, process.store))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    route = CredentialsRoute(
        enter=lambda: process.enter_credentials,
        base_url=lambda: process.base_url,
        return_urls=process.return_urls,
        look=process.look,
    )
    return for_people(event, route, process.look, forms=True)
