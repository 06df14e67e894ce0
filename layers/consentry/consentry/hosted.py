"""What the hosted page and its forms are made of, wired: the part of `bootstrap` that has no key to open anything."""

from functools import cached_property
from typing import TYPE_CHECKING

from consentry.adapters import Adapters

if TYPE_CHECKING:
    from consentry.connect.credentials import ConnectWithCredentials
    from consentry.connect.disconnect import Disconnect
    from consentry.connect.ending import EndConnection
    from consentry.connect.entering import EnterCredentials
    from consentry.connect.offer import ShowOffer
    from consentry.connect.store import StoreTokens


class Hosted(Adapters):
    """Adapters, and the use cases that show connections, enter credentials and end what is not wanted any more."""

    @cached_property
    def store(self) -> "StoreTokens":
        from consentry.connect.store import StoreTokens

        return StoreTokens(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            envelopes=self.envelopes,
            epoch=self.epoch,
            min_refresh_seconds=self.min_refresh_seconds,
        )

    @cached_property
    def connect_with_credentials(self) -> "ConnectWithCredentials":
        from consentry.connect.credentials import ConnectWithCredentials

        return ConnectWithCredentials(
            clock=self.clock,
            integrations=self.integrations,
            catalogue=self.catalogue,
            provider_client=self.provider_client,
            store=self.store,
        )

    @cached_property
    def disconnect(self) -> "Disconnect":
        from consentry.connect.disconnect import Disconnect

        return Disconnect(
            clock=self.clock, connections=self.connections, removals=self.removals, catalogue=self.catalogue
        )

    @cached_property
    def show_offer(self) -> "ShowOffer":
        from consentry.connect.offer import ShowOffer

        return ShowOffer(
            clock=self.clock,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            connections=self.connections,
        )

    @cached_property
    def enter_credentials(self) -> "EnterCredentials":
        from consentry.connect.entering import EnterCredentials

        return EnterCredentials(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            tries=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            connect=lambda: self.connect_with_credentials,
        )

    @cached_property
    def end_connection(self) -> "EndConnection":
        from consentry.connect.ending import EndConnection

        return EndConnection(
            clock=self.clock,
            randomness=self.randomness,
            tickets=self.tickets,
            sessions=self.sessions,
            integrations=self.integrations,
            catalogue=self.catalogue,
            connections=self.connections,
            disconnect=lambda: self.disconnect,
        )
