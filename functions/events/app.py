"""Changes of the tables' streams in, events for EventBridge out: in clear, at least once, in no key's presence."""

from typing import Any

from consentry.bootstrap import at_init, wiring
from consentry.events.tell import TellBus
from consentry.system import LambdaContext
from consentry.web.stream import relay

at_init(lambda process: (process.event_bus, process.set_aside, process.read_change), attempts=1)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    process = wiring(context, attempts=1)
    tell = TellBus(clock=process.clock, bus=process.event_bus)
    return relay(event, process.read_change, tell, process.set_aside)
