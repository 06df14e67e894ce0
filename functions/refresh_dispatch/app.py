"""Each minute: what is due goes to the queue."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.work import tick

at_init(lambda process: process.dispatch)


def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    return tick(wiring(context).dispatch)
