"""The nouns of the vault: secrets that cannot slip out, and tokens that are served until their end."""

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from consentry.model import Connection, ConnectionKey, Grant, Secret, Status

NOW = 1_800_000_000


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_is_neither_pickled_nor_copied_nor_written_as_json(way: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as raised:
        way({"inside": Secret("CNRY-secret")} if way is copy.deepcopy else Secret("CNRY-secret"))
    assert "CNRY-" not in str(raised.value)


def test_a_secret_is_hidden_however_it_is_printed_and_tells_only_whether_it_is_empty() -> None:
    secret = Secret("CNRY-secret")
    assert {repr(secret), str(secret), f"{secret:>40}", f"{secret!s}"} == {"Secret(***)"}
    assert (bool(secret), bool(Secret(""))) == (True, False)
    assert secret.reveal() == "CNRY-secret"


@pytest.mark.parametrize(
    ("expires_at", "servable"),
    [(None, True), (NOW + 61, True), (NOW + 60, False), (NOW, False), (NOW - 1, False)],
)
def test_a_token_is_servable_until_a_minute_before_its_end_and_for_good_if_it_has_none(
    expires_at: int | None, *, servable: bool
) -> None:
    connection = Connection(
        key=ConnectionKey("acme", "crm"),
        provider="crm",
        grant_type=Grant.AUTHORIZATION_CODE,
        status=Status.ACTIVE,
        gen=1,
        epoch=1,
        refreshed_at=NOW - 3600,
        expires_at=expires_at,
    )
    assert connection.servable(NOW) is servable
