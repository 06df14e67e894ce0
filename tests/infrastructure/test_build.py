"""The layers as they are built: the same bytes each time, nothing without a use, and enough to run on.

Both are built twice here. `python -m tests.builds` does the same with the whole of `make build`.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.roots import ROOTS
from dev.trim import SERVICES
from tests.infrastructure.transformed import ROOT

INGREDIENTS = ("pyproject.toml", "uv.lock", "layers", "dev/roots.py", "dev/trim.py")
ENDPOINTS = ROOT / "tests" / "infrastructure" / "endpoints.py"
ISOLATED = [sys.executable, "-S", "-I", "-B"]  # no site packages, no environment, nothing written
YEAR_1980 = 315_532_800
SHARED = {
    "_cffi_backend", "certifi", "charset_normalizer", "consentry", "cryptography", "idna", "requests", "urllib3",
}  # fmt: skip
OWN = {
    "__pycache__", "aws_lambda_powertools", "boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six",
    "typing_extensions",
}  # fmt: skip
REFUSE_TO_COMPILE = """
from importlib.machinery import SourceFileLoader
def refuse(loader, data, path, *, _optimization=-1):
    raise SystemExit(f"compiled from source: {path}")
SourceFileLoader.source_to_code = refuse
"""
EVERY_MODULE = """
import importlib, pkgutil, consentry
for module in pkgutil.walk_packages(consentry.__path__, "consentry."):
    importlib.import_module(module.name)
from consentry import log
from consentry.adapters import Adapters
from consentry.config import Environment
import boto3
log.record("told")
log.count("Refreshes", outcome="refreshed")
log.heartbeat({"OldestOverdue": 1.0})
for service in ("dynamodb", "kms", "lambda", "secretsmanager", "sqs"):
    boto3.client(service, region_name="eu-central-1")
print(Adapters(Environment.of({})).catalogue.provider("hubspot").id)
"""


@dataclass(frozen=True)
class Layers:
    """One build of both."""

    shared: Path
    own: Path

    @property
    def packages(self) -> list[Path]:
        """As /opt/python has them: one folder on Lambda, two here."""
        return [self.own / "python", self.shared / "python"]

    def run(self, program: str) -> str:
        code = f"import sys; sys.path[:0] = {[str(each) for each in self.packages]}\n{program}"
        done = subprocess.run([*ISOLATED, "-c", code], env={}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def build(root: Path, target: Path, *, umask: int, environment: dict[str, str]) -> Layers:
    made = Layers(target / "ConsentryLayer", target / "FunctionsLayer")
    tools = [f"UV={Path(sys.executable).with_name('uv')}", f"PYTHON={sys.executable}"]
    for source, folder in (("consentry", made.shared), ("functions", made.own)):
        subprocess.run(
            ["make", "--silent", f"build-{folder.name}", f"ARTIFACTS_DIR={folder}", *tools],
            cwd=root / "layers" / source,
            env={name: value for name, value in os.environ.items() if name != "PROVIDERS"} | environment,
            umask=umask,
            timeout=120,
            check=True,
        )
    return made


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Layers:
    return build(ROOT, tmp_path_factory.mktemp("first"), umask=0o022, environment={})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Layers:
    """The same source, built in another folder by somebody with other habits."""
    root = tmp_path_factory.mktemp("a-longer-way") / "to" / "another" / "clone"
    for name in INGREDIENTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    habits = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    return build(root, tmp_path_factory.mktemp("second"), umask=0o077, environment=habits)


@pytest.mark.parametrize("name", ["shared", "own"])
def test_two_builds_from_two_folders_are_byte_identical(layers: Layers, elsewhere: Layers, name: str) -> None:
    first, second = getattr(layers, name), getattr(elsewhere, name)
    assert inventory(first) == inventory(second)


def inventory(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        each.relative_to(folder).as_posix(): (each.stat().st_mode, each.read_bytes())
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


@pytest.fixture
def shipped(elsewhere: Layers, tmp_path: Path) -> Layers:
    """A copy in which every source is of 1980, as in SAM's zip."""
    copy = Layers(tmp_path / "shared", tmp_path / "own")
    shutil.copytree(elsewhere.shared, copy.shared)
    shutil.copytree(elsewhere.own, copy.own)
    for each in tmp_path.rglob("*.py"):
        os.utime(each, (YEAR_1980, YEAR_1980))
    return copy


def test_functions_run_on_their_layers_alone_and_on_the_bytecode_in_them(shipped: Layers) -> None:
    assert shipped.run(REFUSE_TO_COMPILE + EVERY_MODULE).splitlines()[-1] == "hubspot"


def test_a_layer_that_is_laid_over_the_consumers_layer_runs_as_it_is(shipped: Layers) -> None:
    """Consumers combine layers: bytecode of ours must never stand for a source of theirs."""
    with (shipped.shared / "python/requests/__version__.py").open("a") as laid_over:
        laid_over.write("__version__ = 'theirs'\n")
    assert shipped.run("import requests\nprint(requests.__version__)") == "theirs\n"
    with pytest.raises(AssertionError, match=r"compiled from source: .*__version__\.py"):
        shipped.run(REFUSE_TO_COMPILE + "import requests")


def test_no_file_tells_where_it_was_built(layers: Layers, elsewhere: Layers) -> None:
    for each in (layers, elsewhere):
        here = str(each.shared.parent).encode()
        assert [name for folder in each.packages for name, (_, held) in inventory(folder).items() if here in held] == []


def test_a_layer_holds_what_is_known_and_nothing_without_a_use(layers: Layers) -> None:
    for folder, known in zip((layers.shared, layers.own), (SHARED, OWN), strict=True):
        packages = {each.name for each in (folder / "python").iterdir() if each.suffix != ".dist-info"}
        assert {name.partition(".")[0] for name in packages} == known
        names = {each.name for each in folder.rglob("*")}
        assert not names & {"tests", "test", "RECORD", "py.typed", "requirements.txt", "examples-1.json"}
        assert not {name for name in names if name.endswith((".pyi", ".c", ".h", ".toml", ".json.gz"))}


def test_every_package_keeps_its_version_and_its_licence(layers: Layers) -> None:
    for described in (each for folder in layers.packages for each in folder.glob("*.dist-info")):
        names = {each.name for each in described.rglob("*")}
        assert "METADATA" in names
        assert [name for name in names if re.match("licen[cs]e|copying", name, re.IGNORECASE)], described.name


def test_no_file_lies_in_both_layers(layers: Layers) -> None:
    """In /opt they are one folder, where the second would take the first one's place."""
    both = set(inventory(layers.shared)) & set(inventory(layers.own))
    assert both == set()


def test_a_trimmed_botocore_calls_the_same_addresses_and_knows_the_same_operations(layers: Layers) -> None:
    """Over services, regions of every partition, and the FIPS and dual-stack variants of each."""
    whole = answers([Path(sysconfig.get_path("purelib"))])
    trimmed = answers(layers.packages)
    assert set(whole["surfaces"]) == SERVICES
    assert len(whole["endpoints"]) > 300
    assert trimmed == whole


def answers(folders: list[Path]) -> dict[str, Any]:
    command = [*ISOLATED, str(ENDPOINTS), ":".join(map(str, folders))]
    nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    done = subprocess.run(command, env=nobody, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_service_that_functions_call_is_left_in_the_trimmed_botocore() -> None:
    sources = (ROOT / "layers" / "consentry" / "consentry").rglob("*.py")
    called = {name for each in sources for name in re.findall(r'client\(\s*"([a-z-]+)"', each.read_text())}
    assert {"dynamodb", "kms"} <= called <= SERVICES


def test_the_layer_brings_the_roots_that_amazon_asks_for_and_no_other(layers: Layers) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(layers.shared / "amazon-roots.pem")
    roots: list[dict[str, Any]] = context.get_ca_certs()
    subjects = [dict(part[0] for part in root["subject"]) for root in roots]
    assert sorted(subject["commonName"] for subject in subjects) == sorted(ROOTS)
    assert {subject["organizationName"] for subject in subjects} == {"Amazon", "Starfield Technologies, Inc."}
