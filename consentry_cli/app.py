"""All commands of `consentry`, put together."""

import click
from click.shell_completion import get_completion_class

from consentry_cli.connections import connections
from consentry_cli.doctor.command import doctor
from consentry_cli.events import events
from consentry_cli.integrations import integrations
from consentry_cli.keys import keys
from consentry_cli.moving import export, import_
from consentry_cli.providers import providers
from consentry_cli.replacing import replace
from consentry_cli.sessions import sessions
from consentry_cli.settings import common
from consentry_cli.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="consentry", message="%(prog)s %(version)s")
@common
def consentry() -> None:
    """Consentry, for whoever operates it. `doctor` says whether all is well. Exit codes: docs/cli.md."""


@consentry.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands: eval "$(consentry completion bash)"."""
    made = get_completion_class(shell)
    if made is not None:
        click.echo(made(consentry, {}, "consentry", "_CONSENTRY_COMPLETE").source())


for command in (connections, doctor, events, integrations, keys, providers, sessions, token):
    consentry.add_command(command)
for command in (export, import_):
    connections.add_command(command)
keys.add_command(replace)
