"""What the layer is made of, asked of its Makefile without building it."""

import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.transformed import ROOT, source

LAYER = ROOT / "layers" / "consentry"


def make(*arguments: str, makefile: Path = LAYER / "Makefile") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "-f", makefile, *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def requirements() -> dict[str, str]:
    """What the layer installs: name -> the rest of its entry."""
    answer = make("requirements")
    assert answer.returncode == 0, answer.stderr
    entries = answer.stdout.replace("\\\n", "").splitlines()
    return dict(entry.split("==", 1) for entry in entries if entry and not entry.lstrip().startswith("#"))


def test_the_layer_holds_what_functions_import_and_neither_boto3_nor_development_tools() -> None:
    names = set(requirements())
    assert {"aws-lambda-powertools", "cryptography", "requests"} <= names
    assert not names & {"boto3", "botocore", "s3transfer", "consentry", "flask", "moto", "pytest"}


def test_every_package_of_the_layer_is_pinned_by_hash() -> None:
    assert all("--hash=sha256:" in rest for rest in requirements().values())


@pytest.mark.parametrize(
    ("architecture", "platform"),
    [("arm64", "aarch64-manylinux_2_28"), ("x86_64", "x86_64-manylinux_2_28")],
)
def test_the_architecture_decides_the_platform(architecture: str, platform: str) -> None:
    makefile = LAYER / architecture / "Makefile"
    answer = make("--dry-run", "build-ConsentryLayer", "ARTIFACTS_DIR=/nowhere", makefile=makefile)
    assert f'--python-platform "{platform}"' in answer.stdout


def test_the_template_names_a_makefile_for_each_architecture() -> None:
    context = source()["Resources"]["ConsentryLayer"]["Metadata"]["ContextPath"]["Fn::Sub"]
    for architecture in source()["Parameters"]["Architecture"]["AllowedValues"]:
        assert (ROOT / context.replace("${Architecture}", architecture) / "Makefile").is_file()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "ARTIFACTS_DIR=<folder>"),
        (("ARTIFACTS_DIR=/nowhere", "ARCHITECTURE=mips"), "must be arm64 or x86_64"),
        (("ARTIFACTS_DIR=/nowhere", "UV=/nowhere/uv"), "UV=<path>"),
        (("ARTIFACTS_DIR=/nowhere", "PYTHON=/nowhere/python"), "PYTHON=<path>"),
        (("ARTIFACTS_DIR=/nowhere", "PROVIDERS=/nowhere"), "holds no .toml file"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(arguments: tuple[str, ...], remedy: str) -> None:
    answer = make("build-ConsentryLayer", *arguments)
    assert answer.returncode != 0
    assert remedy in answer.stderr
