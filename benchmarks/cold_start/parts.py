"""`python -m benchmarks.cold_start.parts`: what single libraries add to a process that has boto3 and its clients.

Each part runs in a process of its own, all of them in turn; CPU milliseconds around the part alone, medians.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.cold_start.functions import layers
from benchmarks.cold_start.stage import Stage, prepare
from dev.account import REGION, Account

_LOGGER: Final = """\
from aws_lambda_powertools import Logger
Logger(log_record_order=["level", "message"], location=None, utc=True).info("x")
"""
_WHOLE: Final = "sys.path.insert(0, sys.argv[5])\n" + _LOGGER  # all of Powertools: the layer has a part of it
_METRIC: Final = """\
from aws_lambda_powertools.metrics import MetricUnit, single_metric
with single_metric(name="n", unit=MetricUnit.Count, value=1, namespace="n") as metric:
    metric.add_dimension(name="a", value="b")
"""
_CODEC: Final = """\
from consentry.envelope import open_sealed, parse, seal
context = {"tenant": "t"}
sealed = seal(b"x", data_key=bytes(32), encrypted_data_key=b"e", key_arn="arn", context=context, message_id=bytes(32))
open_sealed(parse(sealed, context=context), bytes(32))
"""
_SDK: Final = """\
import aws_encryption_sdk
aws_encryption_sdk.EncryptionSDKClient()
"""
_JINJA: Final = """\
import jinja2
shown = jinja2.Environment(autoescape=True).from_string(open(sys.argv[1]).read())
shown.render(title="t", text="t", tone="good", mark="!", style="", reference="")
"""
_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "nothing": ("", "pass"),
    "log line: Powertools' Logger": ("", _LOGGER),
    "log line: the standard library": ("", "import logging\nlogging.basicConfig()\nlogging.warning(json.dumps([]))"),
    "metric: Powertools, after its Logger": (_LOGGER, _METRIC),
    "Powertools' HTTP resolver, after its Logger": (
        _WHOLE, "from aws_lambda_powertools.event_handler import APIGatewayHttpResolver\nAPIGatewayHttpResolver()",
    ),
    "Powertools' parameters, after its Logger": (_WHOLE, "import aws_lambda_powertools.utilities.parameters"),
    "Powertools' batch, after its Logger": (_WHOLE, "import aws_lambda_powertools.utilities.batch"),
    "page: string.Template": ("", 'from consentry.pages.render import Page, render\nrender(Page(title="t", text="t"))'),
    "page: Jinja2": ("", _JINJA),
    "encryption: own codec, sealed and opened once": ("", _CODEC),
    "encryption: AWS's SDK, imported": ("", _SDK),
    "provider calls: requests, imported": ("", "import requests"),
    "provider calls: our client, after requests": (
        "import requests", "from consentry.http import ProviderClient\nProviderClient()",
    ),
    "one TLS context with all of certifi's roots": (
        "import ssl, certifi", "ssl.create_default_context(cafile=certifi.where())",
    ),
    "one TLS context with Amazon's roots": ("import ssl", "ssl.create_default_context(cafile=sys.argv[2])"),
    "one provider: TOML and its rules": (
        "from consentry.catalogue.lookup import Catalogue", "Catalogue((Path(sys.argv[3]),)).provider('hubspot')",
    ),
    "one provider: compiled": (
        "from consentry.catalogue.lookup import Catalogue", "Catalogue((Path(sys.argv[4]),)).provider('hubspot')",
    ),
}  # fmt: skip
_AROUND: Final = """\
import json, sys, time
from pathlib import Path
import boto3
session = boto3.Session()
clients = [session.client(name) for name in ("dynamodb", "kms", "secretsmanager")]
{before}
begun = time.process_time()
{part}
print("\\n" + json.dumps((time.process_time() - begun) * 1000))
"""


def measure(stage: Stage, source: Path, runs: int) -> dict[str, float]:
    """Return medians in milliseconds of CPU, by part."""
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "POWERTOOLS_SERVICE_NAME": "benchmark",
        "PYTHONPATH": f"{stage.path(stage.opt, stage.opt)}:{sysconfig.get_path('purelib')}",
    }
    catalogue = source / "catalogue" / "providers"
    built = stage.opt / "python" / "consentry" / "catalogue" / "providers"
    files = (source / "pages/result.html", stage.opt / "amazon-roots.pem", catalogue, built)
    arguments = [*map(str, files), sysconfig.get_path("purelib")]
    samples: dict[str, list[float]] = {name: [] for name in _PARTS}
    for number in range(runs + 1):
        for name, (before, part) in _PARTS.items():
            program = _AROUND.format(before=before, part=part)
            command = [sys.executable, "-S", "-s", "-c", program, *arguments]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            if number:  # the first round only leaves bytecode behind
                samples[name].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"run {number} of {runs}", file=sys.stderr)
    return {name: round(median(times), 1) for name, times in samples.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start.parts")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    with tempfile.TemporaryDirectory(prefix="cold-start-") as folder:
        sources = layers(Account(endpoint=""))
        stage = prepare(Path(folder), sources, (), b"", "https://localhost")
        figures = measure(stage, sources["ConsentryLayer"] / "consentry", arguments.runs)
    for name, milliseconds in figures.items():
        print(f"{milliseconds:8.1f} ms  {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
