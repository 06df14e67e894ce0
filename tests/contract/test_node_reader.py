"""Readers for Node on the published vectors: the example, with AWS's Encryption SDK, and one with nothing but Node."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from consentry.record import READ_ATTRIBUTES
from tests.support.node_packages import NodePackages, node
from tests.support.own_environment import NotInstalled

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "node-reader"
FACTS = Path(__file__).with_name("tokens.test.mjs")
PLAIN = FACTS.with_name("plain.test.mjs")
VECTORS = ROOT / "tests" / "vectors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages."""
    place = tmp_path_factory.mktemp("node-reader")
    try:
        NodePackages("node-reader", SOURCE).beside(place, [FACTS])
    except NotInstalled as reason:
        pytest.skip(f"NOT TESTED: the reader for Node: {reason}")
    return place


def facts_told(program: Path, place: Path) -> int:
    """Run a file of facts by Node's own runner; return how many there were, all of them true."""
    environment = {
        "PATH": os.environ["PATH"],
        "RECORDS": str(VECTORS / "records.json"),
        "ENVELOPES": str(VECTORS / "envelope.json"),
        "ATTRIBUTES": " ".join(READ_ATTRIBUTES),
    }
    told = subprocess.run(
        [node() or "node", "--test", "--test-reporter=tap", program],
        cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-2000:]
    counted = {kind: int(number) for kind, number in re.findall(r"^# (\w+) (\d+)$", told.stdout, re.MULTILINE)}
    assert counted["pass"] == counted["tests"]
    return counted["pass"]


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / "records.json").read_text(encoding="utf-8"))["cases"]
    return found


def test_the_reader_for_node_reads_every_vector_as_it_says(place: Path) -> None:
    assert facts_told(Path(FACTS.name), place) > len(cases()) + 25


@pytest.mark.skipif(node() is None, reason="NOT TESTED: the format with nothing but Node: there is no node")
def test_what_the_document_says_of_a_message_is_enough_to_open_it(tmp_path: Path) -> None:
    assert facts_told(PLAIN, tmp_path) == len([each for each in cases() if "message" in each])


def test_its_packages_are_held_to_hashes_and_come_from_wherever_npm_is_told_to_fetch() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    installed = {name: each for name, each in packages.items() if name}
    assert [name for name, each in installed.items() if not each["integrity"].startswith("sha512-")] == []
    assert [name for name, each in installed.items() if "resolved" in each] == []
    assert {name: installed[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_packages_that_cannot_be_fetched_are_a_reason_to_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if node() is None:
        pytest.skip("NOT TESTED: the reader for Node: there is no node")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(NotInstalled, match="is the package registry reachable"):
        NodePackages("node-reader", SOURCE, folder=tmp_path).beside(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled, match="no node"):
        NodePackages("node-reader", SOURCE, folder=tmp_path).beside(tmp_path)
