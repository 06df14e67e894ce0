"""What the miniature stack does, seen from outside."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from dev.running import NotReady, started, tick, workers
from tests.local.conftest import MINIATURE, Stack, wait_for


def test_a_public_route_hands_over_the_request_in_payload_format_2(stack: Stack) -> None:
    event = stack.get("/public/a%20b?x=1&x=2&y=%20&z", headers={"Cookie": "one=1; two=2", "X-Twice": "a"}).json()
    assert event["version"] == "2.0"
    assert event["routeKey"] == "ANY /public/{thing}"
    assert event["rawPath"] == "/public/a b"
    assert event["rawQueryString"] == "x=1&x=2&y=%20&z"
    assert event["queryStringParameters"] == {"x": "1,2", "y": " ", "z": ""}
    assert event["pathParameters"] == {"thing": "a b"}
    assert event["cookies"] == ["one=1", "two=2"]
    assert event["headers"]["x-twice"] == "a"
    assert "cookie" not in event["headers"]
    assert event["requestContext"]["http"]["method"] == "GET"
    assert event["requestContext"]["stage"] == "$default"
    assert "authorizer" not in event["requestContext"]
    assert "body" not in event


def test_a_body_that_is_not_text_travels_as_base64(stack: Stack) -> None:
    sent = b"\x00\xff"
    event = stack.post("/public/echo", sent, {"Content-Type": "application/octet-stream"}).json()
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, sent)


def test_each_cookie_is_a_header_of_its_own(stack: Stack) -> None:
    answer = stack.get("/public/cookies")
    assert (answer.status_code, answer.text, answer.headers["X-One"]) == (201, "made", "1")
    assert answer.raw.headers.getlist("Set-Cookie") == ["a=1; Secure", "b=2"]


def test_an_unknown_path_is_api_gateways_404(stack: Stack) -> None:
    answer = stack.get("/nowhere")
    assert (answer.status_code, answer.text) == (404, '{"message":"Not Found"}')


@pytest.mark.parametrize("thing", ["raise", "malformed", "crash"])
def test_a_function_that_fails_is_api_gateways_500(stack: Stack, thing: str) -> None:
    answer = stack.get(f"/public/{thing}")
    assert (answer.status_code, answer.text) == (500, '{"message":"Internal Server Error"}')


def test_headers_beyond_the_limit_are_refused(stack: Stack) -> None:
    assert stack.get("/public/echo", headers={"X-Long": "x" * 10_300}).status_code == 431


def test_a_signed_request_reaches_its_function_with_the_callers_identity(stack: Stack) -> None:
    path, body = "/signed/a%20b/more?z=1&a=%2F", b'{"n": 1}'
    answer = stack.post(path, body, stack.signature(path, body))
    assert answer.status_code == 200
    event = answer.json()
    assert event["body"] == body.decode()
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == stack.ready.access_key_id


@pytest.mark.parametrize("what", ["nothing", "another key", "another body", "another path"])
def test_a_request_that_is_not_signed_for_what_it_asks_is_forbidden(stack: Stack, what: str) -> None:
    path, body = "/signed/x/more", b'{"n": 1}'
    headers = {
        "nothing": {},
        "another key": stack.signature(path, body, secret="wrong"),
        "another body": stack.signature(path, b'{"n": 2}'),
        "another path": stack.signature("/signed/y/more", body),
    }[what]
    answer = stack.post(path, body, headers)
    assert (answer.status_code, answer.text) == (403, '{"message":"Forbidden"}')


def test_a_method_that_a_route_does_not_take_is_not_found(stack: Stack) -> None:
    assert stack.get("/signed/x/more").status_code == 404


def test_tls_is_refused_without_the_generated_ca(stack: Stack) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(stack.ready.base_url, timeout=5)


def test_a_function_sees_its_template_environment_and_nothing_of_the_developers(stack: Stack) -> None:
    told = stack.context()
    environment = told["environment"]
    assert environment["BASE_URL"] == stack.ready.base_url
    assert environment["TABLE"] == stack.ready.tables["pending"]
    assert "LEFT_OUT" not in environment
    assert not {"HOME", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "TEMPLATE"} & environment.keys()
    assert told["importable"] == ["boto3"]
    assert told["arn"].endswith(f":function:{stack.ready.functions['MirrorFunction']}")
    assert 0 < told["remaining"] <= 2000


def test_a_generated_secret_has_the_length_and_alphabet_asked_for(stack: Stack) -> None:
    arn = stack.context()["environment"]["SECRET"]
    value = stack.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    assert len(value) == 43
    assert value.isalnum()


def test_lambda_invoke_answers_at_the_aws_endpoint(stack: Stack) -> None:
    answer, error = stack.invoke("MirrorFunction", {"thing": "cookies"})
    assert (answer["statusCode"], error) == (201, "")


def test_a_function_that_raises_is_reported_as_unhandled(stack: Stack) -> None:
    answer, error = stack.invoke("MirrorFunction", {"thing": "raise"})
    assert (answer["errorType"], answer["errorMessage"], error) == ("RuntimeError", "on purpose", "Unhandled")
    assert "MirrorFunction: " in stack.log()


def test_an_invocation_beyond_its_timeout_is_ended(stack: Stack) -> None:
    answer, error = stack.invoke("MirrorFunction", {"thing": "slow"})
    assert answer["errorMessage"].endswith("Task timed out after 2.00 seconds")
    assert error == "Unhandled"


def test_an_unknown_function_is_not_found(stack: Stack) -> None:
    client = stack.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody", Payload=b"{}")


def test_killing_a_worker_fails_its_invocation_and_the_next_one_works(stack: Stack) -> None:
    with ThreadPoolExecutor() as pool:
        call = pool.submit(stack.invoke, "MirrorFunction", {"thing": "slow", "tag": "to be killed"})
        found = wait_for(lambda: re.search(r"to be killed in (\d+)", stack.log()), "invocation")
        assert int(found[1]) in workers(stack.ready)["MirrorFunction"]
        os.kill(int(found[1]), signal.SIGKILL)
        answer, error = call.result()
    assert answer["errorMessage"].endswith("Runtime exited with error: signal 9")
    assert error == "Unhandled"
    assert int(found[1]) not in workers(stack.ready)["MirrorFunction"]
    assert stack.get("/public/cookies").status_code == 201


def test_more_requests_than_workers_wait_their_turn(stack: Stack) -> None:
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda number: stack.get(f"/public/{number}").json(), range(64)))
    assert [answer["pathParameters"]["thing"] for answer in answers] == [str(number) for number in range(64)]
    assert len(workers(stack.ready)["MirrorFunction"]) <= 8


def test_only_failed_messages_of_a_batch_come_again_until_they_are_dead_letters(stack: Stack) -> None:
    sqs = stack.client("sqs")
    entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(["good", "bad", "fine"])]
    sqs.send_message_batch(QueueUrl=stack.ready.queue_url, Entries=entries)
    first = json.loads(stack.wait_for_note("message bad 1")["record"]["S"])
    stack.wait_for_note("message good 1")
    stack.wait_for_note("message fine 1")
    stack.wait_for_note("message bad 2")
    dead = wait_for(
        lambda: sqs.receive_message(QueueUrl=stack.ready.dead_letter_queue_url).get("Messages"), "dead letter"
    )
    assert [message["Body"] for message in dead] == ["bad"]
    assert (stack.note("message good 2"), stack.note("message fine 2")) == (None, None)
    assert (first["eventSource"], first["awsRegion"]) == ("aws:sqs", stack.ready.region)
    assert first["eventSourceARN"].endswith("-Queue")


def test_a_tables_changes_reach_the_function_that_reads_its_stream(stack: Stack) -> None:
    stack.client("dynamodb").put_item(TableName=stack.ready.tables["pending"], Item={"id": {"S": "change"}})
    record = json.loads(stack.wait_for_note("seen change")["record"]["S"])
    assert record["eventName"] == "INSERT"
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "change"}}


def test_schedules_are_called_on_every_tick_and_on_request(stack: Stack) -> None:
    tick(stack.ready)
    wait_for(lambda: (note := stack.note("seen ticks")) and int(note["calls"]["N"]) > 1, "second tick")
    note = stack.wait_for_note("seen ticks")
    assert note["event"] == {"S": "{}"}


def test_what_is_past_its_time_to_live_is_deleted(stack: Stack) -> None:
    dynamodb, table = stack.client("dynamodb"), stack.ready.tables["pending"]
    for note, ttl in {"seen old": "1", "seen young": "9999999999"}.items():
        dynamodb.put_item(TableName=table, Item={"id": {"S": note}, "ttl": {"N": ttl}})
    wait_for(lambda: stack.note("seen old") is None, "deletion")
    assert stack.note("seen young") is not None


def test_a_failed_condition_shows_the_item_that_is_there(stack: Stack) -> None:
    dynamodb, table = stack.client("dynamodb"), stack.ready.tables["pending"]
    item = {"id": {"S": "seen taken"}, "by": {"S": "somebody"}}
    dynamodb.put_item(TableName=table, Item=item)
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as failure:
        dynamodb.put_item(
            TableName=table,
            Item=item,
            ConditionExpression="attribute_not_exists(id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert failure.value.response["Item"] == item


def test_adds_that_race_are_all_counted(stack: Stack) -> None:
    dynamodb, table = stack.client("dynamodb"), stack.ready.tables["pending"]

    def add(_number: int) -> None:
        dynamodb.update_item(
            TableName=table,
            Key={"id": {"S": "seen count"}},
            UpdateExpression="ADD hits :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    counted = stack.note("seen count")
    assert counted
    assert counted["hits"] == {"N": "40"}


def test_decryption_is_bound_to_its_context(stack: Stack) -> None:
    kms, key = stack.client("kms"), stack.ready.keys["access"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"field": "flow"})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"field": "flow"})["Plaintext"] == b"x"
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"field": "grant"})


def test_everything_ends_with_the_runner_even_if_it_is_killed() -> None:
    with started({"TEMPLATE": str(MINIATURE), "BARE": "1"}) as ready:
        stack = Stack(ready)
        pids = [stack.context()["pid"], *_children(ready.pid)]
        assert len(pids) > 1
        os.kill(ready.pid, signal.SIGKILL)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "end of every process")


def test_a_taken_port_is_named_with_a_remedy(stack: Stack) -> None:
    port = stack.ready.base_url.rpartition(":")[2]
    with pytest.raises(NotReady, match=f"port {port} is in use: .*PORT=0"), started({"PORT": port, "BARE": "1"}):
        pass


def test_mistakes_end_with_status_2_and_a_line_each() -> None:
    environment = {**os.environ, "PORT": "http", "TICK": "0", "PROVIDERS": "/nowhere"}
    command = [sys.executable, "-m", "dev", "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "PORT=http",
        "TICK=0",
        "PROVIDERS=/nowhere",
    ]


def _children(pid: int) -> list[int]:
    return [int(child) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()]
