"""Functions of the developer's own: each folder with an `app.py` runs as a consumer of the vault would."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dev.deployment import Deployment
from dev.mistakes import Mistake
from dev.runtime import FunctionSpec

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
LAYER: Final = "ConsentryLayer"
# What the outputs of the stack name for consumers, and where the simulated providers are.
TOLD: Final = (
    *("CONSENTRY_CONNECTIONS_TABLE", "CONSENTRY_REFRESH_FUNCTION"),
    *("HUBSPOT_API_BASE", "HOTJAR_API_BASE", "HOTMART_API_BASE"),
)


def with_own_functions(deployment: Deployment, folder: Path, api_url: str) -> Deployment:
    """Return the deployment with a function for each folder in `folder` that holds an `app.py`, named like it.

    Raises `Mistake` where there is none, or one whose name Lambda would refuse.
    """
    told = {name: value for name, value in deployment.environment.items() if name in TOLD}
    own = list(_found(folder, {**told, "CONSENTRY_API_URL": api_url}, deployment.functions[0]))
    return dataclasses.replace(deployment, functions=[*deployment.functions, *own])


def _found(folder: Path, told: Mapping[str, str], other: FunctionSpec) -> Iterator[FunctionSpec]:
    found = sorted(each.parent for each in folder.glob("*/app.py"))
    if not found:
        raise Mistake(f"FUNCTIONS={folder}: no folder in it holds an app.py; name the folder above your functions'")
    for each in found:
        if not NAME.fullmatch(each.name):
            raise Mistake(f"FUNCTIONS={folder}: {each.name!r} is no function's name; use letters, digits, - and _")
        yield FunctionSpec(
            logical_id=each.name,
            name=each.name,
            arn=other.arn.removesuffix(other.name) + each.name,
            handler="app.handler",
            folder=each,
            environment=told,
            layers=(LAYER,),
            timeout_seconds=30.0,
            memory_mb=512,
        )
