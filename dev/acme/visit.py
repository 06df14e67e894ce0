"""What Acme remembers of a browser, in one signed cookie: who is signed in, what was begun, what to say next."""

import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from flask import session

from dev.acme.trouble import Trouble
from dev.acme.users import FIRST, USERS, User

REMEMBERED: Final = 5
COOKIE: Final = "acme_example_visit"  # cookies of localhost are shared by all its ports


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence for the next page; `code` is set when something did not work."""

    sentence: str
    code: str = ""


def user() -> User:
    return USERS.get(str(session.get("user")), FIRST)


def sign_in(unverified_ref: str) -> None:
    if unverified_ref not in USERS:
        raise Trouble("There is no such user. Choose one of the two.", "unknown_user", status=400)
    session["user"] = unverified_ref


def form_token() -> str:
    """The value that each of our own forms carries, so that no other site can post them (CSRF)."""
    if "form_token" not in session:
        session["form_token"] = secrets.token_urlsafe(32)
    return str(session["form_token"])


def check_form_token(unverified: str) -> None:
    if not hmac.compare_digest(unverified.encode(), form_token().encode()):
        raise Trouble(
            "This form is from an earlier visit. Go back, reload the page and try again.", "stale_form", status=403
        )


def began(session_id: str) -> None:
    """Remember who began a connect session in this browser."""
    begun = [*session.get("begun", []), [session_id, user().ref]]
    session["begun"] = begun[-REMEMBERED:]


def check_began(unverified_session_id: str) -> None:
    """Raise `Trouble` unless this browser's signed-in user began the session; it is forgotten either way."""
    begun = dict(session.get("begun", []))
    ref = begun.pop(unverified_session_id, None)
    session["begun"] = [list(each) for each in begun.items()]
    if ref != user().ref:
        sentence = "This connection was not begun here by you, so nothing was connected. Begin it again from this page."
        raise Trouble(sentence, "not_begun_here", status=403)


def tell(notice: Notice) -> None:
    session["notice"] = [notice.sentence, notice.code]


def notice() -> Notice | None:
    """Return what is to be said, once."""
    told = session.pop("notice", None)
    return Notice(*told) if told else None
