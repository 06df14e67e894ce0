"""Whose token it is, where the token answer does not tell."""

from base64 import b64decode

import pytest

from consentry.ports import NotDelivered, Undetermined
from tests.support.client_secrets import CLIENT_SECRET
from tests.support.deployment import Browser, Deployment, body_of, query_of
from tests.support.provider import Step, answer, tokens

DESK = {"integrations": ["desk"], "return_url": "https://app.test/connected"}
WHOSE = {"active": True, "sub": "user-9", "org": "o-1"}


def connect(deployment: Deployment, *script: Step, **session: object) -> dict[str, object]:
    returned = query_of(
        Browser(deployment).consents(deployment.created(**DESK, **session), "desk", iss="https://desk.test")
    )
    deployment.provider.then(*script)
    return body_of(deployment.completed(returned))


def shown(body: dict[str, object]) -> dict[str, object]:
    connection = body["connection"]
    assert isinstance(connection, dict)
    return connection


def test_the_provider_is_asked_whose_token_it_is(deployment: Deployment) -> None:
    connection = shown(connect(deployment, tokens(), answer(body=WHOSE)))
    assert (connection["account"], connection["metadata"]) == ("user-9", {"org": "o-1"})
    asked = deployment.provider.requests[1]
    assert deployment.provider.forms[1]["token"] == "CNRY-access-6f1d0c3b9a7e4582"
    assert b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode() == f"desk-client:{CLIENT_SECRET}"
    assert deployment.provider.deadlines == [12.0, 3.0]


@pytest.mark.parametrize(
    "step",
    [
        NotDelivered("x"),
        Undetermined("deadline"),
        answer(500, b"no"),
        answer(body={"active": False}),
        answer(body=b"["),
    ],
)
def test_not_knowing_whose_it_is_costs_no_token(deployment: Deployment, step: Step) -> None:
    connection = shown(connect(deployment, tokens(), step))
    assert (connection["account"], connection["status"]) == ("", "active")


def test_a_known_account_is_not_replaced_by_an_unknown_one(deployment: Deployment) -> None:
    """S-42."""
    connect(deployment, tokens(), answer(body=WHOSE))
    before = deployment.connection("desk")
    unknown = connect(deployment, tokens(), Undetermined("deadline"))
    assert (unknown["status"], unknown["code"]) == (502, "account_unknown")
    assert "Desk did not say which account this is" in str(unknown["detail"])
    assert deployment.connection("desk") == before
    other = connect(deployment, tokens(), answer(body={**WHOSE, "sub": "user-10"}))
    assert (other["status"], other["code"]) == (409, "account_mismatch")
    assert shown(connect(deployment, tokens(), Undetermined("deadline"), allow_account_change=True))["account"] == ""
