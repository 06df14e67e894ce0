"""What `consentry` costs a process that has boto3 already, in a unit that does not depend on the machine.

A norm millisecond is a 271st of what importing boto3 and making three clients takes (issue 4, `Stack`).
"""

import json
from dataclasses import dataclass
from typing import Final

from benchmarks.cold_start.endpoint import Endpoint
from benchmarks.cold_start.functions import SAMPLES, Functions
from benchmarks.cold_start.process import Cost, whole_process
from benchmarks.cold_start.story import Scene

NORM_MS: Final = 271.0
_EMPTY: Final = "pass"
_BOTO3: Final = """\
import boto3
clients = [boto3.client(name) for name in ("dynamodb", "kms", "lambda")]
"""
_CALLS: Final = """\
import json, sys
made = dict(zip(("dynamodb", "kms", "lambda"), clients))
for service, operation, parameters in json.loads(sys.argv[1]):
    getattr(made[service], operation)(**parameters)
"""
_READING: Final = """\
import sys
from consentry import Vault
Vault().token(sys.argv[1], sys.argv[2])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """One run of each program, alternately."""

    empty: Cost
    boto3: Cost
    calls: Cost
    token: Cost

    @property
    def norm(self) -> float:
        """Milliseconds of CPU for one norm millisecond on this machine, now."""
        return (self.boto3.cpu_ms - self.empty.cpu_ms) / NORM_MS


def run(functions: Functions, endpoint: Endpoint, reading: Scene) -> Programs:
    """Run: nothing; boto3 and three clients; these and the reader's two calls; these and a first token."""
    calls = json.dumps([each.as_call() for each in reading.tape.exchanges])
    asked = (reading.event["tenant"], reading.event["integration"])

    def cost(program: str, *arguments: str) -> Cost:
        endpoint.repeat(reading.tape)
        return whole_process(["-c", program, *arguments], SAMPLES, functions.consumer_environment())

    return Programs(
        empty=cost(_EMPTY),
        boto3=cost(_BOTO3),
        calls=cost(_BOTO3 + _CALLS, calls),
        token=cost(_BOTO3 + _READING, *asked),
    )
