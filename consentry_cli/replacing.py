"""`consentry keys replace`: what other keys sealed is sealed anew, pass after pass, until nothing is under them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import click
from rich.console import Group, RenderableType
from rich.progress import Progress

from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation
from consentry_cli.output import Value, console, moment, plain, show, table
from consentry_cli.settings import Settings, common, needs

MOST_PASSES: Final = 6
_COUNTS: Final = ("seen", "replaced", "already", "raced", "left")
_ON_REQUEST: Final = "no second key is named: give the parameters OtherAccessKeyArn or OtherGrantKeyArn (docs/keys.md)."

type Json = dict[str, Any]
type Invoke = Callable[[Json], Json]


@dataclass(slots=True)
class Pass:
    """Once through the whole table, by as many invocations as it takes."""

    counts: Counter[str] = field(default_factory=Counter)
    unreadable: list[Json] = field(default_factory=list)
    waiting: Json = field(default_factory=dict)

    def take(self, answer: Mapping[str, Any]) -> None:
        self.counts.update({name: answer[name] for name in _COUNTS})
        self.unreadable += answer["unreadable"]
        self.waiting = answer["waiting"] or {}

    @property
    def found_nothing(self) -> bool:
        """Whether no record had anything under another key, at the moment in which it was looked at."""
        return not (self.counts["replaced"] or self.counts["raced"] or self.counts["left"] or self.unreadable)

    @property
    def waits_for_nothing(self) -> bool:
        return not (self.waiting["escrow"] or self.waiting["flows"])


def is_clear(before: Pass, last: Pass) -> bool:
    """Whether nothing is under another key any more.

    What waited in escrow may have been written behind the back of the pass that went on meanwhile. So nothing may have
    waited when the last one began, and that one must have found nothing.
    """
    return before.waits_for_nothing and last.found_nothing and last.waits_for_nothing


def passes(invoke: Invoke, *, dry_run: bool, most: int = MOST_PASSES) -> Iterator[Pass]:
    """Go through the table until nothing is under another key, or nothing changes; to look takes two passes."""
    before = _passed(invoke, dry_run=dry_run)
    yield before
    for _ in range(most - 1):
        last = _passed(invoke, dry_run=dry_run)
        yield last
        if is_clear(before, last) or not (last.counts["replaced"] or last.counts["raced"]):
            return
        before = last


def _passed(invoke: Invoke, *, dry_run: bool) -> Pass:
    passed, place = Pass(), None
    while True:
        answer = invoke({"operation": "replace", "dry_run": dry_run, "next": place})
        passed.take(answer)
        place = answer["next"]
        if place is None:
            return passed


@click.command("replace")
@click.option("--dry-run", is_flag=True, help="Only say what is under other keys.")
@common
@needs
def replace(settings: Settings, /, dry_run: bool) -> int:
    """Seal anew with the present keys what other keys sealed. May be repeated, and stopped, at any time.

    Readers and refreshes go on meanwhile. docs/keys.md has the steps before and after.
    """
    value = _replaced(settings.installation, dry_run=dry_run)
    show(value, _drawn, as_json=settings.json)
    return Exit.OK if value["clear"] else Exit.PROBLEMS


def _replaced(installation: Installation, *, dry_run: bool) -> Value:
    name = installation.output("RekeyFunctionName", _ON_REQUEST)
    screen = console(errors=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as shown:
        bar = shown.add_task("looking" if dry_run else "replacing", total=_size(installation))

        def invoke(event: Json) -> Json:
            answer = _invoke(installation, name, event)
            shown.update(bar, completed=0) if event["next"] is None else None
            shown.advance(bar, answer["seen"])
            return answer

        made = list(passes(invoke, dry_run=dry_run))
    last = made[-1]
    replaced = sum(each.counts["replaced"] for each in made)
    raced = sum(each.counts["raced"] for each in made)
    counts = {"seen": last.counts["seen"], "replaced": replaced, "raced": raced, "left": last.counts["left"]}
    clear = len(made) > 1 and is_clear(made[-2], last)
    return {
        "dry_run": dry_run, "clear": clear, "passes": len(made), **counts,
        "unreadable": last.unreadable, "waiting": last.waiting,
    }  # fmt: skip


def _size(installation: Installation) -> int | None:
    """Return about how many records there are, as AWS counts them a few times a day; None if it does not say."""
    with suppress(Failure):
        name = installation.output("ConnectionsTableName")
        told = installation.aws.call("dynamodb", "describe_table", TableName=name)
        return int(told["Table"].get("ItemCount", 0)) or None
    return None


def _invoke(installation: Installation, name: str, event: Json) -> Json:
    answer = installation.aws.call("lambda", "invoke", FunctionName=name, Payload=json.dumps(event).encode())
    told: Json = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        sentence = f"The function {name} failed: its log has the reason. Say the same again; nothing is done twice."
        raise Failure(sentence, Exit.UNAVAILABLE, "function_failed")
    if "error" in told:
        raise Failure(f"{told['message']} What was replaced stays so.", Exit.UNAVAILABLE, str(told["error"]))
    return told


def _drawn(value: Value) -> RenderableType:
    done = f"{value['seen']} records, {value['replaced']} sealed anew, {value['left']} left under another key."
    lines: list[RenderableType] = [plain(done)]
    if value["unreadable"]:
        rows = [[each["tenant"], each["connection"], each["why"]] for each in value["unreadable"]]
        lines += [plain("Not readable, and left as they are:"), table(("tenant", "connection", "why"), rows)]
    waiting = value["waiting"]
    if waiting["escrow"]:
        lines.append(plain("New tokens wait in escrow: say this again once that is empty (docs/runbook/escrow.md)."))
    if waiting["flows"]:
        until = moment(waiting["until"])
        lines.append(plain(f"{waiting['flows']} consents under way are under another key, until {until} at most."))
    if value["clear"]:
        lines.append(plain("Nothing is under another key: deploy without it (docs/keys.md).", "bold green"))
    return Group(*lines)
