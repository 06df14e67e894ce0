"""Refresh hints from the queue, or one direct invocation with a rejected generation: never a token out."""

from typing import Any

from consentry.bootstrap import wiring
from consentry.system import LambdaContext
from consentry.web.work import work


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return work(event, wiring(context, attempts=1).refresh)
