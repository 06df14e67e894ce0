"""New tokens that could not be stored when they came: the same conditional commit, as soon as the table answers."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.work import restore

at_init(lambda process: (process.escrow, process.connections), attempts=1)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context, attempts=1)
    return restore(event, process.escrow, process.connections)
