"""What a build is for: which machine, which processor, and when it is made again."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from samcli.yamlhelper import yaml_dump, yaml_parse  # type: ignore[import-untyped]  # published without types

from dev import build, pin

ROOT = Path(__file__).parents[2]
MACHINE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
LAYER = """
ARCHITECTURE ?= this machine's
build-Mine:
\tmkdir "$(ARTIFACTS_DIR)/python"
\tprintf '%s' "$(ARCHITECTURE)$(PYTHON_PLATFORM)$(PROVIDERS)" > "$(ARTIFACTS_DIR)/python/told"
"""


def quiet(_line: str) -> None:
    """Progress is for people."""


def as_sam_writes_it() -> str:
    text: str = yaml_dump(yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8")))
    return text


def test_a_layer_of_the_local_stack_is_for_this_machine_whatever_a_deployment_was_built_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "Makefile").write_text(LAYER, encoding="utf-8")
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    monkeypatch.setattr(build, "runtime", lambda _say: tmp_path)
    for option in ("ARCHITECTURE", "PYTHON_PLATFORM", "PROVIDERS"):
        monkeypatch.setenv(option, "another's")
    (folder,) = build.build({"Mine": tmp_path / "layer"}, quiet).layers["Mine"]
    assert (folder / "told").read_text(encoding="utf-8") == "this machine's"


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_a_built_template_allows_the_processor_that_it_was_built_for_and_no_other(
    tmp_path: Path, architecture: str
) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(as_sam_writes_it(), encoding="utf-8")
    before = yaml.safe_load(as_sam_writes_it())
    assert pin.main([architecture, str(template)]) == 0
    after = yaml.safe_load(template.read_text(encoding="utf-8"))
    declared = after["Parameters"].pop("Architecture")
    assert (declared["AllowedValues"], declared["Default"]) == ([architecture], architecture)
    del before["Parameters"]["Architecture"]
    assert after == before


def test_a_template_without_that_parameter_ends_the_build_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Parameters:\n  Other:\n    AllowedValues:\n    - a\n    Default: a\n", encoding="utf-8")
    assert pin.main(["arm64", str(template)]) == 1
    assert "look at dev/pin.py" in capsys.readouterr().err
    assert pin.main(["arm64", str(tmp_path / "nowhere.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_make_build_pins_what_it_built() -> None:
    done = make(ROOT, "--dry-run", "build", "ARCHITECTURE=x86_64")
    assert "-m dev.pin x86_64" in done.stdout


def test_a_build_for_this_machine_is_made_again_when_a_file_was_changed_or_is_gone(tmp_path: Path) -> None:
    for name in ("template.yaml", "uv.lock", "dev/roots.py", "dev/trim.py", "functions/a/app.py", "layers/b/gone.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / "Makefile", tmp_path / "Makefile")
    mark = tmp_path / ".aws-sam" / f"built-{MACHINE}"
    mark.parent.mkdir()
    mark.touch()
    age = mark.stat().st_mtime - 100
    for each in tmp_path.glob("*/**/"):
        os.utime(each, (age, age))
    assert up_to_date(tmp_path, mark)
    (tmp_path / "layers" / "b" / "gone.py").unlink()
    assert not up_to_date(tmp_path, mark)


def up_to_date(folder: Path, mark: Path) -> bool:
    return make(folder, "--question", str(mark.relative_to(folder))).returncode == 0


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--assume-old=.venv/synced", f"PYTHON={sys.executable}", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
