"""Addresses that people may be sent to (more of them, and what a browser makes of them, in `tests/attacks`)."""

import pytest

from consentry.connect.return_urls import is_return_url


@pytest.mark.parametrize(
    "url", ["https://app.test/connected?from=vault", "http://localhost:3000/", "https://a.b.co:8443"]
)
def test_an_ordinary_address_can_be_registered(url: str) -> None:
    assert is_return_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://app.test/", "https://user@app.test/", "https://app.test/#done", "https://0x7f.1/", "//app.test/", "",
        "https://app.test:70000/", "https://app.test/\\x", "https://app.test/\n", "https://[::1]/",
    ],
)  # fmt: skip
def test_an_address_that_could_be_misread_cannot(url: str) -> None:
    assert not is_return_url(url)
