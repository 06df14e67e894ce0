"""Functions of the developer's own, as the local stack finds them."""

from pathlib import Path

import pytest

from dev.deployment import Deployment
from dev.mistakes import Mistake
from dev.own_functions import with_own_functions
from dev.runtime import FunctionSpec

TOLD = {"CONSENTRY_CONNECTIONS_TABLE": "t", "CONSENTRY_GRANT_KEY": "k", "HUBSPOT_API_BASE": "http://localhost:1"}
TICKETS = FunctionSpec(
    logical_id="TicketsFunction",
    name="stack-Tickets",
    arn="arn:aws:lambda:eu-central-1:123456789012:function:stack-Tickets",
    handler="app.handler",
    folder=Path(),
    environment=TOLD,
)
DEPLOYMENT = Deployment(functions=[TICKETS], routes=[], event_sources=[], schedules=[], rules=[])


def test_each_folder_with_an_app_is_a_function_that_is_told_what_consumers_are(tmp_path: Path) -> None:
    for name in ("hello", "world", "notes"):
        (tmp_path / name).mkdir()
    for name in ("hello", "world"):
        (tmp_path / name / "app.py").touch()
    _, hello, world = with_own_functions(DEPLOYMENT, tmp_path, "http://localhost:3000").functions
    assert (hello.name, world.name) == ("hello", "world")
    assert hello.arn == "arn:aws:lambda:eu-central-1:123456789012:function:hello"
    assert (hello.folder, hello.layers, hello.handler) == (tmp_path / "hello", ("ConsentryLayer",), "app.handler")
    assert dict(hello.environment) == {
        "CONSENTRY_CONNECTIONS_TABLE": "t",
        "HUBSPOT_API_BASE": "http://localhost:1",
        "CONSENTRY_API_URL": "http://localhost:3000",
    }


def test_a_folder_without_functions_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    with pytest.raises(Mistake, match="the folder above"):
        with_own_functions(DEPLOYMENT, tmp_path, "")


def test_a_name_that_lambda_would_refuse_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "my function").mkdir()
    (tmp_path / "my function" / "app.py").touch()
    with pytest.raises(Mistake, match="my function"):
        with_own_functions(DEPLOYMENT, tmp_path, "")
