"""`consentry token`: an access token, or only that there is one."""

import sys

import click
from rich.console import RenderableType

from consentry_cli.api import path
from consentry_cli.output import Value, fields, moment, show
from consentry_cli.settings import Settings, common, needs


@click.command()
@click.argument("tenant")
@click.argument("integration")
@click.argument("name", default="default")
@click.option("--reveal", is_flag=True, help="Show the token at a terminal, too.")
@common
@needs
def token(settings: Settings, tenant: str, integration: str, name: str, *, reveal: bool) -> None:
    """Read an access token: whole into a pipe or file, at a terminal only with --reveal."""
    route = path("tenants", tenant, "connections", integration, name, "token")
    value = settings.api.get(route, "GET/tenants/*/connections/*/*/token")
    shown = reveal or not sys.stdout.isatty()
    if shown and not settings.json:
        click.echo(value["access_token"])
        return
    show({**value, "access_token": value["access_token"] if shown else None}, _drawn, as_json=settings.json)


def _drawn(value: Value) -> RenderableType:
    return fields(
        [
            ("token", "hidden: --reveal shows it, and so does a pipe"),
            ("type", value["token_type"]),
            ("until", moment(value["expires_at"])),
            ("generation", value["generation"]),
            ("scopes", " ".join(value["scopes"])),
            *((name, each) for name, each in value["metadata"].items()),
        ]
    )
