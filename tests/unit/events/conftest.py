"""What is logged, line by line."""

from tests.support.fixtures import log_lines

__all__ = ["log_lines"]
