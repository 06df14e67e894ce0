"""An operator's work on the whole table, invoked directly: reconcile a restored one, try refused grants again."""

from typing import Any

from consentry.bootstrap import wiring
from consentry.maintain.operate import answered
from consentry.system import LambdaContext


def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    return answered(event, lambda: process.maintain)
