"""`import consentry`, as a consumer's function does it."""

import sys
from importlib import import_module, reload

import pytest


def test_another_python_is_told_which_runtime_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    package = import_module("consentry")
    monkeypatch.setattr(sys, "version_info", (3, 12, 9, "final", 0))
    with pytest.raises(ImportError, match=r"choose the runtime python3\.13 for this function, not 3\.12"):
        reload(package)


def test_a_name_that_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="'consentry' has no attribute 'Valut'"):
        _ = import_module("consentry").Valut
