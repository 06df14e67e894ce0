"""Tickets and states: unguessable, bound to what they are for, refused without asking a table."""

import pytest

from consentry.connect.tickets import Tickets, cookie_name, digest, same
from consentry.model import Secret
from consentry.system import SystemRandomness

TICKETS = Tickets(Secret("CNRY-mac-key"))
RANDOM = "r" * 43


def test_a_ticket_opens_the_session_that_it_was_issued_for() -> None:
    ticket, session_id = TICKETS.ticket(RANDOM)
    verified = TICKETS.verify_ticket(ticket)
    assert verified is not None
    assert verified.session_id == session_id


def test_a_session_s_id_does_not_reveal_its_ticket() -> None:
    ticket, session_id = TICKETS.ticket(RANDOM)
    assert session_id not in ticket
    assert ticket[:43] not in session_id


@pytest.mark.parametrize("position", [0, 20, 42, 43, 64])
def test_a_ticket_with_one_character_changed_opens_nothing(position: int) -> None:
    ticket, _ = TICKETS.ticket(RANDOM)
    other = "A" if ticket[position] != "A" else "B"
    assert TICKETS.verify_ticket(ticket[:position] + other + ticket[position + 1 :]) is None


@pytest.mark.parametrize("garbage", ["", "x", "x" * 65, "é" * 65, "\ud800" * 65, "x" * 10_000])
def test_garbage_is_neither_a_ticket_nor_a_state(garbage: str) -> None:
    assert TICKETS.verify_ticket(garbage) is None
    assert TICKETS.verify_state(garbage, "crm") is None
    assert TICKETS.verify_state("\ud800" * 87, "\ud800") is None


def test_a_state_is_bound_to_its_integration_and_to_the_key() -> None:
    state = TICKETS.state("s" * 22, "crm", RANDOM)
    verified = TICKETS.verify_state(state, "crm")
    assert verified is not None
    assert (verified.session_id, verified.integration, verified.state_hash) == ("s" * 22, "crm", digest(state))
    assert TICKETS.verify_state(state, "crm2") is None
    assert Tickets(Secret("another")).verify_state(state, "crm") is None


def test_a_ticket_is_not_a_state_nor_the_other_way_round() -> None:
    ticket, session_id = TICKETS.ticket(RANDOM)
    assert TICKETS.verify_state(session_id + ticket, "crm") is None
    assert TICKETS.verify_ticket(TICKETS.state(session_id, "crm", RANDOM)[22:]) is None


def test_cookies_of_two_flows_have_different_names() -> None:
    assert cookie_name(digest("one")) != cookie_name(digest("two"))


def test_comparing_takes_any_text() -> None:
    assert same("\ud800", "\ud800")
    assert not same("\ud800", "é")


def test_real_tokens_are_unique_and_of_the_length_that_tickets_need() -> None:
    tokens = {SystemRandomness().token() for _ in range(10_000)}
    assert len(tokens) == 10_000
    assert {len(token) for token in tokens} == {43}


def test_a_form_is_bound_to_session_integration_and_browser() -> None:
    made = TICKETS.form("s" * 22, "crm", RANDOM, "n" * 43)
    verified = TICKETS.verify_form(made, "s" * 22, "crm", RANDOM)
    assert verified is not None
    assert verified.random == "n" * 43
    for session_id, integration, binding in (
        ("t" * 22, "crm", RANDOM),
        ("s" * 22, "desk", RANDOM),
        ("s" * 22, "crm", "q" * 43),
        ("s" * 22, "crm", ""),
        ("s" * 22, "crm", RANDOM + "x"),
        ("s" * 22, f"crm|{RANDOM}", RANDOM),
        ("s" * 22, "", RANDOM),
    ):
        assert TICKETS.verify_form(made, session_id, integration, binding) is None
    assert Tickets(Secret("CNRY-other")).verify_form(made, "s" * 22, "crm", RANDOM) is None


@pytest.mark.parametrize("garbage", ["", "x" * 65, "\ud800" * 65, "n" * 43, "x" * 10_000])
def test_garbage_is_no_form(garbage: str) -> None:
    assert TICKETS.verify_form(garbage, "s" * 22, "crm", RANDOM) is None


def test_a_ticket_or_state_is_no_form_and_a_form_no_ticket() -> None:
    made = TICKETS.form("s" * 22, "crm", RANDOM, "n" * 43)
    assert TICKETS.verify_ticket(made) is None
    ticket, session_id = TICKETS.ticket(RANDOM)
    assert TICKETS.verify_form(ticket, session_id, "crm", RANDOM) is None
