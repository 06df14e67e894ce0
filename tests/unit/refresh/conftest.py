import pytest

from tests.support.deployment import Deployment
from tests.support.fixtures import deployment, dynamodb, log_lines, tables, tables_of_module
from tests.support.vaulted import Vaulted

__all__ = ["deployment", "dynamodb", "log_lines", "tables", "tables_of_module"]


@pytest.fixture
def vaulted(deployment: Deployment) -> Vaulted:
    """A connection under strict rotation, due now."""
    made = Vaulted(deployment)
    made.connect()
    made.fall_due()
    return made
