"""The connect page: a tile for each integration that a session offers, with what there is of it already."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from consentry.connect.offer import Offer, Offered, Permission
from consentry.model import Connection, Grant, Status
from consentry.pages.frame import Links, Manner, document, monogram, name_id
from consentry.pages.markup import Html, joined, tag
from consentry.pages.words import Words

_LATEST: Final = 253_402_300_799  # the last second that has a date; a row may hold any number


def connect_page(manner: Manner, offer: Offer, links: Links) -> str:
    say, company = manner.words, manner.look.company
    title = say("page.title_of", company=company) if company else say("page.title")
    tiles = (_tile(say, each, links, may_end=offer.session.allow_disconnect) for each in offer.offered)
    main = tag(
        "main",
        tag("h1", title),
        tag(
            "p",
            f"{say('page.tenant')} ",
            tag("strong", offer.session.tenant),
            f". {say('page.until')} ",
            moment(offer.session.expires_at),
            ".",
        ),
        tag("p", say("page.not_yours"), class_="soft"),
        tag("ul", *tiles, class_="tiles", aria_label=say("page.tiles")),
        _back(say, company, links),
    )
    return document(manner, title, main, wide=True)


def _back(say: Words, company: str, links: Links) -> Html:
    """Return the way out: who ended a connection, or looked and left all as it is, is sent nowhere else."""
    if not links.back:
        return Html()
    told = say("page.back_to", company=company) if company else say("page.back")
    return tag("p", tag("a", told, href=links.back), class_="back")


def moment(epoch_seconds: int) -> Html:
    """Return a time as everybody reads it, and as programs do."""
    at = datetime.fromtimestamp(epoch_seconds, UTC)
    return tag("time", f"{at:%Y-%m-%d %H:%M} UTC", datetime=f"{at:%Y-%m-%dT%H:%MZ}")


def _tile(say: Words, offered: Offered, links: Links, *, may_end: bool) -> Html:
    state, tone = _state(offered)
    name = name_id(offered.integration)
    top = tag(
        "div",
        monogram(offered.name, offered.integration),
        tag("h2", offered.name, id=name),
        tag("span", say(f"state.{state}"), class_=f"state {tone}"),
        class_="top",
    )
    article = tag(
        "article",
        top,
        _why(say, offered),
        facts(say, offered.connection) if offered.connection else Html(),
        _allows(say, offered),
        _actions(say, offered, links, may_end=may_end),
        class_="tile",
        aria_labelledby=name,
    )
    return tag("li", article)


def _state(offered: Offered) -> tuple[str, str]:
    """Return the state's name and the tone in which it is said."""
    if offered.grant is None:
        return "unavailable", "trouble"
    if offered.connection is None:
        return "none", ""
    status = offered.connection.status
    tones = {Status.ACTIVE: "good", Status.DELETING: ""}  # somebody wanted it so
    return status.value, tones.get(status, "trouble")


def _why(say: Words, offered: Offered) -> Html:
    connection = offered.connection
    if offered.grant is None:
        return tag("p", say("why.unavailable"), class_="why")
    if connection is None or connection.status is Status.ACTIVE:
        return Html()
    if connection.status is Status.DELETING:
        return tag("p", say("why.deleting"))
    cause = connection.status_cause
    return tag("p", say.one_of(f"why.{cause}", "why.other"), class_="why")


def facts(say: Words, connection: Connection) -> Html:
    """Return what tells a connection from others; what is not known of it is left out."""
    times = {
        "since": connection.created_at,
        "refreshed": connection.refreshed_at,
        "ends": connection.grant_expires_at or 0,
    }
    told: dict[str, Html | str] = {
        "account": connection.account,
        "label": connection.label,
        "description": connection.description,
        **{name: moment(time) for name, time in times.items() if 0 < time <= _LATEST},
    }
    pairs = (joined(tag("dt", say(f"fact.{name}")), tag("dd", value)) for name, value in told.items() if value)
    return tag("dl", *pairs)


def _allows(say: Words, offered: Offered) -> Html:
    if offered.grant is None or (offered.connection and offered.connection.status is Status.DELETING):
        return Html()
    title = tag("h3", say("allows.title"))
    if offered.allows:
        return joined(title, tag("ul", *(_permission(say, each) for each in offered.allows), class_="allows"))
    key = "allows.credentials" if offered.grant is Grant.CLIENT_CREDENTIALS else "allows.provider"
    return joined(title, tag("p", say(key), class_="told"))


def _permission(say: Words, permission: Permission) -> Html:
    """Say it in words; a scope that nobody put into words is shown as it is."""
    told = permission.words.get(say.language) or permission.words.get("en") or permission.scope
    return tag("li", say("allows.optional", what=told) if permission.optional else told)


def _actions(say: Words, offered: Offered, links: Links, *, may_end: bool) -> Html:
    actions = tuple(_offered_actions(say, offered, links, may_end=may_end))
    return tag("div", *actions, class_="actions") if actions else Html()


def _offered_actions(say: Words, offered: Offered, links: Links, *, may_end: bool) -> Iterator[Html]:
    """Yield what a person may do with a tile, one link or button each."""
    connection = offered.connection
    if offered.grant is None or (connection and connection.status is Status.DELETING):
        return
    if offered.grant is Grant.CLIENT_CREDENTIALS:
        key, link = ("action.replace" if connection else "action.enter"), links.form(offered.integration)
    else:
        key, link = ("action.again" if connection else "action.connect"), links.consent(offered.integration)
    active = connection is not None and connection.status is Status.ACTIVE
    yield tag("a", say(key, name=offered.name), class_="button quiet" if active else "button", href=link)
    if connection is not None and may_end:
        ending = say("action.disconnect", name=offered.name)
        yield tag("a", ending, class_="button plain", href=links.disconnect(offered.integration))
