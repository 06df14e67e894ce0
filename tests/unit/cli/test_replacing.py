"""`consentry keys replace`: passes until nothing is under another key, and what it says when something is."""

from dataclasses import replace
from typing import Any, cast

import pytest

from consentry.errors import ConsentryError
from consentry.ports import StorageUnavailable
from consentry.rekey.operate import Rekey
from consentry_cli.failures import Exit
from consentry_cli.replacing import MOST_PASSES, Pass, is_clear, passes
from tests.unit.cli.conftest import Operator

NOTHING = {"escrow": False, "flows": 0, "until": None}


def page(waiting: dict[str, Any] | None = NOTHING, place: list[str] | None = None, **counts: Any) -> dict[str, Any]:  # noqa: ANN401 - counts, and a list
    return {
        "operation": "replace", "dry_run": False, "seen": 1, "replaced": 0, "already": 0, "raced": 0, "left": 0,
        "unreadable": [], "waiting": waiting if place is None else None, "next": place, **counts,
    }  # fmt: skip


class Scripted:
    """What the function answers, one after the other; the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | ConsentryError) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(event)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ConsentryError):
            raise answer
        return answer


def scripted(operator: Operator, *answers: dict[str, Any] | ConsentryError) -> Scripted:
    script = Scripted(*answers)
    operator.aws.rekey = lambda: cast("Rekey", script)
    return script


def made(*answers: dict[str, Any]) -> list[Pass]:
    return list(passes(Scripted(*answers), dry_run=False))


def test_a_pass_that_replaced_is_followed_by_one_that_looks(operator: Operator) -> None:
    script = scripted(operator, page(replaced=1), page(already=1))
    told = operator("keys", "replace", "--json")
    assert (told.code, told.json) == (
        Exit.OK,
        {
            "dry_run": False, "clear": True, "passes": 2, "seen": 1, "replaced": 1, "raced": 0, "left": 0,
            "unreadable": [], "waiting": NOTHING,
        },
    )  # fmt: skip
    assert script.asked == [{"operation": "replace", "dry_run": False, "next": None}] * 2
    assert "Nothing is under another key" in operator("keys", "replace").out


def test_pages_follow_each_other_by_their_place(operator: Operator) -> None:
    script = scripted(operator, page(place=["acme", "crm#a"], replaced=1), page(), page())
    assert operator("keys", "replace", "--json", terminal=True).json["seen"] == 1
    assert [each["next"] for each in script.asked] == [None, ["acme", "crm#a"], None]


def test_what_was_in_escrow_when_the_last_pass_began_may_have_been_written_behind_its_back() -> None:
    waited, nothing, replaced = Pass(), Pass(), Pass()
    waited.take(page({**NOTHING, "escrow": True}))
    nothing.take(page())
    replaced.take(page(replaced=1))
    assert is_clear(nothing, nothing)
    assert is_clear(replaced, nothing)
    assert not is_clear(waited, nothing)
    assert not is_clear(nothing, waited)
    assert not is_clear(nothing, replaced)


@pytest.mark.parametrize(
    ("answers", "count"),
    [
        ([page(replaced=2), page(replaced=1), page()], 3),
        ([page(raced=1), page()], 2),
        ([page(left=1)], 2),
        ([page({**NOTHING, "flows": 1, "until": 1})], 2),
        ([page(replaced=1)], MOST_PASSES),
    ],
)
def test_passes_end_when_nothing_is_left_or_nothing_changes(answers: list[dict[str, Any]], count: int) -> None:
    assert len(made(*answers)) == count


REMAINING = [
    (page(left=3), "3 left under another key"),
    (page({**NOTHING, "escrow": True}), "wait in escrow"),
    (page({**NOTHING, "flows": 2, "until": 1_800_000_000}), "2 consents under way are under another key, until 2027"),
    (page(unreadable=[{"tenant": "acme", "connection": "crm#a", "why": "grant: truncated"}]), "grant: truncated"),
]


@pytest.mark.parametrize(("answer", "said"), REMAINING)
def test_what_remains_is_said_and_has_an_exit_code(operator: Operator, answer: dict[str, Any], said: str) -> None:
    scripted(operator, answer)
    told = operator("keys", "replace", "--dry-run")
    assert (told.code, said in told.out) == (Exit.PROBLEMS, True)
    assert "Nothing is under another key" not in told.out


def test_what_fails_says_that_it_may_be_said_again(operator: Operator) -> None:
    scripted(operator, page(place=["acme", "crm#a"]), StorageUnavailable("A key did not answer."))
    told = operator("keys", "replace")
    assert (told.code, told.out) == (Exit.UNAVAILABLE, "")
    assert told.err.strip() == "consentry: A key did not answer. What was replaced stays so."


def test_a_stack_without_a_second_key_says_how_to_name_one(operator: Operator) -> None:
    outputs = {name: each for name, each in operator.installation.outputs.items() if name != "RekeyFunctionName"}
    operator.installation = replace(operator.installation, outputs=outputs)
    told = operator("keys", "replace")
    assert (told.code, "OtherGrantKeyArn" in told.err) == (Exit.NOT_FOUND, True)
