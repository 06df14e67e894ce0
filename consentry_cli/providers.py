"""`consentry providers`: what Consentry knows about the systems it connects to."""

from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.text import Text

from consentry.catalogue.load import BUILT_IN, ProviderFileInvalid, load_directory, read_provider
from consentry.catalogue.lookup import NO_ORIGINS
from consentry.model import Grant
from consentry.oauth.provider import Provider
from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation
from consentry_cli.output import Value, fields, plain, show, table
from consentry_cli.settings import Settings, common, needs

type Folders = tuple[tuple[Path, frozenset[str]], ...]


def folders_of(installation: Installation, own: Path | None) -> Folders:
    """Return where a deployment's provider files are, each with the loopback origins that may stand in them."""
    more = [(each, installation.provider_origins) for each in installation.provider_folders]
    return ((BUILT_IN, NO_ORIGINS), *more, *([(own, installation.provider_origins)] if own else []))


def known(folders: Folders) -> dict[str, Provider]:
    """Read all provider files, by id; raise `Failure` naming the mistakes of the first that has any."""
    try:
        return {name: each for folder, origins in folders for name, each in _loaded(folder, origins).items()}
    except ProviderFileInvalid as wrong:
        raise Failure(wrong.public, Exit.PROBLEMS, wrong.code) from None


def _loaded(folder: Path, origins: frozenset[str]) -> dict[str, Provider]:
    return load_directory(folder, allowed_origins=origins)


def named(provider_id: str, folders: Folders) -> Provider:
    found = known(folders)
    if provider_id in found:
        return found[provider_id]
    there = ", ".join(sorted(found))
    sentence = f"There is no provider {provider_id!r}. There are {there}; --providers names a folder with your own."
    raise Failure(sentence, Exit.NOT_FOUND, "unknown_provider")


own_folder = click.option(
    "--providers",
    "own",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with your own provider files.",
)


@click.group()
def providers() -> None:
    """What Consentry knows about the systems it connects to."""


@providers.command("list")
@own_folder
@common
@needs
def list_(settings: Settings, own: Path | None) -> None:
    """List the providers that there are files for."""
    value = {"providers": [_told(each) for each in known(_folders(settings, own)).values()]}
    show(value, _drawn, as_json=settings.json)


@providers.command("show")
@click.argument("provider")
@own_folder
@common
@needs
def show_(settings: Settings, provider: str, own: Path | None) -> None:
    """Show what is known about one provider, and where from."""
    show(_told(named(provider, _folders(settings, own))), _drawn_one, as_json=settings.json)


@providers.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@common
@needs
def check(settings: Settings, files: tuple[Path, ...]) -> int:
    """Check provider files, or folders of them, and name every mistake."""
    origins = frozenset({"*"}) if settings.local else NO_ORIGINS
    problems = [problem for file in files for problem in _problems(file, origins)]
    value = {"files": [str(file) for file in files], "problems": problems}
    show(value, lambda told: Text("\n").join(map(plain, told["problems"] or ["no mistakes"])), as_json=settings.json)
    return Exit.PROBLEMS if problems else Exit.OK


def _problems(path: Path, origins: frozenset[str]) -> Iterator[str]:
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        yield f"{path}: holds no .toml file"
    for file in files:
        try:
            read_provider(file, origins)
        except ProviderFileInvalid as wrong:
            yield from wrong.problems


def _folders(settings: Settings, own: Path | None) -> Folders:
    """The built-in ones need no deployment to be asked."""
    if settings.local:
        return folders_of(settings.installation, own)
    return ((BUILT_IN, NO_ORIGINS), *([(own, NO_ORIGINS)] if own else []))


def _told(provider: Provider) -> Value:
    by_consent = provider.grant is Grant.AUTHORIZATION_CODE
    return {
        "provider": provider.id,
        "name": provider.name,
        "grant": provider.grant.value,
        "unverified": provider.unverified,
        "checked": provider.checked,
        "sunset": provider.sunset or None,
        "rotation": provider.refresh.rotation.value,
        "reuse_grace_seconds": provider.refresh.reuse_grace_seconds,
        "revocation": provider.revocation.value if provider.revocation_url else None,
        "scopes": list(provider.authorization.default_scopes) if by_consent and provider.authorization else [],
        "inputs": [each.name for each in provider.credential_inputs],
        "sources": list(provider.sources),
    }


def _drawn(value: Value) -> RenderableType:
    rows = [
        [each["provider"], each["name"], each["grant"], "unverified" if each["unverified"] else "", each["checked"]]
        for each in value["providers"]
    ]
    return table(("provider", "name", "grant", "", "checked"), rows)


def _drawn_one(value: Value) -> RenderableType:
    told = {name: " ".join(map(str, each)) if isinstance(each, list) else each for name, each in value.items()}
    lines = fields((name.replace("_", " "), each) for name, each in told.items() if name != "unverified")
    warning = plain("unverified: nobody saw the live service do this", "yellow")
    return Group(lines, warning) if value["unverified"] else lines
