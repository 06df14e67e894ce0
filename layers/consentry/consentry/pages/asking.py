"""Where is yours? The page that asks for a part of the provider's address, and the one that leads there."""

from typing import Final
from urllib.parse import urlsplit

from consentry.connect.authorize import Question
from consentry.model import MOST_TEXT
from consentry.oauth.provider import UrlVariable
from consentry.oauth.variables import MOST, InvalidVariable
from consentry.pages.frame import Links, Manner, document, monogram, reference
from consentry.pages.markup import Html, tag
from consentry.pages.words import Words

_PREFIX: Final = "variable-"
TROUBLE: Final = "trouble"


def variable_field_name(name: str) -> str:
    """Return what a variable is called in a form and in a query: no provider's name for it is one of ours."""
    return _PREFIX + name


def question_page(manner: Manner, question: Question, links: Links, correlation_id: str) -> str:
    """A form that needs no protection of its own: it changes nothing that the link in it would not."""
    say = manner.words
    title = say("form.title", name=question.name)
    variables = question.provider.variables
    fields = (
        variable_field(say, name, variables[name], shown=question.entered.get(name, ""), error=question.error)
        for name in question.names
    )
    main = tag(
        "main",
        monogram(question.name, question.integration.id),
        tag("h1", title),
        tag("p", say("ask.intro", name=question.name)),
        _alert(say, question, correlation_id),
        tag(
            "form",
            tag("input", type="hidden", name="session", value=links.ticket),
            *fields,
            tag("button", say("ask.submit"), class_="button"),
            method="get",
            action=links.consent(question.integration.id).partition("?")[0],
            autocomplete="off",
        ),
        tag("p", tag("a", say("form.back"), href=links.page())),
        class_="form",
    )
    page_title = say("form.page_title_trouble", title=title) if question.error else title
    return document(manner, page_title, main)


def _alert(say: Words, question: Question, correlation_id: str) -> Html:
    if question.error is None:
        return Html()
    variable = question.provider.variables[question.error.variable]
    told = invalid_variable(say, question.provider.name, variable, question.error)
    return tag(
        "div",
        tag("h2", say("form.trouble")),
        tag("p", told, id=TROUBLE),
        reference(say, correlation_id),
        class_="alert",
        role="alert",
        aria_live="assertive",
    )


def invalid_variable(say: Words, provider_name: str, variable: UrlVariable, error: InvalidVariable) -> str:
    """Return what is wrong with an entry, in the words of the page."""
    label = _label(say, variable)
    if error.missing:
        return say("form.invalid", label=label, most=MOST)
    return say("form.unlike", label=label, provider=provider_name)


def variable_field(
    say: Words, name: str, variable: UrlVariable, *, shown: str = "", error: Exception | None = None
) -> Html:
    """Return the entry for one part of the provider's address."""
    field, hint = variable_field_name(name), f"{variable_field_name(name)}-hint"
    wrong = isinstance(error, InvalidVariable) and error.variable == name
    told = variable.help.get(say.language) or variable.help.get("en")
    described = " ".join(filter(None, (hint if told else "", TROUBLE if wrong else "")))
    entry = tag(
        "input",
        id=field,
        name=field,
        type="text",
        value=shown if shown.isprintable() and 0 < len(shown) <= MOST_TEXT else None,
        required=True,
        maxlength=MOST,
        autocomplete="off",
        autocapitalize="none",
        spellcheck="false",
        aria_invalid="true" if wrong else None,
        aria_describedby=described or None,
        autofocus=wrong,
    )
    help_text = tag("p", told, id=hint, class_="soft hint") if told else Html()
    return tag("div", tag("label", _label(say, variable), for_=field), help_text, entry, class_="field")


def leaving_page(manner: Manner, location: str) -> str:
    """Say where the person is being taken, for browsers that do not go there by themselves."""
    say, host = manner.words, urlsplit(location).netloc
    title = say("leave.title", host=host)
    main = tag(
        "main",
        tag("h1", title),
        tag("p", say("leave.text")),
        tag("p", tag("a", say("leave.action", host=host), class_="button", href=location)),
        class_="form",
    )
    return document(manner, title, main)


def _label(say: Words, variable: UrlVariable) -> str:
    return variable.labels.get(say.language, variable.label)
