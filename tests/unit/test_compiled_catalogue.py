"""What the build makes of provider files, and what is read of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consentry.catalogue.compile import compile_folder, main
from consentry.catalogue.load import BUILT_IN, Catalogue, ProviderFileInvalid, load_directory
from consentry.errors import Misconfigured

ROOT = Path(__file__).parents[2]
LIGHT = """
import sys
from pathlib import Path
from consentry.catalogue.lookup import Catalogue
assert Catalogue((Path(sys.argv[1]),)).provider("hubspot").token.keep == ("hub_id", "user_id")
print([name for name in ("tomllib", "difflib", "consentry.catalogue.rules") if name in sys.modules])
"""


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    return compile_folder(BUILT_IN, tmp_path).parent


def own_file(folder: Path, *replacements: tuple[str, str]) -> Path:
    text = (BUILT_IN / "hubspot.toml").read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    file = folder / "hubspot.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("provider_id", sorted(load_directory(BUILT_IN)))
def test_a_compiled_provider_equals_the_one_in_its_file(compiled: Path, provider_id: str) -> None:
    assert Catalogue((compiled,)).provider(provider_id) == Catalogue((BUILT_IN,)).provider(provider_id)


def test_the_same_files_compile_to_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = compile_folder(BUILT_IN, tmp_path), compile_folder(BUILT_IN, tmp_path / "again")
    assert first.read_bytes() == second.read_bytes()


def test_reading_a_compiled_provider_loads_no_parser_and_no_rules(compiled: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT / "layers" / "consentry"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-S", "-c", LIGHT, str(compiled)],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_files_may_lie_beside_compiled_providers(compiled: Path, tmp_path: Path) -> None:
    own = own_file(tmp_path / "own", ('id = "hubspot"', 'id = "mine"'))
    own.rename(compiled / "mine.toml")
    catalogue = Catalogue((compiled,))
    assert (catalogue.provider("mine").id, catalogue.provider("hotjar").id) == ("mine", "hotjar")


def test_a_file_that_shadows_a_compiled_provider_is_refused(compiled: Path, tmp_path: Path) -> None:
    own_file(tmp_path / "own")
    with pytest.raises(ProviderFileInvalid, match="id hubspot exists already"):
        Catalogue((compiled, tmp_path / "own")).provider("hubspot")


def test_a_provider_that_is_in_no_directory_is_named(compiled: Path) -> None:
    with pytest.raises(Misconfigured, match="no provider 'nobody'"):
        Catalogue((compiled, compiled / "missing")).provider("nobody")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"hubspot": {}}', '{"hubspot": 1}', '{"hubspot": {"id": null, "name": 2}}']
)
def test_what_this_version_did_not_compile_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "catalogue.json").write_text(text, encoding="utf-8")
    with pytest.raises(ProviderFileInvalid, match="was not compiled by this version: build the layer again"):
        Catalogue((tmp_path,)).provider("hubspot")


def test_a_mistake_in_a_file_ends_the_build_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_file(tmp_path, ('https://api.hubapi.com/oauth/2026-03/token"', 'http://api.hubapi.com/token"'))
    assert main([str(tmp_path)]) == 1
    assert "must begin with https://" in capsys.readouterr().err
    assert not (tmp_path / "catalogue.json").exists()


def test_what_a_later_version_knows_more_is_not_left_out_but_refused(compiled: Path) -> None:
    file = compiled / "catalogue.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    table["hubspot"]["token"]["proof_required"] = True
    file.write_text(json.dumps(table), encoding="utf-8")
    catalogue = Catalogue((compiled,))
    assert catalogue.provider("hotjar").id == "hotjar"
    with pytest.raises(ProviderFileInvalid, match="was not compiled by this version"):
        catalogue.provider("hubspot")


def test_an_additional_file_with_the_id_of_a_built_in_provider_ends_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_file(tmp_path / "own")
    assert main([str(tmp_path / "own"), str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "hubspot.toml: id hubspot exists already" in said
    assert "rename this file and its id" in said
    assert not (tmp_path / "catalogue.json").exists()


def test_additional_files_of_their_own_ids_are_compiled(tmp_path: Path) -> None:
    own_file(tmp_path / "own", ('id = "hubspot"', 'id = "mine"')).rename(tmp_path / "own" / "mine.toml")
    assert main([str(tmp_path / "own"), str(tmp_path)]) == 0
    assert Catalogue((BUILT_IN, tmp_path)).provider("mine").id == "mine"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [([], 2, "FOLDER [TARGET]"), (["--help"], 2, "FOLDER [TARGET]"), (["/nowhere"], 1, "is not a directory")],
)
def test_the_program_says_what_it_wants(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert said in capsys.readouterr().err


def test_a_folder_without_provider_files_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ProviderFileInvalid, match=r"holds no \.toml file"):
        compile_folder(tmp_path)
