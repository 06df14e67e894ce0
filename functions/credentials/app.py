"""GET and POST /connect/{integration}, and its /disconnect: the forms that change a connection, each sent once."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.boundary import for_people
from consentry.web.credentials import CredentialsRoute
from consentry.web.ending import EndingRoute, FormRoutes

at_init(lambda process: (process.enter_credentials, process.end_connection, process.store, process.return_urls))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    credentials = CredentialsRoute(
        enter=lambda: process.enter_credentials,
        base_url=lambda: process.base_url,
        return_urls=process.return_urls,
        look=process.look,
    )
    ending = EndingRoute(end=lambda: process.end_connection, base_url=lambda: process.base_url, look=process.look)
    return for_people(event, FormRoutes(credentials, ending), process.look, forms=True)
