"""What pages say: the same in each language, for each thing that can happen, and chosen as browsers ask."""

import re
from pathlib import Path
from string import Template
from typing import Final

import pytest

from consentry.catalogue.load import BUILT_IN, load_directory
from consentry.connect.entering import FormSent, TooManyTries
from consentry.errors import InvalidRequest, ProviderTrouble
from consentry.model import Cause, Status
from consentry.oauth.callback import REFUSED
from consentry.pages.render import error_text
from consentry.pages.words import LANGUAGES, words, words_for

LAYER: Final = Path(__file__).parents[3] / "layers" / "consentry" / "consentry"
# Modules whose refusals a browser may meet.
OF_PEOPLE: Final = (
    "connect/authorize.py", "connect/callback.py", "connect/entering.py", "connect/exchange.py", "connect/opening.py",
    "connect/store.py", "oauth/callback.py", "web/credentials.py", "web/request.py", "web/consent.py",
    "web/boundary.py",
)  # fmt: skip
OF_PROGRAMS: Final = {"invalid_json"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_places_in_them(language: str) -> None:
    english, other = words("en").texts, words(language).texts
    assert list(other) == list(english)
    for key, text in english.items():
        assert set(Template(other[key]).get_identifiers()) == set(Template(text).get_identifiers()), key
        assert Template(other[key]).is_valid()
        assert other[key].strip() == other[key] != ""


def test_a_translation_is_one() -> None:
    english, portuguese = words("en").texts, words("pt").texts
    assert {key for key in english if english[key] == portuguese[key]} == set()


def test_there_is_a_file_for_each_language_and_no_other() -> None:
    assert {file.stem for file in (LAYER / "pages" / "texts").glob("*.json")} == set(LANGUAGES)


def test_every_state_and_cause_has_words() -> None:
    texts = words("en").texts
    assert {f"state.{each}" for each in (*Status, "none", "unavailable")} <= texts.keys()
    assert {f"why.{each}" for each in Cause} <= texts.keys()
    assert f"denied.{REFUSED}" in texts


def test_every_refusal_that_a_browser_may_meet_has_words() -> None:
    source = "\n".join((LAYER / name).read_text(encoding="utf-8") for name in OF_PEOPLE)
    codes = set(re.findall(r'(?:default_)?code *= *"([a-z_]+)"', source)) - OF_PROGRAMS
    assert len(codes) > 25
    assert {f"error.{code}" for code in codes} - words("en").texts.keys() == set()


def test_every_text_is_used_somewhere() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in LAYER.rglob("*.py"))
    whole = {key for key in words("en").texts if not re.search(rf"[\"']{re.escape(key)}[\"']", source)}
    made = ("error.", "denied.", "why.", "state.", "fact.", "connected.", "almost.", "form.label", "form.description")
    assert {key for key in whole if not key.startswith(made)} == set()


def test_a_refusal_without_words_is_told_without_its_own() -> None:
    assert "CNRY" not in error_text(words("en"), InvalidRequest("CNRY-own-words", code="nobody_knows"))
    assert error_text(words("pt"), TooManyTries("English")).startswith("Foram tentativas demais")
    assert error_text(words("pt"), FormSent("English")).startswith("Este formulário")


def test_the_provider_is_named_where_it_is_known() -> None:
    error = ProviderTrouble("CRM did not answer", code="provider_silent")
    assert error_text(words("en"), error).startswith("The provider did not answer.")
    error.about = "CRM"
    assert error_text(words("pt"), error).startswith("CRM não respondeu.")


@pytest.mark.parametrize(
    ("session", "accepted", "spoken"),
    [
        ("", "", "en"),
        ("pt", "en", "pt"),
        ("en", "pt-BR", "en"),
        ("de", "pt-BR,en;q=0.5", "pt"),
        ("", "pt", "pt"),
        ("", "PT-br", "pt"),
        ("", "de, pt;q=0.7, en;q=0.9", "en"),
        ("", "en;q=0.1,pt;q=0.2", "pt"),
        ("", "pt;q=0", "en"),
        ("", "pt;q=2, en", "en"),
        ("", "pt;q=nan", "en"),
        ("", "pt;level=1", "en"),
        ("", "*", "en"),
        ("", ",;,=;q=;q", "en"),
        ("", "xx," * 5000 + "pt", "en"),
    ],
)
def test_the_session_chooses_the_language_then_the_browser_then_we(session: str, accepted: str, spoken: str) -> None:
    assert words_for(session, accepted).language == spoken


def test_scopes_that_built_in_providers_ask_for_have_words_in_every_language() -> None:
    for provider in load_directory(BUILT_IN).values():
        told = {each.scope: each.words for each in provider.scope_words}
        asked = provider.authorization.default_scopes if provider.authorization else ()
        assert set(asked) <= set(told)
        assert all(set(LANGUAGES) <= set(each) for each in told.values())
        assert all(set(LANGUAGES) - {"en"} <= set(each.labels) for each in provider.credential_inputs)
