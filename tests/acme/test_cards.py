import pytest

from dev.acme.cards import cards, ends, moment
from tests.acme.fakes import NOW, FakeConsentry, connection


@pytest.mark.parametrize(
    ("expires_at", "said"),
    [(None, "never"), (NOW - 1, "ended"), (NOW + 119, "in 119 s"), (NOW + 3_600, "in 60 min")],
)
def test_the_end_of_a_token_is_told_in_words(expires_at: int | None, said: str) -> None:
    assert ends(expires_at, NOW) == said


def test_a_moment_is_told_in_utc() -> None:
    assert moment(NOW) == "08:00:00 UTC"


def test_connected_integrations_come_first_and_other_names_do_not_count() -> None:
    known = FakeConsentry().integrations()
    found = [connection(integration="hotjar"), connection(name="second")]
    shown = [(card.integration, card.connected) for card in cards(known, found, NOW)]
    assert shown == [("hotjar", True), ("hubspot-ticketing", False)]


def test_an_integration_with_credentials_has_a_form_and_one_with_consent_has_none() -> None:
    forms = {
        card.integration: [each.name for each in card.inputs] for card in cards(FakeConsentry().integrations(), [], NOW)
    }
    assert forms == {"hubspot-ticketing": [], "hotjar": ["client_id", "client_secret", "site_id"]}
