"""The benchmark of cold starts: what it repeats, what it counts, and what it says about a wrong call."""

import pytest

from benchmarks.cold_start.consumer import NORM_MS, Programs
from benchmarks.cold_start.endpoint import Exchange, Tape
from benchmarks.cold_start.options import parse
from benchmarks.cold_start.process import Cost
from benchmarks.cold_start.report import Compared, consumer_row, table


def exchange(request: bytes, answer: bytes, target: str = "DynamoDB_20120810.GetItem") -> Exchange:
    return Exchange(target=target, request=request, status=200, answer=answer, content_type="", seconds=0)


def cost(cpu_ms: float) -> Cost:
    return Cost(cpu_ms=cpu_ms, wall_ms=2 * cpu_ms, rss_mb=50)


def test_a_tape_answers_the_same_request_with_its_own_answer_and_another_with_the_next_of_its_kind() -> None:
    tape = Tape([exchange(b"1", b"one"), exchange(b"2", b"two"), exchange(b"3", b"three")])
    tape.rewind()
    answers = [tape.next("DynamoDB_20120810.GetItem", request) for request in (b"2", b"random", b"3")]
    assert [found and found.answer for found in answers] == [b"two", b"one", b"three"]
    assert not tape.left


def test_a_call_that_was_not_made_before_is_kept_as_unknown() -> None:
    tape = Tape([exchange(b"1", b"one")])
    tape.rewind()
    assert tape.next("TrentService.Decrypt", b"1") is None
    assert tape.unknown == ["TrentService.Decrypt"]


def test_an_exchange_knows_the_boto3_call_that_made_it() -> None:
    made = exchange(b'{"KeyId": "k"}', b"", "TrentService.GenerateDataKey")
    assert made.as_call() == ("kms", "generate_data_key", {"KeyId": "k"})


def test_ratios_are_of_medians() -> None:
    ours, plain = [cost(90), cost(110), cost(500)], [cost(100), cost(90), cost(110)]
    row = Compared(name="authorize", calls=["kms:decrypt"], ours=ours, plain=plain).as_row()
    assert (row["cpu_ratio"], row["goal"], row["runs"]) == (1.1, 1.0, 3)
    assert "| authorize | 110 | 100 | **1.10** | 1.0 |" in table([row], None)


def test_a_consumer_is_counted_in_the_time_that_boto3_takes_on_this_machine() -> None:
    slow = Programs(
        empty=cost(0), boto3=cost(2 * NORM_MS), calls=cost(2 * NORM_MS + 100), token=cost(2 * NORM_MS + 160)
    )
    row = consumer_row([slow])
    assert (row["on_top_of_boto3_norm_ms"], row["on_top_of_the_same_calls_norm_ms"]) == (80, 30)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--runs", "0"], "at least one run"),
        (["--layer", "/nowhere"], "give the folder that a layer was built in"),
        (["--set", "NAME"], "write NAME=VALUE"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    words: list[str], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert remedy in capsys.readouterr().err
