"""What a person reads who sets something up wrongly: one sentence that says what to do, and exit status 2."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BUILT_IN: Final = ROOT / "layers/consentry/consentry/catalogue/providers"

type Done = subprocess.CompletedProcess[str]


def run(*command: str, cwd: Path = ROOT, **environment: str) -> Done:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_", "MAKE"))}
    return subprocess.run(
        command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What make needs of a fresh clone."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("functions", "layers"):
        (tmp_path / name).mkdir()
    return tmp_path


def words(done: Done) -> list[str]:
    """Return the lines that a person reads, without make's own last one."""
    return [line for line in done.stderr.splitlines() if not line.startswith("make")]


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


def test_another_python_is_named_with_a_remedy(clone: Path) -> None:
    done = run("make", ".venv/synced", f"PYTHON={program(clone / 'python3.12', 'exit 1')}", cwd=clone)
    assert done.returncode == 2
    assert words(done) == [
        "Python 3.13 is needed and was not found: install it, or name it with make PYTHON=/path/to/python3.13"
    ]
    assert not (clone / ".venv").exists()


def test_an_index_out_of_reach_is_said_and_leaves_nothing_half_made(clone: Path) -> None:
    # This Python makes an environment whose installer fails.
    makes = f"mkdir -p .venv/bin; cp {clone}/pip .venv/bin/python"
    script = f'[ "$1" = -m ] && [ "$2" = venv ] || exec {sys.executable} "$@"; {makes}'
    program(clone / "pip", "exit 1")
    done = run("make", ".venv/synced", f"PYTHON={program(clone / 'python3.13', script)}", cwd=clone)
    assert done.returncode == 2
    assert words(done)[-1] == "uv could not be installed: is the package index reachable?"
    assert not (clone / ".venv").exists()


def test_packages_that_cannot_be_fetched_are_said_and_tried_again_next_time(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    program(clone / ".venv/bin/uv", "exit 1")
    done = run("make", ".venv/synced", f"PYTHON={sys.executable}", cwd=clone)
    assert done.returncode == 2
    assert words(done)[-1] == "the packages could not be installed: is the package index reachable?"
    assert not (clone / ".venv/synced").exists()


def test_a_lock_that_is_not_what_the_project_asks_for_is_said(clone: Path) -> None:
    asked = (ROOT / "pyproject.toml").read_text().replace('"requests>=', '"idna", "requests>=')
    (clone / "pyproject.toml").write_text(asked)
    done = run("make", "lint", "-o", ".venv/synced", f"BIN={ROOT}/.venv/bin", cwd=clone, UV_OFFLINE="1")
    assert done.returncode == 2
    assert words(done)[-1] == "uv.lock is not what pyproject.toml asks for: run .venv/bin/uv lock"


def test_a_processor_that_lambda_does_not_have_is_said() -> None:
    done = run("make", "build", "ARCHITECTURE=mips", "-o", ".venv/synced")
    assert done.returncode == 2
    assert words(done) == ["ARCHITECTURE must be arm64 or x86_64, not 'mips'"]


def dev(**options: str) -> Done:
    return run(sys.executable, "-m", "dev", "run", cwd=ROOT, PORT="0", **options)


def test_a_provider_file_with_a_mistake_is_named_with_the_place(tmp_path: Path) -> None:
    text = (BUILT_IN / "hubspot.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('id = "hubspot"', 'id = "mine"').replace("https://", "http://", 1))
    done = dev(PROVIDERS=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert [line for line in words(done) if line.startswith(str(tmp_path / "mine.toml"))]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Resources: {", "is not YAML"),
        ("Description: nothing", "is not a template: it has no Resources"),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: x, Timeuot: 3}}}",
            "property Timeuot not defined",
        ),
    ],
)
def test_a_template_that_does_not_transform_is_said(tmp_path: Path, template: str, said: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(template)
    done = dev(TEMPLATE=str(file), BARE="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert [line for line in words(done) if line.startswith("broken.yaml") and said in line]
