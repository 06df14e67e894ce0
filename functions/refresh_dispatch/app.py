"""Each minute: what is due goes to the queue."""

from typing import Any

from consentry.bootstrap import wiring
from consentry.system import LambdaContext
from consentry.web.work import tick


def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    return tick(wiring(context).dispatch)
