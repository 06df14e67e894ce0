"""The question before a disconnect: what ends, for whom, and that there is no way back."""

from typing import Final

from consentry.connect.ending import Question
from consentry.model import Grant
from consentry.pages.form import TOKEN
from consentry.pages.frame import Links, Manner, document, monogram
from consentry.pages.markup import tag
from consentry.pages.tiles import facts

CONSENT: Final = "consent"


def ending_page(manner: Manner, question: Question, token: str, links: Links) -> str:
    say, name = manner.words, question.name
    title = say("end.title", name=name)
    points = (
        say("end.access", company=manner.look.company) if manner.look.company else say("end.access_plain"),
        say(_afterwards(question), name=name),
        say("end.everybody", tenant=question.session.tenant),
        say("end.no_way_back"),
    )
    form = tag(
        "form",
        tag("input", type="hidden", name=TOKEN, value=token),
        tag("input", type="hidden", name=CONSENT, value=question.connection.consent_id),
        tag("button", say("action.disconnect", name=name), class_="button ending"),
        method="post",
        action=links.disconnect(question.integration.id),
    )
    main = tag(
        "main",
        monogram(name, question.integration.id),
        tag("h1", title),
        facts(say, question.connection),
        tag("h2", say("end.what")),
        tag("ul", *(tag("li", each) for each in points), class_="allows"),
        form,
        tag("p", tag("a", say("end.keep"), href=links.page(question.integration.id), class_="button quiet")),
        class_="form",
    )
    return document(manner, title, main)


def _afterwards(question: Question) -> str:
    """Return the text of what becomes of the access at the provider, as far as its file knows."""
    if question.provider.grant is Grant.CLIENT_CREDENTIALS:
        return "end.credentials"
    return "end.revoked" if question.provider.revocation_url else "end.left"
