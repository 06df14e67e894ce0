"""A deployment in memory, and a browser in front of it."""

from tests.support.fixtures import browser, deployment, dynamodb, log_lines, tables, tables_of_module

__all__ = ["browser", "deployment", "dynamodb", "log_lines", "tables", "tables_of_module"]
