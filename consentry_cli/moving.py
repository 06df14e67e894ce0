"""`consentry connections export` and `import`: from one vault to another, without asking customers again."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import batched
from pathlib import Path
from time import time
from typing import Any, Final

import click
from rich.console import Group, RenderableType
from rich.progress import track

from consentry.transfer.arrive import MOST_ROWS, Fate
from consentry.transfer.sealing import Recipient
from consentry_cli.doctor.running import refreshing
from consentry_cli.exported import Entry, end, entries, exported_at, header
from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation
from consentry_cli.keys import new_file, private_key
from consentry_cli.output import Value, console, plain, show, table
from consentry_cli.settings import Settings, common, needs

_ROUNDS: Final = 3
_ON_REQUEST: Final = "export and import are deployed on request, with DeployTransfer=true (docs/export.md)."
_TWO_VAULTS: Final = (
    "This stack still refreshes. Where refresh tokens rotate, two vaults end each other's grants: stop the schedule of "
    "the dispatcher and the refresh function first (docs/export.md), or say --still-refreshing."
)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

type Json = dict[str, Any]


@click.command("export")
@click.option("--to", "recipient", required=True, type=_FILE, help="Whose: a public key (`consentry keys new`).")
@click.option("--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--integration", help="Only this integration's.")
@click.option(
    "--still-refreshing", is_flag=True, help="For grants that do not rotate: export while the stack refreshes."
)
@common
@needs
def export(settings: Settings, /, recipient: Path, output: Path, *, still_refreshing: bool, **only: str | None) -> int:
    """Export connections with their grants, sealed to a recipient. Read docs/export.md first: grants that rotate."""
    if output.exists():
        raise Failure(f"{output} is there already: name another file.", Exit.REFUSED, "file_exists")
    if not still_refreshing and refreshing(settings.installation):
        raise Failure(_TWO_VAULTS, Exit.REFUSED, "still_refreshing")
    chosen = Recipient.parse(recipient.read_text(errors="replace"))
    wish = {"operation": "export", "recipient": str(chosen), **{name: each for name, each in only.items() if each}}
    found, part = settings.installation, output.with_name(f"{output.name}.part")
    with new_file(part, mode=0o600) as opened:  # before anything leaves the vault
        head = header(found.stack, found.region, chosen.id, int(time()))  # what is refreshed from here on is newer
        rows, skipped = _exported(found, wish)
        lines = [head, *rows, end(len(rows))]
        opened.writelines(f"{json.dumps(line)}\n" for line in lines)
    os.replace(part, output)  # noqa: PTH105 - whole, or not at all
    value = {"file": str(output), "recipient": chosen.id, "exported": len(rows), "skipped": skipped}
    show(value, _drawn_export, as_json=settings.json)
    return Exit.PROBLEMS if skipped else Exit.OK


def _exported(installation: Installation, wish: Json) -> tuple[list[Json], list[Json]]:
    rows: list[Json] = []
    skipped: list[Json] = []
    with console(errors=True).status("exporting") as shown:
        place: object = None
        while True:
            told = _invoke(installation, wish | ({"next": place} if place else {}))
            rows += told["rows"]
            skipped += told["skipped"]
            shown.update(f"exporting: {len(rows)}")
            place = told["next"]
            if not place:
                return rows, skipped


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--key", "key_file", type=_FILE, help="Your private key, for an export of Consentry.")
@click.option("--integration", "renamed", multiple=True, metavar="OLD=NEW", help="Call an integration differently.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen to each row.")
@click.option("--replace", is_flag=True, help="Put rows in the place of connections that exist.")
@common
@needs
def import_(settings: Settings, /, file: Path, key_file: Path | None, renamed: tuple[str, ...], **flags: bool) -> int:
    """Import connections: every row is checked before the first is written, and one that is wrong stops all."""
    key = private_key(key_file) if key_file else None
    text = _read(file)
    found = entries(text, key, dict(map(_pair, renamed)))
    check = {"operation": "import", "dry_run": True, "replace": flags["replace"], "exported_at": exported_at(text)}
    fates = _checked(settings.installation, found, check)
    refused = any(each["fate"] == Fate.REFUSED for each in fates)
    if not flags["dry_run"] and not refused:
        fates = _written(settings.installation, found, {**check, "dry_run": False})
    value = {"dry_run": flags["dry_run"], "written": not (flags["dry_run"] or refused), "rows": fates}
    show(value, _drawn_import, as_json=settings.json)
    if any(each["fate"] == Fate.LATER for each in fates):
        return Exit.UNAVAILABLE
    return Exit.PROBLEMS if any(each["fate"] == Fate.REFUSED for each in fates) else Exit.OK


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise Failure(f"{file} cannot be read as UTF-8.", Exit.USAGE, "file_unreadable") from None


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not sign or not old or not new:
        raise click.UsageError("--integration must be OLD=NEW")
    return old, new


def _checked(installation: Installation, found: Sequence[Entry], wish: Json) -> list[Json]:
    """Ask about all rows that can be read; those that cannot are refused by themselves."""
    told = dict(_asked(installation, [each for each in found if not each.problem], wish, "checking"))
    return [_fate(each, told.get(each.line) or {"fate": Fate.REFUSED, "why": each.problem}) for each in found]


def _written(installation: Installation, found: Sequence[Entry], wish: Json) -> list[Json]:
    """Write all; what there was no time for is sent again. Rows that were written meanwhile are recognised."""
    told: dict[int, Json] = {}
    waiting = list(found)
    for _ in range(_ROUNDS):
        try:
            told.update(_asked(installation, waiting, wish, "writing"))
        except Failure as failure:
            again = "What was written stays: send the same file again for the rest."
            raise Failure(f"{failure.sentence} {again}", failure.exit_code, failure.code) from None
        waiting = [each for each in waiting if told[each.line]["fate"] == Fate.LATER]
        if not waiting:
            break
    return [_fate(each, told[each.line]) for each in found]


def _asked(installation: Installation, found: Sequence[Entry], wish: Json, what: str) -> Iterator[tuple[int, Json]]:
    batches, screen = list(batched(found, MOST_ROWS, strict=False)), console(errors=True)
    for batch in track(batches, what, console=screen, transient=True, disable=not screen.is_terminal):
        rows = [{"id": each.id, "row": each.row} for each in batch]
        answer = _invoke(installation, {**wish, "rows": rows})
        yield from zip((each.line for each in batch), answer["rows"], strict=True)


def _fate(entry: Entry, told: Mapping[str, str]) -> Json:
    tenant, integration, name = (str(each) if each is not None else "" for each in entry.place)
    place = {"tenant": tenant, "integration": integration, "name": name}
    return {"line": entry.line, **place, "fate": str(told["fate"]), "why": told.get("why", "")}


def _invoke(installation: Installation, event: Mapping[str, object]) -> Json:
    name = installation.output("TransferFunctionName", _ON_REQUEST)
    answer = installation.aws.call("lambda", "invoke", FunctionName=name, Payload=json.dumps(event).encode())
    told: Json = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        sentence = f"The function {name} failed: its log has the reason."
        raise Failure(sentence, Exit.UNAVAILABLE, "function_failed")
    if "error" in told:
        invalid = str(told["error"]).startswith(("invalid", "bad"))
        raise Failure(str(told["message"]), Exit.USAGE if invalid else Exit.UNAVAILABLE, str(told["error"]))
    return told


def _drawn_export(value: Value) -> RenderableType:
    done = plain(f"{value['exported']} connections in {value['file']}, for {value['recipient']} alone.")
    if not value["skipped"]:
        return done
    rows = [[each["tenant"], f"{each['integration']}/{each['name']}", each["why"]] for each in value["skipped"]]
    return Group(done, plain("Left out:"), table(("tenant", "connection", "why"), rows))


def _drawn_import(value: Value) -> RenderableType:
    rows = [
        [each["line"], each["tenant"], f"{each['integration']}/{each['name']}", each["fate"], each["why"]]
        for each in value["rows"]
    ]
    counts = Counter(each["fate"] for each in value["rows"])
    summed = ", ".join(f"{count} {fate}" for fate, count in counts.items()) or "no rows"
    verdict = "" if value["written"] else " Nothing was written."
    if counts[Fate.LATER]:
        verdict = " Some rows had to wait: send the same file again."
    return Group(table(("line", "tenant", "connection", "", "why"), rows), plain(f"{summed}.{verdict}"))
