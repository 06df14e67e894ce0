"""Which addresses people may be sent to: those that every reader takes for the same place."""

import re
from typing import Final

_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# A last part that begins with a letter: one that looks like a number makes an IPv4 address of the whole (WHATWG URL).
_NAME: Final = rf"(?:{_LABEL}\.)*(?=[A-Za-z]){_LABEL}"
_LOOPBACK: Final = r"(?:localhost|127\.0\.0\.1)"
_PORT: Final = r"(?::[1-9][0-9]{0,3})?|:[1-5][0-9]{4}|:6[0-4][0-9]{3}|:65[0-4][0-9]{2}|:655[0-2][0-9]|:6553[0-5]"
# What RFC 3986 allows in a path and a query; a fragment would swallow the parameters that are appended.
_REST: Final = r"(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?"
_RETURN_URL: Final = re.compile(rf"(?:https://(?:{_NAME}|{_LOOPBACK})|http://{_LOOPBACK})(?:{_PORT}){_REST}")


def is_return_url(text: str) -> bool:
    """Whether it is an absolute address by https, without user and fragment (http for this machine alone).

    Source: RFC 9700 section 4.11.1, RFC 8252 section 7.3.
    """
    return _RETURN_URL.fullmatch(text) is not None
