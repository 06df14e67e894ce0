"""A self-hosted vault for third-party OAuth grants.

Consumers need one line: `from consentry import Vault`. The names below are loaded when they are first used.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if sys.version_info[:2] != (3, 13):
    running = ".".join(map(str, sys.version_info[:2]))
    message = "consentry's layer holds packages for Python 3.13: choose the runtime python3.13 for this function, not "
    raise ImportError(message + running)

if TYPE_CHECKING:
    from consentry.bearer import Token
    from consentry.errors import ConsentryError, NotConnected, ReauthRequired, TokenUnavailable
    from consentry.listing import ListedConnection
    from consentry.read import Vault

__all__ = [
    "ConsentryError",
    "ListedConnection",
    "NotConnected",
    "ReauthRequired",
    "Token",
    "TokenUnavailable",
    "Vault",
]
_MODULES = {"ListedConnection": "consentry.listing", "Token": "consentry.bearer", "Vault": "consentry.read"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'consentry' has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "consentry.errors")), name)
