"""The one place where ports meet their adapters: lazily, once per process, and only what a function asks for."""

import gc
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

from consentry import log
from consentry.adapters import ATTEMPTS
from consentry.config import Environment
from consentry.hosted import Hosted
from consentry.system import LambdaContext

if TYPE_CHECKING:
    from consentry.connect.authorize import Authorize
    from consentry.connect.callback import ReceiveCallback
    from consentry.connect.complete import Complete
    from consentry.connect.disconnect import DisconnectTenant
    from consentry.connect.exchange import ExchangeCode
    from consentry.connect.sessions import CreateSession
    from consentry.maintain.operate import Maintain
    from consentry.refresh.dispatch import Dispatch
    from consentry.refresh.engine import RefreshConnection
    from consentry.refresh.erasing import EraseConnection
    from consentry.refresh.guard import Guard
    from consentry.rekey.operate import Rekey
    from consentry.transfer.operate import Transfer
    from consentry.web.manage import ManageRoutes

_SENDING_AT_ONCE: Final = 10
_LAMBDA: Final = "AWS_LAMBDA_RUNTIME_API"  # the address of the runtime's API: only a function's own process has one


class Wiring(Hosted):
    """Adapters and use cases of one process. Nothing is read, imported or opened before it is asked for."""

    @cached_property
    def authorize(self) -> "Authorize":
        from consentry.connect.authorize import Authorize

        return Authorize(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            base_url=self.base_url,
        )

    @cached_property
    def receive_callback(self) -> "ReceiveCallback":
        from consentry.connect.callback import ReceiveCallback

        return ReceiveCallback(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            connections=self.connections,
            exchange=lambda: self.exchange,
        )

    @cached_property
    def exchange(self) -> "ExchangeCode":
        from consentry.connect.exchange import ExchangeCode

        return ExchangeCode(
            clock=self.clock,
            randomness=self.randomness,
            sessions=self.sessions,
            catalogue=self.catalogue,
            secrets=self.secrets,
            provider_client=self.provider_client,
            store=self.store,
        )

    @cached_property
    def create_session(self) -> "CreateSession":
        from consentry.connect.sessions import CreateSession

        return CreateSession(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            return_urls=self.return_urls,
        )

    @cached_property
    def complete(self) -> "Complete":
        from consentry.connect.complete import Complete

        return Complete(clock=self.clock, sessions=self.sessions, envelopes=self.envelopes, exchange=self.exchange)

    @cached_property
    def disconnect_tenant(self) -> "DisconnectTenant":
        from consentry.connect.disconnect import DisconnectTenant

        return DisconnectTenant(clock=self.clock, removals=self.removals)

    @cached_property
    def refresh(self) -> "RefreshConnection":
        from consentry.refresh.engine import RefreshConnection

        return RefreshConnection(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            catalogue=self.catalogue,
            secrets=self.secrets,
            envelopes=self.envelopes,
            provider_client=self.provider_client,
            escrow=self.escrow,
            guard=self.guard,
            erase=self.erase,
            epoch=self.epoch,
            min_refresh_seconds=self.min_refresh_seconds,
        )

    @cached_property
    def erase(self) -> "EraseConnection":
        from consentry.refresh.erasing import EraseConnection
        from consentry.refresh.withdrawing import WithdrawGrant

        withdraw = WithdrawGrant(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            erasures=self.erasures,
            catalogue=self.catalogue,
            secrets=self.secrets,
            envelopes=self.envelopes,
            provider_client=self.provider_client,
            escrow=self.escrow,
            guard=self.guard,
        )
        return EraseConnection(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            erasures=self.erasures,
            withdraw=withdraw,
            epoch=self.epoch,
        )

    @cached_property
    def guard(self) -> "Guard":
        from consentry.refresh.guard import Guard

        return Guard(clock=self.clock, randomness=self.randomness, records=self.health)

    @cached_property
    def dispatch(self) -> "Dispatch":
        from concurrent.futures import ThreadPoolExecutor

        from consentry.aws.connections import SHARDS
        from consentry.refresh.dispatch import Dispatch, RegisteredLimits

        return Dispatch(
            clock=self.clock,
            index=self.connections,
            queue=self.refresh_queue,
            rates=self.health,
            limits=RegisteredLimits(self.integrations, self.catalogue),
            shards=SHARDS,
            pool=ThreadPoolExecutor(_SENDING_AT_ONCE).map,
        )

    @cached_property
    def maintain(self) -> "Maintain":
        from consentry.maintain.operate import Maintain

        return Maintain(
            clock=self.clock,
            inventory=self.inventory,
            catalogue=self.catalogue,
            escrow=self.escrow,
            health=self.health,
            epoch=self.epoch,
        )

    @cached_property
    def transfer(self) -> "Transfer":
        from consentry.transfer.arrive import Import
        from consentry.transfer.leave import Export
        from consentry.transfer.operate import Transfer

        leave = Export(clock=self.clock, grants=self.grants, envelopes=self.envelopes, epoch=self.epoch)
        arrive = Import(
            clock=self.clock,
            connections=self.connections,
            integrations=self.integrations,
            catalogue=self.catalogue,
            envelopes=self.envelopes,
            epoch=self.epoch,
        )
        return Transfer(leave=leave, arrive=arrive)

    @cached_property
    def rekey(self) -> "Rekey":
        from consentry.rekey.operate import Rekey
        from consentry.rekey.replace import Replace

        return Rekey(
            clock=self.clock,
            rows=self.sealed_rows,
            flows=self.sealed_flows,
            escrow=self.escrow,
            envelopes=self.envelopes,
            replace=Replace(rows=self.sealed_rows, envelopes=self.envelopes),
        )

    @cached_property
    def manage(self) -> "ManageRoutes":
        from consentry.web.manage import ManageRoutes

        return ManageRoutes(self)


@cache
def _process(attempts: int) -> Wiring:
    return Wiring(Environment.of(os.environ), attempts)


def at_init(wire: Callable[[Wiring], object], *, attempts: int = ATTEMPTS) -> None:
    """Wire what the first invocation needs while Lambda starts the process; elsewhere, do nothing.

    Modules and clients cost the same then, but a process that starts has a whole processor, and one that answers only
    the share that its memory buys. What cannot be wired now is wired, and its mistake told, when it is asked for. The
    collector stays out of it: it would go through thousands of new objects of which none is garbage, and through the
    same ones again later.
    """
    if _LAMBDA not in os.environ:
        return
    gc.disable()
    try:
        # Whatever it is: raised here, it would end the process, and with it each next start, without our page or log.
        with suppress(Exception):
            log.prepare()
            wire(_process(attempts))
    finally:
        gc.freeze()
        gc.enable()


def wiring(context: LambdaContext, *, attempts: int = ATTEMPTS) -> Wiring:
    """Return this process's wiring, told of the invocation that begins.

    `attempts` is how often an AWS call is made before it counts as failed: once where the use case repeats it itself.
    """
    process = _process(attempts)
    process.clock.begin(context)
    return process
