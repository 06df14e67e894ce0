"""`consentry integrations`: the applications that a company has registered at providers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from consentry.errors import ConsentryError
from consentry.model import Grant, Integration, Secret, identifier
from consentry_cli.failures import Exit, Failure, failure_of
from consentry_cli.output import Value, fields, plain, show, table
from consentry_cli.providers import folders_of, known, named, own_folder
from consentry_cli.registration import Registry, needs_secret, secret_from
from consentry_cli.settings import Settings, common, needs


@click.group()
def integrations() -> None:
    """The applications that you have registered at providers."""


@integrations.command()
@click.argument("integration")
@click.option("--provider", required=True, help="The id of a provider: `consentry providers list`.")
@click.option("--client-id", default="", help="What the provider gave you with the secret.")
@click.option("--scope", "scopes", multiple=True, help="A scope to ask for; may be repeated.")
@click.option("--optional-scope", "optional_scopes", multiple=True, help="A scope that a customer may refuse.")
@click.option("--display-name", default="", help="What your customers see.")
@click.option("--refreshes-per-minute", type=click.IntRange(1), help="Instead of the provider's own limit.")
@click.option("--replace", is_flag=True, help="Register it anew if it exists.")
@own_folder
@common
@needs
def add(settings: Settings, /, integration: str, own: Path | None, *, replace: bool, **told: Any) -> None:  # noqa: ANN401 - options of several types
    """Register an integration; its secret is typed, or comes from standard input. Prints the redirect URI."""
    try:
        identifier(integration, "INTEGRATION")
    except ConsentryError as error:
        raise failure_of(error) from None
    installation = settings.installation
    provider, registry = named(told["provider"], folders_of(installation, own)), Registry(installation)
    if needs_secret(provider) and not told["client_id"]:
        raise click.UsageError(f"--client-id is missing: {provider.name} gave you one with the secret")
    if not replace and registry.item(integration):
        sentence = f"{integration} is registered already: --replace registers it anew, `rotate` changes its secret."
        raise Failure(sentence, Exit.REFUSED, "already_registered")
    if needs_secret(provider):
        registry.keep_secret(integration, secret_from(_asked(f"Client secret of {integration}")))
    registry.register(Integration(id=integration, **told))
    redirect = provider.grant is Grant.AUTHORIZATION_CODE
    value = {
        "integration": integration,
        "provider": provider.id,
        "redirect_uri": _redirect_uri(settings, integration) if redirect else None,
    }
    show(value, _drawn_added, as_json=settings.json)


@integrations.command("list")
@common
@needs
def list_(settings: Settings) -> None:
    """List integrations with the redirect URI that each has to have at its provider, to the letter."""
    found = settings.api.get("/integrations", "GET/integrations")["integrations"]
    value = {"integrations": [_with_redirect(each) for each in found]}
    show(value, _drawn, as_json=settings.json)


@integrations.command()
@click.argument("integration", required=False)
@own_folder
@common
@needs
def check(settings: Settings, integration: str | None, own: Path | None) -> int:
    """Check an integration, or all: registration, provider, and secret. Reads secrets and prints none."""
    found = settings.api.get("/integrations", "GET/integrations")["integrations"]
    chosen = [each for each in found if integration in {None, each["integration"]}]
    if integration:
        Registry(settings.installation).required(integration)
    checked = [{**_with_redirect(each), "problems": list(_problems(settings, each, own))} for each in chosen]
    show({"integrations": checked}, _drawn_checked, as_json=settings.json)
    return Exit.PROBLEMS if any(each["problems"] for each in checked) else Exit.OK


@integrations.command()
@click.argument("integration")
@common
@needs
def rotate(settings: Settings, integration: str) -> None:
    """Store a new client secret; the one before is still tried where the provider refuses the new one."""
    registry = Registry(settings.installation)
    registry.required(integration)
    registry.keep_secret(integration, secret_from(_asked(f"New client secret of {integration}")))
    value = {"integration": integration, "rotated": True}
    sentence = "stored. Refreshes use it from now on; end the old one at the provider when they do."
    show(value, lambda _: plain(f"{integration}: {sentence}"), as_json=settings.json)


def _asked(prompt: str) -> str:
    """Return a secret: typed without an echo, or all of standard input where nobody sits."""
    stream = click.get_text_stream("stdin")
    if stream.isatty():
        return Secret(click.prompt(prompt, hide_input=True, err=True)).reveal()
    try:
        return stream.read()
    except UnicodeDecodeError:
        raise Failure("The secret cannot be read as UTF-8.", Exit.USAGE, "secret_unreadable") from None


def _redirect_uri(settings: Settings, integration: str) -> str:
    return f"{settings.installation.base_url}/callback/{integration}"


def _with_redirect(told: Value) -> Value:
    """Where nobody is sent to a provider, nothing has to be registered there."""
    by_consent = told.get("grant") != Grant.CLIENT_CREDENTIALS.value
    return {**told, "redirect_uri": told.get("redirect_uri") if by_consent else None}


def _problems(settings: Settings, told: Value, own: Path | None) -> Iterator[str]:
    if problem := told.get("problem"):
        yield str(problem)
        return
    provider = known(folders_of(settings.installation, own)).get(told["provider"])
    registry = Registry(settings.installation)
    secret_needed = told["grant"] == Grant.AUTHORIZATION_CODE.value if provider is None else needs_secret(provider)
    if secret_needed:
        if not registry.required(told["integration"]).get("client_id"):
            yield "it has no client_id: register it anew with `consentry integrations add --replace`"
        if problem := registry.secret_problem(told["integration"]):
            yield f"{problem}: store one with `consentry integrations rotate {told['integration']}`"


def _drawn_added(value: Value) -> RenderableType:
    done = plain(f"{value['integration']} is registered.", "green")
    if not value["redirect_uri"]:
        return Group(done, plain("Customers connect with credentials of their own: nothing to register there."))
    return Group(done, Text("Register this redirect URI at the provider, to the letter:"), plain(value["redirect_uri"]))


def _drawn(value: Value) -> RenderableType:
    rows = [
        [each["integration"], each["provider"], plain(each.get("problem", ""), "red") or each["redirect_uri"] or ""]
        for each in value["integrations"]
    ]
    return table(("integration", "provider", "redirect URI to register"), rows) if rows else Text("none")


def _drawn_checked(value: Value) -> RenderableType:
    return fields(
        (each["integration"], plain("; ".join(each["problems"]), "red") if each["problems"] else plain("good", "green"))
        for each in value["integrations"]
    )
