"""In which language, and how it looks: for a page, and for an error that becomes one."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from consentry.errors import ConsentryError
from consentry.model import Session
from consentry.pages.frame import Manner
from consentry.pages.look import Look
from consentry.pages.words import words_for
from consentry.web.request import Request


def manner_of(look: Look, session: Session, request: Request) -> Manner:
    return Manner(look, words_for(session.language, request.headers.get("accept-language", "")))


def return_address(session: Session, **told: str) -> str:
    """Return the session's return URL with what is told there; whether it is registered is the caller's question."""
    url = session.return_url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'session': session.id, **told})}"


@contextmanager
def in_language_of(session: Session) -> Iterator[None]:
    """Let an error be told in the language of the session in which it happens."""
    try:
        yield
    except ConsentryError as error:
        error.language = session.language
        raise
