"""Errors as their callers get them, from another process too."""

import copy
import pickle

import pytest

from consentry.errors import BeingRemoved, ConsentryError, Misconfigured, ReauthRequired, TokenUnavailable


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (ReauthRequired("Connect again.", cause="grant_revoked"), {"cause": "grant_revoked"}),
        (BeingRemoved("Come back.", retry_after_seconds=7), {"retry_after_seconds": 7}),
        (TokenUnavailable("Come back.", retry_after_seconds=9, detail="why"), {"retry_after_seconds": 9}),
        (Misconfigured("Set a variable."), {}),
    ],
)
def test_an_error_comes_whole_out_of_another_process(error: ConsentryError, more: dict[str, object]) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - what was pickled here
        assert (type(again), str(again), again.args) == (type(error), error.public, (error.public,))
        assert (again.code, again.detail) == (error.code, error.detail)
        assert {name: getattr(again, name) for name in more} == more
