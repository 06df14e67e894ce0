"""Every page that a person may see, in every state, by name: as documents, without a deployment."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from consentry.connect.credentials import InvalidInput
from consentry.connect.ending import Question
from consentry.connect.entering import Entrance
from consentry.connect.offer import Offer, Offered, Permission
from consentry.errors import ConsentryError, Expired
from consentry.model import Cause, Connection, Grant, Integration, Session, Status
from consentry.oauth.provider import Provider
from consentry.pages.ending import ending_page
from consentry.pages.form import Filled, form_page
from consentry.pages.frame import Links, Manner
from consentry.pages.render import Page, error_text, render
from consentry.pages.tiles import connect_page
from tests.support.catalogue import CRM, METRICS

SESSION: Final = Session(
    id="s" * 22, tenant="acme", user_ref="u-1", integrations=("crm",), expires_at=1_800_000_000, allow_disconnect=True
)
LINKS: Final = Links("https://vault.test", "t" * 65, "https://app.test/connected?session=s")
REFERENCE: Final = "UZvQxhPCliAEPJQ="


def connection(status: Status = Status.ACTIVE, cause: str = "", grant: Grant = Grant.AUTHORIZATION_CODE) -> Connection:
    """Return a connection with everything that is told of one."""
    return Connection(
        key=SESSION.key("crm"), provider="crm", grant_type=grant, status=status, status_cause=cause, gen=3, epoch=1,
        account="4711", label="Main shop", description="The shop's\nnumbers", created_at=1_790_000_000,
        refreshed_at=1_799_999_000, grant_expires_at=1_810_000_000, consent_id="C" * 43,
    )  # fmt: skip


def screens(manner: Manner) -> dict[str, str]:
    return dict([*_pages(manner), *_questions(manner), *_forms(manner), *_results(manner)])


def tiles() -> Mapping[str, Offered]:
    """Return a tile for each state of a connection, by the state and its cause."""
    allows = (
        Permission(scope="contacts", words={"en": "Read contacts", "pt": "Ler contatos"}),
        Permission(scope="crm.objects.deals.read", optional=True),
    )
    plain = Offered(integration="crm", name="CRM", grant=Grant.AUTHORIZATION_CODE, allows=allows)
    states = [
        (Status.ACTIVE, ""), (Status.SCOPE_INSUFFICIENT, Cause.SCOPE_MISSING), (Status.DELETING, ""),
        *((Status.REAUTH_REQUIRED, cause) for cause in (*Cause, "of_a_newer_version") if cause != Cause.SCOPE_MISSING),
    ]  # fmt: skip
    made = {f"{status}-{cause}": replace(plain, connection=connection(status, cause)) for status, cause in states}
    credentials = Offered(integration="metrics", name="Metrics", grant=Grant.CLIENT_CREDENTIALS)
    entered = replace(credentials, connection=connection(grant=Grant.CLIENT_CREDENTIALS))
    made |= {"none-consent": plain, "none-credentials": credentials, "entered": entered}
    made["unavailable"] = Offered(integration="desk", name="desk")
    return {name: replace(each, integration=name) for name, each in made.items()}


def _pages(manner: Manner) -> Iterator[tuple[str, str]]:
    yield "page", connect_page(manner, Offer(session=SESSION, offered=tuple(tiles().values())), LINKS)
    plain = Offer(session=replace(SESSION, allow_disconnect=False), offered=(tiles()["none-consent"],))
    yield "page without a way back", connect_page(manner, plain, replace(LINKS, back=""))


def _questions(manner: Manner) -> Iterator[tuple[str, str]]:
    providers: Mapping[str, Provider] = {
        "revoked": replace(CRM, revocation_url="https://api.crm.test/revoke"), "left": CRM, "credentials": METRICS,
    }  # fmt: skip
    for name, provider in providers.items():
        integration = Integration(id="crm", provider=provider.id)
        question = Question(session=SESSION, integration=integration, provider=provider, connection=connection())
        yield f"question-{name}", ending_page(manner, question, "f" * 22, LINKS)


def _forms(manner: Manner) -> Iterator[tuple[str, str]]:
    integration = Integration(id="metrics", provider="metrics")
    entrance = Entrance(session=SESSION, integration=integration, provider=METRICS)
    yield "form", form_page(manner, entrance, "f" * 65, LINKS, Filled())
    wrong = InvalidInput("no", field="site_id", unlike=True)
    filled = Filled(entered={"label": "Shop", "input-client_id": "me"}, error=wrong, correlation_id=REFERENCE)
    yield "form-corrected", form_page(manner, entrance, "f" * 65, LINKS, filled)


def _results(manner: Manner) -> Iterator[tuple[str, str]]:
    say = manner.words
    yield "connected", render(Page(title=say("connected.title"), text=say("connected.text")), manner)
    yield "almost", render(Page(title=say("almost.title"), text=say("almost.text"), tone="trouble"), manner)
    told = {key: say.texts[key] for key in say.texts if key.startswith("denied.") and key != "denied.title"}
    for key, text in told.items():
        yield key, render(Page(title=say("denied.title"), text=text, tone="trouble", reference=REFERENCE), manner)
    codes = [key.removeprefix("error.") for key in say.texts if key.startswith("error.") and key != "error.title"]
    for code in codes:
        error: ConsentryError = Expired("", code=code)
        error.about = "HubSpot Ticketing"
        shown = Page(title=say("error.title"), text=error_text(say, error), tone="trouble", reference=REFERENCE)
        yield f"error.{code}", render(shown, manner)
