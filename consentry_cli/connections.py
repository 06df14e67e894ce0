"""`consentry connections`: who has connected what, and in which state."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import click
from rich.console import Group, RenderableType
from rich.text import Text

from consentry.model import Status
from consentry_cli.api import Api, Json, path
from consentry_cli.failures import Exit, Failure
from consentry_cli.output import Value, fields, moment, plain, show, table
from consentry_cli.settings import Settings, common, needs

ATTENTION: Final = (Status.REAUTH_REQUIRED.value, Status.SCOPE_INSUFFICIENT.value)
_COLOURS: Final = {"active": "green", "deleting": "dim"}
_ONE: Final = "tenants/*/connections/*/*"


@click.group()
def connections() -> None:
    """Who has connected what: list, show, refresh, disconnect."""


@connections.command("list")
@click.argument("tenant", required=False)
@click.option("--status", type=click.Choice([each.value for each in Status]), help="Only those of this status.")
@click.option("--limit", type=click.IntRange(1), default=500, show_default=True, help="At most so many.")
@common
@needs
def list_(settings: Settings, tenant: str | None, status: str | None, limit: int) -> None:
    """List a tenant's connections; without TENANT, those of all tenants that need their customers again."""
    found = _of_tenant(settings.api, tenant, status) if tenant else _of_all(settings.api, status)
    listed = list(islice(found, limit + 1))
    value = {"connections": listed[:limit], "more": len(listed) > limit}
    show(value, _drawn if tenant else _drawn_flagged, as_json=settings.json)


@connections.command("show")
@click.argument("tenant")
@click.argument("integration")
@click.argument("name", default="default")
@common
@needs
def show_(settings: Settings, tenant: str, integration: str, name: str) -> None:
    """Show one connection: everything but its tokens."""
    show(_read(settings.api, tenant, integration, name), _drawn_one, as_json=settings.json)


@connections.command()
@click.argument("tenant")
@click.argument("integration")
@click.argument("name", default="default")
@common
@needs
def refresh(settings: Settings, tenant: str, integration: str, name: str) -> None:
    """Refresh a connection's token now, and wait for it."""
    generation = _read(settings.api, tenant, integration, name)["generation"]
    route = path("tenants", tenant, "connections", integration, name, "refresh")
    value = settings.api.send("POST", route, f"POST/{_ONE}/refresh", {"rejected_generation": generation})
    if value["outcome"] == "pending":
        raise Failure("It is under way, and not over yet: look again in a moment.", Exit.UNAVAILABLE, "pending")
    show(value, lambda told: plain(f"{told['outcome']}: generation {told['generation']}"), as_json=settings.json)


@connections.command()
@click.argument("tenant")
@click.argument("integration", required=False)
@click.argument("name", default="default")
@click.option("--uninstall", is_flag=True, help="Take the application out of the account as well, where that exists.")
@click.option("--all", "everything", is_flag=True, help="All connections of the tenant, instead of one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@needs
def disconnect(settings: Settings, /, tenant: str, integration: str | None, name: str, **flags: bool) -> None:
    """End a connection: no token from now on, the grant revoked, the record erased."""
    if bool(integration) == flags["everything"]:
        raise click.UsageError("name one INTEGRATION, or --all of the tenant's connections")
    if flags["everything"] and flags["uninstall"]:
        raise click.UsageError("--uninstall is for one connection")
    what = f"{integration}/{name} of {tenant}" if integration else f"all connections of {tenant}"
    if not flags["yes"]:
        click.confirm(f"Disconnect {what}? Its customer has to consent again afterwards.", abort=True, err=True)
    if integration:
        value = _disconnect_one(settings.api, (tenant, integration, name), uninstall=flags["uninstall"])
    else:
        value = _disconnect_all(settings.api, tenant)
    show(value, lambda told: plain(_ended(told, what)), as_json=settings.json)


def _ended(told: Value, what: str) -> str:
    count = f" ({told['deleting']} of them, {told['skipped']} could not be read)" if "skipped" in told else ""
    return f"{what}: on the way out{count}. The grant is revoked within minutes, and then the record erased."


def _disconnect_one(api: Api, key: tuple[str, str, str], *, uninstall: bool) -> Json:
    route = path("tenants", key[0], "connections", *key[1:])
    return api.send("DELETE", f"{route}?uninstall=true" if uninstall else route, f"DELETE/{_ONE}")


def _disconnect_all(api: Api, tenant: str) -> Json:
    """Go on until the API says that there is no more."""
    told, place = {"deleting": 0, "skipped": 0}, ""
    while True:
        route = path("tenants", tenant) + (f"?next={place}" if place else "")
        done = api.send("DELETE", route, "DELETE/tenants/*")
        told = {name: count + done[name] for name, count in told.items()}
        place = done["next"] or ""
        if not place:
            return told


def _of_tenant(api: Api, tenant: str, status: str | None) -> Iterable[Json]:
    found = api.pages(path("tenants", tenant, "connections"), "GET/tenants/*/connections", "connections")
    return (each for each in found if status in {None, each["status"]})


def _of_all(api: Api, status: str | None) -> Iterable[Json]:
    if status and status not in ATTENTION:
        sentence = f"Across tenants only {' and '.join(ATTENTION)} can be listed: name a tenant for {status}."
        raise Failure(sentence, Exit.USAGE, "status_needs_tenant")
    for each in (status,) if status else ATTENTION:
        yield from api.pages("/connections", "GET/connections", "connections", status=each)


def _read(api: Api, tenant: str, integration: str, name: str) -> Json:
    return api.get(path("tenants", tenant, "connections", integration, name), f"GET/{_ONE}")


def _drawn(value: Value) -> RenderableType:
    rows = [
        [
            _place(each),
            each["provider"],
            coloured(each["status"], each["cause"]),
            moment(each["expires_at"]),
            each["label"] or each["account"],
        ]
        for each in value["connections"]
    ]
    return _with_rest(table(("connection", "provider", "status", "token until", "label, account"), rows), value)


def _drawn_flagged(value: Value) -> RenderableType:
    rows = [
        [
            each["tenant"],
            _place(each),
            coloured(each["status"], each["cause"]),
            moment(each["attention_since"]),
            each["label"],
        ]
        for each in value["connections"]
    ]
    return _with_rest(table(("tenant", "connection", "status", "since", "label"), rows), value)


def _with_rest(drawn: RenderableType, value: Value) -> RenderableType:
    if not value["connections"]:
        return Text("none")
    return Group(drawn, Text("there are more: --limit")) if value["more"] else drawn


def _place(connection: Json) -> str:
    return f"{connection['integration']}/{connection['name']}"


def coloured(status: str, cause: str = "") -> Text:
    return plain(f"{status} ({cause})" if cause else status, _COLOURS.get(status, "red"))


def _drawn_one(value: Value) -> RenderableType:
    times: dict[str, Any] = {
        "token until": value["expires_at"],
        "refreshed": value["refreshed_at"],
        "grant until": value["grant_expires_at"],
        "connected": value["created_at"],
    }
    return fields(
        [
            ("connection", f"{value['tenant']} {_place(value)}"),
            ("status", coloured(value["status"], value["cause"])),
            ("provider", value["provider"]),
            ("account", value["account"]),
            ("label", value["label"]),
            ("description", value["description"]),
            ("scopes", " ".join(value["scopes"])),
            ("lost scopes", plain(" ".join(value["lost_scopes"]), "red") if value["lost_scopes"] else ""),
            ("generation", value["generation"]),
            *((name, moment(at)) for name, at in times.items()),
            *((name, each) for name, each in value["metadata"].items()),
        ]
    )
