"""What the layers are made of, asked of their Makefiles without building them."""

import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.transformed import ROOT, source

LAYER = ROOT / "layers" / "consentry"
FUNCTIONS = ROOT / "layers" / "functions"


def make(*arguments: str, makefile: Path = LAYER / "Makefile") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "-f", makefile, *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def requirements(layer: Path = LAYER) -> dict[str, str]:
    """What the layer installs: name -> the rest of its entry."""
    answer = make("requirements", makefile=layer / "Makefile")
    assert answer.returncode == 0, answer.stderr
    entries = answer.stdout.replace("\\\n", "").splitlines()
    return dict(entry.split("==", 1) for entry in entries if entry and not entry.lstrip().startswith("#"))


def test_the_layer_for_consumers_leaves_them_their_boto3_and_their_powertools() -> None:
    names = set(requirements())
    assert {"cryptography", "requests", "certifi", "urllib3"} <= names
    assert not names & {"boto3", "botocore", "s3transfer", "jmespath", "aws-lambda-powertools"}


def test_the_layer_for_functions_holds_what_they_have_beside_it() -> None:
    names = set(requirements(FUNCTIONS))
    assert {"boto3", "botocore", "aws-lambda-powertools"} <= names
    assert not names & set(requirements())


@pytest.mark.parametrize("layer", [LAYER, FUNCTIONS])
def test_no_layer_holds_development_tools_and_every_package_is_pinned_by_hash(layer: Path) -> None:
    wanted = requirements(layer)
    assert not set(wanted) & {"consentry", "flask", "moto", "pytest"}
    assert all("--hash=sha256:" in rest for rest in wanted.values())


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


def test_make_build_knows_two_architectures() -> None:
    answer = make("-o", ".venv/synced", "build", "ARCHITECTURE=mips", makefile=ROOT / "Makefile")
    assert answer.returncode != 0
    assert "ARCHITECTURE must be arm64 or x86_64, not 'mips'" in answer.stderr
