"""GET /connect: a connect session's ticket in, a page with what it offers out. Nothing is written, no key is used."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.boundary import for_people
from consentry.web.connect import ConnectRoute

at_init(lambda process: (process.show_offer, process.return_urls))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    route = ConnectRoute(
        show=lambda: process.show_offer,
        base_url=lambda: process.base_url,
        return_urls=process.return_urls,
        look=process.look,
    )
    return for_people(event, route, process.look)
