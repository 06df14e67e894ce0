"""The options that every command takes, before or after its name."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import click

from consentry_cli.api import Api
from consentry_cli.installation import Installation, deployed, local


@dataclass
class Settings:
    """Which deployment is meant, and who reads the answer."""

    stack: str = field(default_factory=lambda: os.environ.get("CONSENTRY_STACK", "consentry"))
    profile: str | None = None
    region: str | None = None
    local: bool = False
    json: bool = False
    find: Callable[["Settings"], Installation] = field(default=lambda settings: settings.found())

    def found(self) -> Installation:
        return local() if self.local else deployed(self.stack, profile=self.profile, region=self.region)

    @cached_property
    def installation(self) -> Installation:
        """Look the deployment up once."""
        return self.find(self)

    @cached_property
    def api(self) -> Api:
        return Api(self.installation)


needs: Final = click.make_pass_decorator(Settings)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - of the option's type
    if value not in {None, False}:
        setattr(context.ensure_object(Settings), str(parameter.name), value)


def common[F: Callable[..., Any]](command: F) -> F:
    """Give a command the options of every command."""
    for option in (
        click.option("--json", is_flag=True, expose_value=False, callback=_keep, help="One JSON value, for programs."),
        click.option("--local", is_flag=True, expose_value=False, callback=_keep, help="The stack of `make run`."),
        click.option("--region", expose_value=False, callback=_keep, help="The stack's AWS region."),
        click.option("--profile", expose_value=False, callback=_keep, help="The AWS profile to use."),
        click.option("--stack", expose_value=False, callback=_keep, help="The stack's name (CONSENTRY_STACK)."),
    ):
        command = option(command)
    return command
