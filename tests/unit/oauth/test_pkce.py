import pytest
from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth2 import WebApplicationClient

from consentry.oauth.pkce import Verifier, challenge_s256

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def test_the_challenge_is_the_one_of_rfc_7636_appendix_b() -> None:
    verifier = Verifier.from_random("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge_s256(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@given(st.text(UNRESERVED, min_size=43, max_size=128))
def test_every_challenge_agrees_with_another_implementation(text: str) -> None:
    oracle = WebApplicationClient("client").create_code_challenge(text, "S256")
    assert challenge_s256(Verifier.from_random(text)) == oracle


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 129, "a" * 42 + "+", "a" * 43 + "\n", "ä" * 43])
def test_a_verifier_has_43_to_128_unreserved_characters(text: str) -> None:
    with pytest.raises(ValueError, match="43 to 128"):
        Verifier.from_random(text)


def test_a_verifier_is_not_printed() -> None:
    text = "v" * 43
    verifier = Verifier.from_random(text)
    assert text not in f"{verifier} {verifier!r}"
