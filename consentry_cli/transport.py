"""One HTTPS request, made or failed with a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from consentry_cli.failures import Exit, Failure

TIMEOUT_SECONDS: Final = 40  # the API itself gives up after 30


@dataclass(frozen=True, slots=True)
class Answer:
    """`date` is the answer's header of that name, empty if it has none."""

    status: int
    content: bytes
    date: str = ""


class Transport(Protocol):
    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Make exactly one request; raise `Failure` if no answer comes."""


@dataclass(frozen=True, slots=True)
class Https:
    """By `requests`. `verify` is a bundle's path, or True; the local stack is never asked through a proxy."""

    verify: str | bool = True
    local: bool = False

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        import requests  # noqa: PLC0415 - a command that asks nothing need not wait for it

        try:
            with requests.Session() as connection:
                connection.trust_env = not self.local
                answer = connection.request(
                    method,
                    url,
                    data=body,
                    headers=dict(headers),
                    timeout=TIMEOUT_SECONDS,
                    verify=self.verify,
                    allow_redirects=False,
                )
        except requests.RequestException as error:
            address = "/".join(url.split("/")[:3])
            sentence = f"{address} does not answer ({type(error).__name__}): is it deployed, and up?"
            raise Failure(sentence, Exit.UNAVAILABLE, "unreachable") from None
        return Answer(answer.status_code, answer.content, answer.headers.get("Date", ""))
