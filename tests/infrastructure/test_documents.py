"""What the documents point at is there: files, headings, make targets, options."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.infrastructure.transformed import ROOT

LINK: Final = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
MAKE: Final = re.compile(r"(?:^|[`;&|] *|&& )make ([a-z][a-z-]+)", re.MULTILINE)
CODE: Final = re.compile(r"`((?:functions|layers|dev|tests|docs|events|examples|benchmarks|torture)/[\w./-]+)`")


@cache
def documents() -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return tuple(ROOT / line for line in listed.stdout.splitlines())


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {anchor(each) for each in HEADING.findall(FENCE.sub("", document.read_text()))}


def links(document: Path) -> Iterator[str]:
    for link, image in LINK.findall(FENCE.sub("", document.read_text())):
        yield link or image


def dead(document: Path, link: str) -> bool:
    if link.startswith(("https://", "http://", "mailto:")):
        return False
    path, _, wanted = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return True
    return bool(wanted) and wanted not in anchors(target)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", documents(), ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [link for link in links(document) if dead(document, link)] == []


@pytest.mark.parametrize("document", documents(), ids=named)
def test_every_make_target_exists(document: Path) -> None:
    known = set(re.findall(r"^([a-z][a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [target for target in MAKE.findall(document.read_text()) if target not in known] == []


@pytest.mark.parametrize("document", documents(), ids=named)
def test_every_file_named_in_code_exists(document: Path) -> None:
    assert [each for each in CODE.findall(document.read_text()) if not (ROOT / each).exists()] == []


def test_the_repository_has_the_documents_that_this_looks_at() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/refresh.md", "docs/runbook/README.md"} <= set(map(named, documents()))


def test_a_dead_link_would_be_seen(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# One `two`\n[here](#one-two) [there](b.md) [nowhere](#three) ![picture](c.png)\n```\n# no\n```\n"
    )
    assert [link for link in links(document) if dead(document, link)] == ["b.md", "#three", "c.png"]
