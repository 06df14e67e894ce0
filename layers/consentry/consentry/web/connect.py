"""The connect page: what a session offers, and nothing to send."""

from collections.abc import Callable
from dataclasses import dataclass

from consentry.connect.offer import ShowOffer
from consentry.pages.frame import Links
from consentry.pages.look import Look
from consentry.pages.tiles import connect_page
from consentry.web.manner import manner_of, return_address
from consentry.web.request import Request
from consentry.web.response import Response, html


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRoute:
    """`return_urls` are those that are registered now; a session is older, and may still name another."""

    show: Callable[[], ShowOffer]
    base_url: Callable[[], str]
    return_urls: frozenset[str]
    look: Look

    def __call__(self, request: Request) -> Response:
        ticket = request.query("session")
        offer = self.show()(ticket)
        manner = manner_of(self.look, offer.session, request)
        known = offer.session.return_url in self.return_urls
        links = Links(self.base_url(), ticket, return_address(offer.session) if known else "")
        return html(200, connect_page(manner, offer, links), self.look)
