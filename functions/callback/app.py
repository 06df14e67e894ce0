"""GET /callback/{integration}: the provider's answer in, its code parked (or, `direct`, redeemed), then back."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.boundary import for_people
from consentry.web.consent import CallbackRoute

at_init(lambda process: (process.receive_callback, process.return_urls))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    route = CallbackRoute(lambda: process.receive_callback, process.return_urls, process.look)
    return for_people(event, route, process.look)
