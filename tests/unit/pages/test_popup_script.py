"""`connect.js`: its size and language, and its facts in Node, with windows, channels and time that are played."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from consentry.connect.tickets import Tickets
from consentry.model import Secret
from consentry.pages import script
from consentry.pages.script import popup_script

FACTS = Path(__file__).with_name("connect.test.mjs")
SCRIPT = Path(script.__file__).with_name("connect.js")


def code() -> str:
    return re.sub(r"//.*", "", popup_script())


def test_it_is_less_than_4_kb_as_it_travels() -> None:
    assert len(popup_script().encode()) < 4096
    assert popup_script().isascii()


def test_it_is_written_in_the_language_of_2019_and_loads_nothing() -> None:
    assert not re.search(r"\?\.|\?\?|\|\|=|&&=|#\w|\bimport\b|\beval\b|innerHTML|document\.write", code())


def test_it_names_no_target_but_the_origin_that_it_was_given() -> None:
    assert re.findall(r"postMessage\((.*)\)", code()) == ["{ ...message, session }, origin"]
    assert '"*"' not in code()


def test_what_it_does_in_every_case_is_told_by_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("NOT TESTED: connect.js outside of a browser. There is no node; apt-get install nodejs")
    issued = (Tickets(Secret("CNRY-mac-key")).ticket(f"CNRY_-aZ09{number:033}") for number in range(1000))
    ticket, session = next(each for each in issued if {"-", "_"} <= set(each[1]))
    told = subprocess.run(
        [node, "--test", "--test-reporter=tap", FACTS],
        env={"PATH": os.environ["PATH"], "SCRIPT": str(SCRIPT), "TICKET": ticket, "SESSION": session},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stdout[-4000:]
    counted = {kind: int(number) for kind, number in re.findall(r"^# (\w+) (\d+)$", told.stdout, re.MULTILINE)}
    assert counted["pass"] == counted["tests"] > 30
