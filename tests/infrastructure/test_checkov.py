"""The transformed template as checkov sees it: each of its findings is mended, or has its reason here."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infrastructure.transformed import Template, transformed
from tests.support.own_environment import NotInstalled, OwnEnvironment

EVERY: Final = "*"
ACCEPTED: Final[Mapping[str, tuple[str, str]]] = {
    "CKV_AWS_27": (EVERY, "SQS encrypts by itself; hints hold no secret, and what waits in escrow is ciphertext"),
    "CKV_AWS_28": ("PendingTable", "what lives for minutes has no backups: a restored session would be an old one"),
    "CKV_AWS_115": (EVERY, "small accounts have no concurrency to reserve; throttles and MaximumConcurrency bound it"),
    "CKV_AWS_116": (EVERY, "ticks are level-triggered, queues have their own, a lost forced refresh is asked again"),
    "CKV_AWS_117": (EVERY, "nothing private is called; a VPC would only add a way for refreshes to stop"),
    "CKV_AWS_119": (EVERY, "each token is encrypted under keys of ours; the rest is AWS's own encryption at rest"),
    "CKV_AWS_149": ("MacSecret", "generated, and read by our functions alone; a key of its own would guard no more"),
    "CKV_AWS_158": (EVERY, "log lines are made from an allow-list of fields and hold no secret"),
    "CKV_AWS_173": (EVERY, "environments hold names of resources, never a secret"),
}


def weakened() -> Template:
    template = transformed()
    connections = template["Resources"]["ConnectionsTable"]["Properties"]
    del connections["PointInTimeRecoverySpecification"]
    del template["Resources"]["GrantKey"]["Properties"]["EnableKeyRotation"]
    return template


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """Check and resource of each finding, by template: starting checkov is what takes long."""
    try:
        python = OwnEnvironment("gates").python()
    except NotInstalled as reason:
        pytest.skip(f"CHECKOV IS MISSING, THE TEMPLATE WAS NOT SCANNED: {reason}")
    folder = tmp_path_factory.mktemp("checkov")
    for name, template in {"ours": transformed(), "weakened": weakened()}.items():
        (folder / f"{name}.json").write_text(json.dumps(template))
    options = ["--directory", str(folder), "--framework", "cloudformation", "--skip-download", "--output", "json"]
    done = subprocess.run(
        [python.with_name("checkov"), *options], capture_output=True, text=True, timeout=180, check=False, cwd=folder
    )
    report: Any = json.loads(done.stdout)
    assert report["results"]["parsing_errors"] == []
    assert report["results"]["passed_checks"] != []
    found: dict[str, set[tuple[str, str]]] = {"ours": set(), "weakened": set()}
    for each in report["results"]["failed_checks"]:
        found[Path(each["file_path"]).stem].add((each["check_id"], each["resource"].rpartition(".")[2]))
    return found


def is_accepted(check: str, resource: str) -> bool:
    return check in ACCEPTED and ACCEPTED[check][0] in {EVERY, resource}


def test_each_finding_is_mended_or_has_its_reason(findings: dict[str, set[tuple[str, str]]]) -> None:
    assert sorted(each for each in findings["ours"] if not is_accepted(*each)) == []


def test_no_reason_is_left_from_a_finding_that_is_gone(findings: dict[str, set[tuple[str, str]]]) -> None:
    assert sorted(set(ACCEPTED) - {check for check, _ in findings["ours"]}) == []


def test_a_weakened_template_is_found_out(findings: dict[str, set[tuple[str, str]]]) -> None:
    assert findings["weakened"] - findings["ours"] == {("CKV_AWS_28", "ConnectionsTable"), ("CKV_AWS_7", "GrantKey")}
