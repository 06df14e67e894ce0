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
    from consentry.errors import ConsentryError, NotConnected, ReauthRequired, TokenUnavailable
    from consentry.read import Token, Vault

__all__ = ["ConsentryError", "NotConnected", "ReauthRequired", "Token", "TokenUnavailable", "Vault"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'consentry' has no attribute {name!r}")
    module = import_module("consentry.read" if name in {"Token", "Vault"} else "consentry.errors")
    return getattr(module, name)
