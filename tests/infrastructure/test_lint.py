"""The template as AWS's own tools see it, before and after the translation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cfnlint.api import ManualArgs, lint

from tests.infrastructure.transformed import FIXTURES, REGION, TEMPLATE, Template, transformed

CIRCLE = FIXTURES / "circle.yaml"


def sam_validate(template: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("sam")
    return subprocess.run(
        [program, "validate", "--lint", "--region", REGION, "--template", template],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
        cwd=FIXTURES,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def complaints(template: Template) -> list[str]:
    return [str(match) for match in lint(json.dumps(template), config=ManualArgs(regions=[REGION]))]


@pytest.mark.parametrize("template", [TEMPLATE, CIRCLE], ids=["template", "circle"])
def test_sam_has_nothing_to_say_about_the_template_nor_about_a_circle(template: Path) -> None:
    answer = sam_validate(template)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_transformed_template_has_neither_errors_nor_warnings() -> None:
    assert complaints(transformed()) == []


def test_a_circle_through_the_apis_address_is_found_in_the_transformed_template() -> None:
    assert any("Circular" in complaint for complaint in complaints(transformed(CIRCLE)))
