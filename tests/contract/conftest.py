"""The adapters meet two emulators of AWS with the same facts: moto, in this process, and ministack, over HTTP.

Tables and queues get a new name for each test that would mind what others left. KMS is moto's alone: ministack's
encrypts with XOR, so `test_keys.py` and `test_vault.py` have nothing to learn from it.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

import boto3
import pytest
from moto import mock_aws

from tests.support import ministack as second
from tests.support.dynamo import MemoryDynamo
from tests.support.own_environment import NotInstalled
from tests.support.tables import AWS_ENVIRONMENT, REGION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

type Endpoint = str | None
MISSING: Final = "MINISTACK IS NOT HERE, ONLY MOTO WAS ASKED"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say once, and not for each test, that ministack is missing: skips are folded by where they come from."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]:
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


@pytest.fixture(scope="module", autouse=True)
def _credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in AWS_ENVIRONMENT.items():
            environment.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One ministack for all that this process tests."""
    try:
        python = second.ENVIRONMENT.python()
    except NotInstalled as reason:
        pytest.skip(f"{MISSING}: {reason}")
    with second.serving(python, tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture(scope="module")
def moto() -> Iterator[Endpoint]:
    """One moto for a module: boto3's own endpoints lead to it."""
    with mock_aws():
        yield None


@pytest.fixture(scope="module", params=["moto", "ministack"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    found: Endpoint = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def emulated(endpoint: Endpoint) -> "DynamoDBClient":
    return boto3.client("dynamodb", region_name=REGION, endpoint_url=endpoint)


@pytest.fixture(scope="module", params=["memory", "moto", "ministack"])
def dynamodb(request: pytest.FixtureRequest) -> "DynamoDBClient":
    """Each DynamoDB that a suite runs on: what is true of the emulators is true of the one in memory."""
    if request.param == "memory":
        return MemoryDynamo().as_client
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return boto3.client("dynamodb", region_name=REGION, endpoint_url=endpoint)


@pytest.fixture(scope="module")
def secretsmanager(endpoint: Endpoint) -> "SecretsManagerClient":
    return boto3.client("secretsmanager", region_name=REGION, endpoint_url=endpoint)


@pytest.fixture(scope="module")
def sqs(endpoint: Endpoint) -> "SQSClient":
    return boto3.client("sqs", region_name=REGION, endpoint_url=endpoint)
