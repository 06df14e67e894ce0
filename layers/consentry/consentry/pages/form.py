"""The form for credentials. What is secret goes one way only: none of it is ever put into a page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from consentry.connect.credentials import InvalidInput
from consentry.connect.entering import Entrance
from consentry.errors import ConsentryError
from consentry.model import MOST_TEXT
from consentry.oauth.provider import CredentialInput
from consentry.oauth.variables import InvalidVariable
from consentry.pages.asking import TROUBLE, invalid_variable, variable_field, variable_field_name
from consentry.pages.frame import Links, Manner, document, monogram, reference
from consentry.pages.markup import Html, joined, tag
from consentry.pages.render import error_text
from consentry.pages.words import Words

TOKEN: Final = "form"  # noqa: S105 - the name of a field
LABEL: Final = "label"
DESCRIPTION: Final = "description"
_PREFIX: Final = "input-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was entered before, and what was wrong with it. `entered` may hold secrets; none of them is shown."""

    entered: Mapping[str, str] = field(default_factory=dict, repr=False)
    error: ConsentryError | None = None
    correlation_id: str = ""


def field_name(wanted: CredentialInput) -> str:
    """Return what an input is called in the form: no provider's name for it is one of ours."""
    return _PREFIX + wanted.name


def form_page(manner: Manner, entrance: Entrance, token: str, links: Links, filled: Filled) -> str:
    say = manner.words
    title = say("form.title", name=entrance.name)
    fields = (_input(say, each, filled) for each in entrance.provider.credential_inputs)
    form = tag(
        "form",
        tag("input", type="hidden", name=TOKEN, value=token),
        _text(say, LABEL, filled),
        _description(say, filled),
        *_variables(say, entrance, filled),
        *fields,
        tag("button", say("form.submit"), class_="button"),
        method="post",
        action=links.form(entrance.integration.id),
        autocomplete="off",
    )
    main = tag(
        "main",
        monogram(entrance.name, entrance.integration.id),
        tag("h1", title),
        tag("p", say("form.intro", name=entrance.name)),
        _alert(say, entrance, filled),
        form,
        tag("p", tag("a", say("form.back"), href=links.page())),
        class_="form",
    )
    page_title = say("form.page_title_trouble", title=title) if filled.error else title
    return document(manner, page_title, main)


def _variables(say: Words, entrance: Entrance, filled: Filled) -> Iterator[Html]:
    for name in entrance.variables:
        shown = filled.entered.get(variable_field_name(name), "")
        yield variable_field(say, name, entrance.provider.variables[name], shown=shown, error=filled.error)


def _alert(say: Words, entrance: Entrance, filled: Filled) -> Html:
    """Return what went wrong, said aloud as soon as the page is there."""
    error = filled.error
    if error is None:
        return Html()
    told = _told(say, entrance, error)
    return tag(
        "div",
        tag("h2", say("form.trouble")),
        tag("p", told, id=TROUBLE),
        tag("p", say("form.enter_again"), class_="soft"),
        reference(say, filled.correlation_id),
        class_="alert",
        role="alert",
        aria_live="assertive",
    )


def _told(say: Words, entrance: Entrance, error: ConsentryError) -> str:
    if isinstance(error, InvalidVariable) and error.variable in entrance.variables:
        provider = entrance.provider
        return invalid_variable(say, provider.name, provider.variables[error.variable], error)
    return _invalid(say, entrance, error) if isinstance(error, InvalidInput) else error_text(say, error)


def _invalid(say: Words, entrance: Entrance, error: InvalidInput) -> str:
    wanted = next(each for each in entrance.provider.credential_inputs if each.name == error.field)
    label = _label(say, wanted)
    if error.unlike:
        return say("form.unlike", label=label, provider=entrance.provider.name)
    return say("form.invalid", label=label, most=wanted.max_length)


def _label(say: Words, wanted: CredentialInput) -> str:
    return wanted.labels.get(say.language, wanted.label)


def _input(say: Words, wanted: CredentialInput, filled: Filled) -> Html:
    name = field_name(wanted)
    wrong = isinstance(filled.error, InvalidInput) and filled.error.field == wanted.name
    optional = joined(" ", tag("small", f"({say('form.optional')})")) if not wanted.required else Html()
    entry = tag(
        "input",
        id=name,
        name=name,
        type="password" if wanted.secret else "text",
        value=None if wanted.secret else _shown(filled, name),
        required=wanted.required,
        maxlength=wanted.max_length,
        pattern=wanted.pattern or None,
        autocomplete="off",
        autocapitalize="none",
        spellcheck="false",
        aria_invalid="true" if wrong else None,
        aria_describedby=TROUBLE if wrong else None,
        autofocus=wrong,
    )
    return tag("div", tag("label", _label(say, wanted), optional, for_=name), entry, class_="field")


def _text(say: Words, name: str, filled: Filled) -> Html:
    entry = tag(
        "input", id=name, name=name, type="text", value=_shown(filled, name), maxlength=MOST_TEXT,
        aria_describedby=f"{name}-hint",
    )  # fmt: skip
    return _hinted(say, name, entry)


def _description(say: Words, filled: Filled) -> Html:
    # A parser drops the first line's end of a text area, whoever wrote it.
    shown = f"\n{_shown(filled, DESCRIPTION) or ''}"
    entry = tag(
        "textarea", shown, id=DESCRIPTION, name=DESCRIPTION, rows=2, maxlength=MOST_TEXT,
        aria_describedby=f"{DESCRIPTION}-hint",
    )  # fmt: skip
    return _hinted(say, DESCRIPTION, entry)


def _hinted(say: Words, name: str, entry: Html) -> Html:
    optional = tag("small", f"({say('form.optional')})")
    hint = tag("p", say(f"form.{name}_hint"), id=f"{name}-hint", class_="soft hint")
    return tag("div", tag("label", say(f"form.{name}"), " ", optional, for_=name), hint, entry, class_="field")


def _shown(filled: Filled, name: str) -> str | None:
    value = filled.entered.get(name, "")
    return value if value.replace("\n", "").isprintable() and len(value) <= MOST_TEXT else None
