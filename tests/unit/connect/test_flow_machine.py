"""Any steps of a consent, in any order, by anybody: only the legal word exchanges a code (S-44).

The legal word is: create, authorize, callback by the browser of the newest authorize, complete by the session's own
user within a minute. Everything else is refused, and asks the provider nothing.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from consentry.aws.dynamodb import to_item
from consentry.model import FlowStatus
from consentry.web.response import Response
from tests.support.catalogue import FakeCatalogue
from tests.support.deployment import INTEGRATIONS, Browser, Deployment, provider_answer, query_of
from tests.support.dynamo import MemoryDynamo
from tests.support.families import ALONE
from tests.support.logs import recorded
from tests.support.provider import tokens
from tests.support.tables import create_tables

# Mostly as it should be, so that there is something to spoil.
people = st.sampled_from((0, 0, 0, 1))
users = st.sampled_from(("u-1", "u-1", "u-1", "u-2"))
tenants = st.sampled_from(("acme", "acme", "acme", "other"))
seldom = st.sampled_from((False, False, False, True))


class Consent(RuleBasedStateMachine):
    """Two people with a browser each; `newest` is what would have to come back, by session, and to whose browser.

    `ripe` are the handles that would be taken now, by session: until when, and which.
    """

    departures = Bundle("departures")
    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        client = MemoryDynamo().as_client
        names = create_tables(client)
        client.put_item(TableName=names["IntegrationsTable"], Item=to_item(INTEGRATIONS[0]))
        self.deployment = Deployment(client, names, FakeCatalogue(ALONE))
        self.browsers = [Browser(self.deployment), Browser(self.deployment)]
        self.sessions: list[dict[str, Any]] = []
        self.newest: dict[str, tuple[str, int]] = {}
        self.ripe: dict[str, tuple[int, set[str], int]] = {}
        self.expected = 0

    @initialize()
    def first(self) -> None:
        self.create()

    @precondition(lambda self: len(self.sessions) < 3)
    @rule()
    def create(self) -> None:
        with recorded():
            self.sessions.append(self.deployment.created(name=f"n{len(self.sessions)}"))

    @rule(target=departures, which=st.integers(0, 2), who=people)
    def authorize(self, which: int, who: int) -> Any:  # noqa: ANN401 - what a bundle takes
        """Open a link, whoever it was sent to."""
        created = self.sessions[which % len(self.sessions)]
        with recorded():
            response = self.browsers[who].open(created["authorize_urls"]["crm"])
        session = created["session"]
        if response["statusCode"] != 302:
            assert response["statusCode"] == 410
            return multiple()
        location = str(response["headers"]["Location"])
        self.newest[session] = (location, who)
        self.ripe.pop(session, None)
        return (session, location)

    @rule(target=handles, departure=departures, who=people)
    def come_back(self, departure: tuple[str, str], who: int) -> Any:  # noqa: ANN401 - what a bundle takes
        """Bring an answer of the provider, perhaps an old one, perhaps again, perhaps in another browser."""
        session, location = departure
        response = self._open(location, who)
        legal = self.newest.get(session) == (location, who)
        if response["statusCode"] != 303:
            return multiple()
        assert legal, "an answer was taken that was not the newest, or came from another browser"
        told = query_of(response)
        until, taken, parked = self.ripe.get(session, (self.deployment.clock.now() + 60, set(), 0))
        assert parked < 2, "a third handle was given"
        self.ripe[session] = (until, taken | {told["handle"]}, parked + 1)
        return (told["session"], told["handle"])

    @rule(target=handles, which=st.integers(0, 2))
    def consent(self, which: int) -> Any:  # noqa: ANN401 - what a bundle takes
        """Go to the provider and back, all in one go: most people do."""
        departure = self.authorize(which, 0)
        return self.come_back(departure, 0) if isinstance(departure, tuple) else departure

    @rule(user=users, tenant=tenants)
    @precondition(lambda self: self.ripe)
    def complete_newest(self, user: str, tenant: str) -> None:
        session, (_, given, _) = next(reversed(self.ripe.items()))
        self.complete((session, min(given)), user, tenant, mixed=False)

    @precondition(lambda self: self.ripe)
    @rule(departure=departures, who=people)
    def cancel(self, departure: tuple[str, str], who: int) -> None:
        """Say no at the provider; it ends the consent if it is the newest and comes to the right browser."""
        session, location = departure
        response = self._open(location, who, code="", error="access_denied")
        if response["statusCode"] == 303:
            assert self.newest.get(session) == (location, who)
            self.newest.pop(session)
            self.ripe.pop(session, None)

    @rule(handle=handles, user=users, tenant=tenants, mixed=seldom)
    def complete(self, handle: tuple[str, str], user: str, tenant: str, *, mixed: bool) -> None:
        session, secret = handle
        named = self.sessions[0]["session"] if mixed else session
        before = len(self.deployment.provider.requests)
        until, given, _ = self.ripe.get(named, (0, set[str](), 0))
        known = tenant == "acme" and secret in given
        late = until <= self.deployment.clock.now()
        legal = known and user == "u-1" and not late
        self.deployment.provider.script = [tokens()] if legal else []
        with recorded():
            response = self.deployment.completed({"session": named, "handle": secret}, tenant=tenant, user_ref=user)
        assert (response["statusCode"] == 200) == legal, response["body"]
        assert len(self.deployment.provider.requests) == before + legal
        self.expected += legal
        if known:  # taken, or destroyed for being late or another user's
            self.ripe.pop(named)
            self.newest.pop(named)

    @rule(seconds=st.sampled_from((1, 1, 1, 59, 60, 600, 1800)))
    def expire(self, seconds: int) -> None:
        self.deployment.clock.advance(seconds)

    def _open(self, location: str, who: int, **answer: str) -> Response:
        browser = self.browsers[who]
        jar = dict(browser.jar)
        with recorded():
            response = browser.open(provider_answer(location, **answer))
        browser.jar = jar  # as if it had kept a copy of the cookie
        return response

    @invariant()
    def only_legal_words_exchange(self) -> None:
        assert len(self.deployment.provider.requests) == self.expected
        for created in self.sessions:
            flow = self.deployment.sessions.flow(created["session"], "crm")
            if flow and flow.status in {FlowStatus.DONE, FlowStatus.FAILED}:
                assert (flow.code, flow.verifier, flow.handle_hashes) == (b"", b"", ())


Consent.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestConsent = Consent.TestCase
