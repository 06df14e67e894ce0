"""`consentry doctor`: everything that can be wrong, looked at once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.progress import track
from rich.text import Text

from consentry_cli.doctor import registered, running, storage
from consentry_cli.doctor.finding import Check, Finding, Level, Looked, looked
from consentry_cli.failures import Exit
from consentry_cli.installation import Installation
from consentry_cli.output import Value, console, plain, show
from consentry_cli.settings import Settings, common, needs

CHECKS: Final = (
    Check("the stack is deployed whole", storage.stack_status),
    Check("this machine's clock is right", running.clock),
    Check("the API answers", running.api),
    Check("functions and their layers are there", running.functions),
    Check("the dispatcher is scheduled", running.schedule),
    Check("tables are whole, and can be restored", storage.tables),
    Check("keys can be used", storage.keys),
    Check("no message waits in vain", storage.queues),
    Check("no alarm is ringing", running.alarms),
    Check("what is due is refreshed", running.overdue),
    Check("records are of the stack's epoch", storage.epochs),
    Check("integrations can be used", registered.registrations),
    Check("integrations have their secrets", registered.secrets),
    Check("providers answer", registered.health),
    Check("no customer is waited for", registered.attention),
)
_AT_ONCE: Final = 5
_MARKS: Final = {Level.PROBLEM: ("✗", "red"), Level.WARNING: ("!", "yellow"), Level.UNKNOWN: ("?", "yellow")}


@click.command()
@common
@needs
def doctor(settings: Settings) -> int:
    """Look at the whole deployment and say in plain words what is wrong and what to do. Changes nothing."""
    seen = list(_looked(settings.installation, console(errors=True), CHECKS))
    show(_told(settings.installation, seen), _drawn, as_json=settings.json)
    return exit_code([finding for each in seen for finding in each.findings])


def exit_code(findings: Sequence[Finding]) -> Exit:
    """Return 1 for a problem, 4 if something could not be looked at; warnings alone are well."""
    levels = {each.level for each in findings}
    if Level.PROBLEM in levels:
        return Exit.PROBLEMS
    return Exit.REFUSED if Level.UNKNOWN in levels else Exit.OK


def _looked(installation: Installation, screen: Console, checks: Sequence[Check]) -> Iterator[Looked]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        seen = pool.map(partial(looked, installation=installation), checks)
        yield from track(
            seen, "looking", total=len(checks), console=screen, transient=True, disable=not screen.is_terminal
        )


def _told(installation: Installation, seen: Sequence[Looked]) -> Value:
    findings = [
        {"check": each.title, "code": found.code, "level": found.level.value, "what": found.what, "do": found.remedy}
        for each in seen
        for found in each.findings
    ]
    well = [each.title for each in seen if not each.findings]
    healthy = not any(each["level"] == Level.PROBLEM for each in findings)
    return {
        "stack": installation.stack,
        "region": installation.region,
        "healthy": healthy,
        "findings": findings,
        "well": well,
    }


def _drawn(value: Value) -> RenderableType:
    lines = [Text.assemble(("✓ ", "green"), plain(title)) for title in value["well"]]
    for found in value["findings"]:
        mark, colour = _MARKS[Level(found["level"])]
        lines.append(Text.assemble((f"{mark} ", colour), plain(found["what"], "bold"), " ", plain(found["do"])))
    problems = sum(found["level"] == Level.PROBLEM for found in value["findings"])
    verdict = f"{problems} problem{'s' * (problems != 1)}." if problems else "Nothing is wrong that doctor can see."
    return Group(*lines, Text(verdict, "bold red" if problems else "bold green"))
