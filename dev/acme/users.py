"""Acme's customers. A real company has sign-in and a database; this one has two people."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class User:
    """A person at one of Acme's customers: `tenant` is the customer, `ref` how Consentry knows the person."""

    ref: str
    tenant: str
    name: str


USERS: Final = {user.ref: user for user in (User("user-1", "acme", "Ada"), User("user-2", "globex", "Grace"))}
FIRST: Final = USERS["user-1"]
