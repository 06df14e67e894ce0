"""Fixtures that several suites share; a conftest names those that it wants."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from consentry.aws.dynamodb import to_item
from tests.support.catalogue import FakeCatalogue
from tests.support.deployment import INTEGRATIONS, Browser, Deployment
from tests.support.dynamo import MemoryDynamo
from tests.support.logs import Log, recorded
from tests.support.tables import AWS_ENVIRONMENT, create_tables, refill

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_stacks = itertools.count(1)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator["DynamoDBClient"]:
    """One DynamoDB for a module, in memory: tests/contract holds it to the answers of two emulators."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in AWS_ENVIRONMENT.items():
            environment.setenv(name, value)
        yield MemoryDynamo().as_client


@pytest.fixture(scope="module")
def tables_of_module(dynamodb: "DynamoDBClient") -> dict[str, str]:
    return create_tables(dynamodb, f"stack{next(_stacks)}")


@pytest.fixture
def tables(dynamodb: "DynamoDBClient", tables_of_module: dict[str, str]) -> dict[str, str]:
    """Table names by logical id; the tables are empty."""
    refill(dynamodb, tables_of_module)
    return tables_of_module


@pytest.fixture
def log_lines() -> Iterator[Log]:
    with recorded() as found:
        yield found


@pytest.fixture
def deployment(dynamodb: "DynamoDBClient", tables_of_module: dict[str, str], log_lines: Log) -> Deployment:
    """A deployment with the sample integrations and nothing else in its tables."""
    refill(dynamodb, tables_of_module, {"IntegrationsTable": [to_item(each) for each in INTEGRATIONS]})
    return Deployment(dynamodb, tables_of_module, FakeCatalogue())


@pytest.fixture
def browser(deployment: Deployment) -> Browser:
    return Browser(deployment)
