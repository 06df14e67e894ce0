"""The runbook's pages and what they name: alarms, log lines, outputs, words of the protocol, and numbers."""

import json
import math
import re
import subprocess
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from consentry import log
from consentry.maintain.wish import wish_of
from consentry.model import Cause, Status
from consentry.oauth.wire import FailureClass
from consentry.refresh import policy
from consentry.refresh.dispatch import ENQUEUED_SECONDS
from consentry.refresh.health import Limits
from tests.infrastructure.transformed import ROOT, TEMPLATE, resources, source, transformed

RUNBOOK = ROOT / "docs" / "runbook"
INDEX = "README.md"
PAGES = {path.name: path.read_text() for path in sorted(RUNBOOK.glob("*.md"))}
LAYER = "\n".join(path.read_text() for path in sorted((ROOT / "layers/consentry/consentry").rglob("*.py")))
# What Lambda and its Python runtime write into the same log groups.
PLATFORM = {"@timestamp", "@message", "message", "level", "type", "record.status", "errorType", "errorMessage"}
QUERY_WORDS = {
    "and", "as", "asc", "bin", "by", "count", "count_distinct", "desc", "earliest", "fields", "filter", "ispresent",
    "latest", "like", "limit", "or", "sort", "stats",
}  # fmt: skip


def found(pattern: str) -> Iterator[tuple[str, Any]]:
    """Every match in every page: (page, group or groups)."""
    for name, text in PAGES.items():
        for match in re.findall(pattern, text):
            yield name, match


def queries() -> list[tuple[str, str]]:
    """(function, query) of every `insights` on a page."""
    return [match for _, match in found(r"insights ([a-z-]+) \d+ '([^']+)'")]


def test_every_alarm_names_a_page_that_exists() -> None:
    alarms = resources(source(), "AWS::CloudWatch::Alarm")
    named = {
        name: re.findall(r"\(docs/runbook/([a-z-]+\.md)\)", each["AlarmDescription"]) for name, each in alarms.items()
    }
    assert named
    assert [name for name, pages in named.items() if len(pages) != 1 or pages[0] not in PAGES] == []


def test_the_index_has_every_alarm_and_every_page() -> None:
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", PAGES[INDEX]))
    assert linked == set(PAGES) - {INDEX}
    alarms = resources(source(), "AWS::CloudWatch::Alarm")
    assert [name for name in alarms if f"`{name}`" not in PAGES[INDEX]] == []


def test_every_link_leads_somewhere() -> None:
    broken = [(page, link) for page, link in found(r"\]\(([^)#:]+)\)") if not (RUNBOOK / link).exists()]
    assert broken == []


def test_every_message_that_is_looked_for_is_logged() -> None:
    wanted = {message for _, message in found(r'message = "([^"]+)"')}
    assert wanted
    assert [message for message in wanted if f'"{message}"' not in LAYER] == []


def test_queries_ask_for_fields_that_are_logged_in_groups_that_exist() -> None:
    groups = {str(group["LogGroupName"]["Fn::Sub"]) for group in resources(source(), "AWS::Logs::LogGroup").values()}
    unknown = []
    for function, query in queries():
        assert f"/aws/lambda/${{AWS::StackName}}-{function}" in groups
        words = re.findall(r"@?[A-Za-z_][A-Za-z_.]*", re.sub(r'"[^"]*"|/[^/]*/|\b\d+[mh]?\b', "", query))
        unknown += [word for word in words if word not in log.ALLOWED | PLATFORM | QUERY_WORDS]
    assert queries()
    assert unknown == []


def test_every_output_and_resource_that_is_asked_for_exists() -> None:
    template = transformed()
    wanted = {output for _, output in found(r"\b(?:out|mapping) ([A-Z]\w+)")}
    assert wanted - set(template["Outputs"]) == set()
    assert {name for _, name in found(r"\bresource ([A-Z]\w+)")} - set(template["Resources"]) == set()


@pytest.mark.parametrize("words", [policy.Outcome, Cause, Status, FailureClass])
def test_the_index_explains_every_word_that_an_operator_meets(words: type[StrEnum]) -> None:
    assert [word for word in words if not re.search(rf"`{word}[:`]", PAGES[INDEX])] == []


def test_words_in_backticks_are_words_of_the_code() -> None:
    known = LAYER + TEMPLATE.read_text()
    words = {word for _, word in found(r"`([a-z]+(?:_[a-z]+)+):?`")}
    assert words
    assert [word for word in words if not re.search(rf"\b{word}\b", known)] == []


def test_every_event_for_maintain_is_one_that_it_takes() -> None:
    events = [event for _, event in found(r"maintain '(\{.*\})'")]
    assert events
    for event in events:
        wish_of(json.loads(re.sub(r"'\$\w+'", "1795320000", event)), now=2_000_000_000)


@pytest.mark.parametrize("page", PAGES)
def test_what_stands_in_a_block_is_shell(page: str, tmp_path: Path) -> None:
    script = tmp_path / "page.sh"
    blocks = re.findall(r"^```\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    script.write_text(
        "\n".join(re.sub(r'^\{"operation".*|<[\w ]+>', "x", block, flags=re.MULTILINE) for block in blocks)
    )
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, timeout=10, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def _redrive(queue: str) -> tuple[int, int]:
    properties = resources(source(), "AWS::SQS::Queue")[queue]
    return properties["RedrivePolicy"]["maxReceiveCount"], properties["VisibilityTimeout"]


def test_the_numbers_are_those_of_the_code() -> None:
    limits = Limits()
    hints, hidden = _redrive("RefreshQueue")
    tries, pause = _redrive("EscrowQueue")
    pauses = [policy.unprepared_pause_seconds(failures) // 60 for failures in range(6)]
    assert f"At least {limits.least_gone} connections" in PAGES["integration-held.md"]
    assert f"more than {limits.gone_share * 100:.0f} %" in PAGES["integration-held.md"]
    assert f"the hold ends {limits.hold_seconds // 3600} hours after" in PAGES["integration-held.md"]
    assert f"about {math.ceil(hints * hidden / 60)} minutes" in PAGES["dead-letters.md"]
    assert f"every {pause // 60} minutes, {tries} times" in PAGES["escrow.md"]
    assert tries * pause == 24 * 3600
    assert hidden == ENQUEUED_SECONDS
    assert f"after {policy.LEASE + policy.SETTLE} seconds" in PAGES[INDEX]
    assert pauses == [1, 2, 4, 8, 15, 15]
    assert "after 1, 2, 4 and 8, then every 15 minutes" in PAGES["not-attempted.md"]
