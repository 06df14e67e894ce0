"""An operator's replacing of keys, invoked directly: what other keys sealed is sealed anew with the present ones."""

from typing import Any

from consentry.bootstrap import wiring
from consentry.rekey.operate import answered
from consentry.system import LambdaContext


def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    process = wiring(context)
    return answered(event, lambda: process.rekey)
