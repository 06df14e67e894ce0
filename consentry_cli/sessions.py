"""`consentry sessions`: a link that a customer connects with."""

import click
from rich.console import RenderableType

from consentry_cli.api import path
from consentry_cli.output import Value, fields, moment, show
from consentry_cli.settings import Settings, common, needs


@click.group()
def sessions() -> None:
    """Links that customers connect with."""


@sessions.command()
@click.argument("tenant")
@click.argument("integrations", nargs=-1, required=True)
@click.option("--user-ref", required=True, help="Who will connect, by your own name for them.")
@click.option("--return-url", default="", help="Where to go afterwards: one of the stack's ReturnUrls.")
@click.option("--name", default="", help="What to call the connection (default).")
@click.option("--scope", "scopes", multiple=True, help="A scope beyond the integration's own; may be repeated.")
@click.option("--language", default="", help="Two letters; else the browser's.")
@click.option("--direct", is_flag=True, help="Redeem at once, without your backend: only for links that you follow.")
@click.option("--allow-account-change", is_flag=True, help="Let another account take the place of the connected one.")
@common
@needs
def create(settings: Settings, /, tenant: str, integrations: tuple[str, ...], **wanted: str | tuple[str, ...]) -> None:
    """Create a session for half an hour and print its link. Whoever has the link may use it, once."""
    direct = wanted.pop("direct")
    content = {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items() if value}
    content |= {"integrations": list(integrations), **({"completion": "direct"} if direct else {})}
    value = settings.api.send("POST", path("tenants", tenant, "sessions"), "POST/tenants/*/sessions", content)
    show(value, _drawn, as_json=settings.json)


def _drawn(value: Value) -> RenderableType:
    return fields(
        [
            ("link", value["connect_url"]),
            *((f"straight to {name}", url) for name, url in value["authorize_urls"].items()),
            ("session", value["session"]),
            ("until", moment(value["expires_at"])),
        ]
    )
