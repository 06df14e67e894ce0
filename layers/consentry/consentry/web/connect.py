"""The connect page: what a session offers, and nothing to send. And the script that opens it in a popup."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from consentry.connect.offer import ShowOffer
from consentry.pages.frame import Links
from consentry.pages.look import Look
from consentry.pages.script import popup_script
from consentry.pages.tiles import connect_page
from consentry.web.manner import manner_of, return_address
from consentry.web.request import Request
from consentry.web.response import Response, answer, html

SCRIPT: Final = "ANY /connect.js"
_SCRIPT_HEADERS: Final = {
    "Content-Type": "text/javascript; charset=utf-8",
    # The one answer that may be kept: it is the same for everybody, and nothing in it is anybody's.
    "Cache-Control": "public, max-age=3600",
    # For pages that isolate themselves, or hold the script to a hash: anyone may read it.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRoute:
    """`show` is called for: the script needs no wiring.

    `return_urls` are those that are registered now; a session is older, and may still name another.
    """

    show: Callable[[], ShowOffer]
    base_url: Callable[[], str]
    return_urls: frozenset[str]
    look: Look

    def __call__(self, request: Request) -> Response:
        if request.route == SCRIPT:
            return answer(200, body=popup_script(), headers=_SCRIPT_HEADERS)
        ticket = request.query("session")
        offer = self.show()(ticket)
        manner = manner_of(self.look, offer.session, request)
        known = offer.session.return_url in self.return_urls
        links = Links(self.base_url(), ticket, return_address(offer.session) if known else "")
        return html(200, connect_page(manner, offer, links), self.look)
