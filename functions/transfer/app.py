"""An operator's export and import of connections, invoked directly: grants leave sealed, or not at all."""

from typing import Any

from consentry.bootstrap import wiring
from consentry.system import LambdaContext
from consentry.transfer.operate import answered


def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    return answered(event, lambda: process.transfer)
