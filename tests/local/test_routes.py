"""Which route takes a request."""

import pytest

from dev.routes import Route, find_route

ROUTES = [
    Route(key, "arn", signed=False)
    for key in (
        "$default",
        "ANY /things/{rest+}",
        "ANY /things/{thing}",
        "GET /things/{thing}",
        "ANY /things/new",
        "GET /things/{thing}/parts/{part}",
    )
]


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/things/1", "GET /things/{thing}"),
        ("POST", "/things/1", "ANY /things/{thing}"),
        ("GET", "/things/new", "ANY /things/new"),
        ("GET", "/things/1/parts/2", "GET /things/{thing}/parts/{part}"),
        ("POST", "/things/1/parts/2", "ANY /things/{rest+}"),
        ("GET", "/elsewhere", "$default"),
        ("GET", "/things/", "$default"),
    ],
)
def test_the_most_specific_route_wins(method: str, path: str, key: str) -> None:
    found = find_route(ROUTES, method, path)
    assert found
    assert found[0].key == key


def test_path_parameters_are_taken_from_their_segments() -> None:
    found = find_route(ROUTES, "GET", "/things/a b/parts/c#d")
    assert found
    assert found[1] == {"thing": "a b", "part": "c#d"}


def test_a_path_that_no_route_takes_is_not_found() -> None:
    assert find_route(ROUTES[1:], "GET", "/elsewhere") is None
