"""Refresh hints from the queue, or one direct invocation with a rejected generation: never a token out."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.system import LambdaContext
from consentry.web.work import work

at_init(lambda process: process.refresh, attempts=1)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return work(event, wiring(context, attempts=1).refresh)
