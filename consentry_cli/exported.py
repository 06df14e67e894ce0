"""Files of exported connections: our own (docs/export.md), and another vault's JSON."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from consentry.errors import ConsentryError
from consentry.transfer.row import VERSION, opened_row
from consentry.transfer.sealing import PrivateKey
from consentry_cli.failures import Exit, Failure

FORMAT: Final = "consentry-export"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a file: the line it stands in (or its number in a list), and what is wrong with it, if anything is.

    `id` recognises the row when it is imported again.
    """

    line: int
    id: str
    row: Mapping[str, Any]
    problem: str = ""

    @property
    def place(self) -> tuple[object, ...]:
        return (self.row.get("tenant"), self.row.get("integration"), self.row.get("name", "default"))


def header(stack: str, region: str, recipient_id: str, now: int) -> dict[str, Any]:
    told = {"stack": stack, "region": region, "recipient": recipient_id, "created_at": now}
    return {"format": FORMAT, "version": VERSION, **told}


def end(count: int) -> dict[str, int]:
    return {"end": count}


def entries(text: str, key: PrivateKey | None, renamed: Mapping[str, str]) -> list[Entry]:
    """Read a whole file; raise `Failure` if it is none that can be read at all. A row may have a `problem`."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    first = _object(lines[0][1]) if lines else None
    if isinstance(first, dict) and first.get("format") == FORMAT:
        found = list(_ours(first, lines[1:], key))
    else:
        found = list(_foreign(text, lines))
    found = [_renamed(each, renamed) for each in found]
    return list(_without_doubles(found))


def exported_at(text: str) -> int | None:
    """Return when an export of Consentry was made; of another vault's file nobody knows."""
    first = _object(text.split("\n", 1)[0])
    moment = first.get("created_at") if isinstance(first, dict) and first.get("format") == FORMAT else None
    return moment if isinstance(moment, int) else None


def _ours(head: Mapping[str, Any], lines: Sequence[tuple[int, str]], key: PrivateKey | None) -> Iterator[Entry]:
    if head.get("version") != VERSION:
        raise _unreadable(f"it is of version {head.get('version')!r:.20}, and this is for {VERSION}")
    if key is None:
        raise Failure("It is sealed: name the private key with --key.", Exit.USAGE, "key_missing")
    if head.get("recipient") != key.recipient.id:
        raise _unreadable(f"it is sealed to {head.get('recipient')!r:.20}, and this key is {key.recipient.id}")
    *rows, last = lines or [(1, "")]
    closing = _object(last[1])
    if not isinstance(closing, dict) or closing.get("end") != len(rows):
        raise _unreadable("it is not whole: its last line does not say how many rows there are")
    for number, line in rows:
        yield _opened(number, line, key)


def _opened(number: int, line: str, key: PrivateKey) -> Entry:
    told, row_id = _object(line), hashlib.sha256(line.strip().encode()).hexdigest()
    if not isinstance(told, dict):
        return Entry(number, row_id, {}, "it is not a JSON object")
    try:
        return Entry(number, row_id, opened_row(told, key))
    except ConsentryError as error:
        return Entry(number, row_id, {}, error.public)


def _foreign(text: str, lines: Sequence[tuple[int, str]]) -> Iterator[Entry]:
    """Read what other vaults give: a list, an object with `connections`, or one object in each line.

    The shape is that of Nango's API (https://nango.dev/docs/reference/api/connection/get).
    """
    whole = _object(text)
    if isinstance(whole, dict) and isinstance(whole.get("connections"), list):
        whole = whole["connections"]
    elif isinstance(whole, dict):
        whole = [whole]
    found = list(enumerate(whole, start=1)) if isinstance(whole, list) else [(at, _object(line)) for at, line in lines]
    if not found or not any(isinstance(told, dict) for _, told in found):
        raise _unreadable("it is neither an export of Consentry nor JSON of connections")
    for number, told in found:
        yield _converted(number, told)


def _converted(number: int, told: object) -> Entry:
    credentials = told.get("credentials") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(credentials, dict):
        return Entry(number, _id_of({}), {}, "it is not an object with `credentials`")
    tokens = {name: credentials.get(name) for name in ("access_token", "refresh_token")}
    secret = {"grant": {"refresh_token": tokens["refresh_token"]} if tokens["refresh_token"] else {}}
    secret |= {"access_token": tokens["access_token"]} if tokens["access_token"] else {}
    clear = {"v": VERSION, "tenant": told.get("connection_id"), "integration": told.get("provider_config_key")}
    until = _seconds(credentials.get("expires_at"))
    row = {**clear, "name": "default", **({"expires_at": until} if until else {}), "secret": secret}
    return Entry(number, _id_of(row), row)


def _id_of(row: Mapping[str, Any]) -> str:
    """Of its tokens as well, so that newer ones are another row; they cannot be guessed (RFC 6749 section 10.10)."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _seconds(moment: object) -> int | None:
    """Read ISO 8601, in UTC unless it says another zone, or epoch seconds; what is neither says nothing."""
    if isinstance(moment, int) and not isinstance(moment, bool):
        return moment
    try:
        read = datetime.fromisoformat(moment) if isinstance(moment, str) else None
    except ValueError:
        return None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()) if read else None


def _renamed(entry: Entry, renamed: Mapping[str, str]) -> Entry:
    name = entry.row.get("integration")
    if not isinstance(name, str) or name not in renamed:
        return entry
    return Entry(entry.line, entry.id, {**entry.row, "integration": renamed[name]}, entry.problem)


def _without_doubles(found: Sequence[Entry]) -> Iterator[Entry]:
    seen: dict[tuple[object, ...], int] = {}
    for each in found:
        place = tuple(map(repr, each.place))
        if each.row and place in seen:
            problem = f"the same connection stands in line {seen[place]} already"
            yield Entry(each.line, each.id, each.row, problem)
        else:
            seen[place] = each.line
            yield each


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unreadable(why: str) -> Failure:
    return Failure(f"The file cannot be imported: {why}.", Exit.USAGE, "file_unreadable")
