import importlib.util
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from torture.application import Application
from torture.course import run
from torture.scenarios import SCENARIOS
from torture.store import OpenStore, Store
from torture.trial import Pace
from torture.verdict import Result

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "torture.md"
AT_ONCE: Final = Pace(
    connections=1, slow_seconds=1, outage_seconds=1, retry_after_seconds=1, between_renewals_seconds=0
)
NAMES: Final = itertools.count()

type Load = Callable[..., OpenStore]


@pytest.fixture(scope="session")
def documented() -> str:
    """The adapter that docs/torture.md shows, as it stands there."""
    (text,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


@pytest.fixture
def load(documented: str, tmp_path: Path) -> Load:
    """Import the documented adapter, with a piece of it replaced if wanted; return its `open_store`."""

    def loaded(old: str = "", new: str = "") -> OpenStore:
        assert old in documented
        file = tmp_path / f"adapter_{next(NAMES)}.py"
        file.write_text(documented.replace(old, new) if old else documented, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def opened(applications: Sequence[Application]) -> Store:
            store: Store = module.open_store(applications)
            store.settle_seconds = 0.5
            return store

        return opened

    return loaded


def tortured(open_store: OpenStore, *names: str, pace: Pace = AT_ONCE) -> Sequence[Result]:
    """Put a store through the scenarios of these names."""
    _, results = run(open_store, [each for each in SCENARIOS if each.id in names], pace, lambda _line: None)
    return results
