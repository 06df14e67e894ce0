"""Which layers the local stack gives to whom, what BUILT=1 takes, and the sizes that `make build` prints."""

import gzip
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from dev import options, roots, sizes, trim
from dev.build import ImportPath, take_built
from dev.mistakes import Mistake
from dev.options import parse
from dev.provision import Place
from dev.template import Template, load
from tests.infrastructure.transformed import TEMPLATE

FOREIGN = {"x86_64": "aarch64"}.get(platform.machine(), "x86_64")


def loaded(path: Path, monkeypatch: pytest.MonkeyPatch) -> Template:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")  # the SAM translator asks boto3 for it
    return load(
        path,
        {"DeployExamples": "true", "DeployTransfer": "true", "OtherGrantKeyArn": "arn:aws:kms:eu-central-1:1:key/x"},
        Place(stack="s", region="eu-central-1", base_url="https://a.example").pseudo_parameters,
    )


def quiet(_line: str) -> None:
    """Progress is for people."""


def test_the_examples_get_the_shared_layer_and_consentrys_functions_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = loaded(TEMPLATE, monkeypatch)
    found = {each.logical_id: template.layers_of(each) for each in template.of_type("AWS::Lambda::Function")}
    for example in ("TicketsFunction", "SurveysFunction", "SalesFunction", "NotifyFunction"):
        assert found.pop(example) == ("ConsentryLayer",)
    assert set(found.values()) == {("ConsentryLayer", "FunctionsLayer")}


def test_a_layer_from_elsewhere_cannot_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = "arn:aws:lambda:eu-central-1:123456789012:layer:theirs:1"
    (tmp_path / "t.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Mine:\n    Type: AWS::Serverless::Function\n"
        "    Properties: {CodeUri: code, Handler: app.handler, Runtime: python3.13, Layers: [" + foreign + "]}\n"
    )
    template = loaded(tmp_path / "t.yaml", monkeypatch)
    with pytest.raises(Mistake, match=r"Mine has a layer that is not in the template .*theirs"):
        [template.layers_of(each) for each in template.of_type("AWS::Lambda::Function")]


def test_a_later_layer_lies_over_an_earlier_one_and_both_over_the_runtime() -> None:
    paths = ImportPath(layers={"A": (Path("source"), Path("a")), "B": (Path("b"),)}, runtime=Path("runtime"))
    assert paths.of(("A", "B")) == (Path("b"), Path("source"), Path("a"), Path("runtime"))
    assert paths.of(()) == (Path("runtime"),)


def test_built_means_the_template_that_was_built(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.touch()
    chosen = parse([], {"BUILT": "1", "TEMPLATE": str(template)})
    assert (chosen.built, chosen.template) == (True, template)


def test_without_a_build_there_is_a_sentence_that_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "BUILT_TEMPLATE", tmp_path / "template.yaml")
    with pytest.raises(Mistake) as wrong:
        parse([], {"BUILT": "1"})
    assert wrong.value.lines == (f"BUILT=1: there is no build: run `make build ARCHITECTURE={options.MACHINE}`",)


def test_a_build_for_another_processor_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / f"_fast.cpython-313-{FOREIGN}-linux-gnu.so").touch()
    with pytest.raises(Mistake, match=f"built for another processor .*{FOREIGN}.*make build ARCHITECTURE="):
        take_built({"ConsentryLayer": tmp_path}, quiet)


def test_a_layer_that_was_not_built_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="holds no build: run `make build"):
        take_built({"ConsentryLayer": tmp_path / "ConsentryLayer"}, quiet)


def test_sizes_are_told_with_their_budgets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "SmallFunction").mkdir()
    (tmp_path / "SmallFunction" / "app.py").write_text("x = 1\n" * 200)
    assert sizes.main([str(tmp_path)]) == 0
    assert "1.2 of 10" in capsys.readouterr().out


def test_an_artefact_over_its_budget_fails_the_build_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "LargeFunction").mkdir()
    (tmp_path / "LargeFunction" / "model.bin").write_bytes(bytes(20_000))
    assert sizes.main([str(tmp_path)]) == 1
    assert "over budget: LargeFunction" in capsys.readouterr().err


def test_sizes_of_nothing_say_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sizes.main([str(tmp_path)]) == 2
    assert "run `make build`" in capsys.readouterr().err


def test_a_digest_depends_on_content_and_mode_and_on_nothing_else(tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "F", tmp_path / "2" / "F"
    for folder, names in ((first, "ab"), (second, "ba")):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(name)
    os.utime(second / "a", (0, 0))
    assert sizes.weigh(first) == sizes.weigh(second)
    (second / "a").chmod(0o755)
    assert sizes.weigh(first).digest != sizes.weigh(second).digest


@pytest.mark.parametrize(
    ("program", "remedy"), [(trim.__file__, "does not hold _retry.json, dynamodb"), (roots.__file__, "No such file")]
)
def test_a_package_that_is_not_as_it_was_ends_the_build_with_a_sentence(
    tmp_path: Path, program: str, remedy: str
) -> None:
    words = [str(tmp_path / "moved"), str(tmp_path / "target")]
    done = subprocess.run([sys.executable, program, *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundle_without_one_of_amazons_roots_is_refused_by_its_name(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(roots.chosen(Path(certifi.where())).partition("# Amazon Root CA 4")[0])
    with pytest.raises(LookupError, match="does not hold Amazon Root CA 4, Starfield Services"):
        roots.chosen(bundle)


def test_only_sentences_are_cut_from_a_model_not_members_that_are_called_so(tmp_path: Path) -> None:
    data = tmp_path / "botocore" / "data"
    model = {"shapes": {"Told": {"members": {"documentation": {"shape": "String", "documentation": "<p>A text.</p>"}}}}}
    for service in (*trim.SERVICES, "s3"):
        (data / service / "2014-11-01").mkdir(parents=True)
        (data / service / "2014-11-01" / "service-2.json.gz").write_bytes(gzip.compress(json.dumps(model).encode()))
    for name in trim.EVERY_CLIENT:
        (data / name).write_text('{"partitions": []}')
    trim.trim(tmp_path)
    assert not (data / "s3").exists()
    assert (data / "kms" / "2014-11-01" / "service-2.json").read_text() == (
        '{"shapes":{"Told":{"members":{"documentation":{"shape":"String"}}}}}'
    )
