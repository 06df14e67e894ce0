"""The providers and integrations that the local stack offers."""

import json
from pathlib import Path

import pytest

from consentry.catalogue.load import BUILT_IN
from dev.integrations import default_offers, read_offers
from dev.mistakes import Mistake
from dev.providers import add_own, check_own, load_all, local_url, write_overlays

SERVER = "http://localhost:4000"
ORIGINS = frozenset({SERVER})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "providers"
    made.mkdir()
    write_overlays(made, SERVER)
    return made


def test_every_built_in_provider_has_a_local_twin_at_the_authorization_server(folder: Path) -> None:
    known = load_all(folder, ORIGINS)
    built_in = [file.stem for file in BUILT_IN.glob("*.toml")]
    assert built_in
    for name in built_in:
        real, local = known[name], known[f"local-{name}"]
        assert local.token.url == local_url(SERVER, real.token.url.removeprefix("https://"))
        assert local.sources == real.sources


def test_a_host_of_each_customers_own_becomes_a_part_of_the_path(folder: Path) -> None:
    known = load_all(folder, ORIGINS)
    assert known["local-hubspot"].token.url == f"{SERVER}/api.hubapi.com/oauth/2026-03/token"
    assert known["local-zendesk"].token.url == f"{SERVER}/zendesk.com/{{subdomain}}/oauth/tokens"


def test_there_is_an_integration_for_each_of_them_by_its_own_name(folder: Path) -> None:
    offers = {offer.integration.id: offer for offer in default_offers(load_all(folder, ORIGINS))}
    assert set(offers) == {file.stem for file in BUILT_IN.glob("*.toml")}
    assert offers["hubspot"].secrets["client_secret"]
    assert not offers["hotjar"].integration.client_id


def test_a_users_integration_is_read_with_its_secrets_hidden(tmp_path: Path, folder: Path) -> None:
    entry = {"id": "mine", "provider": "hubspot", "client_id": "c", "client_secret": "canary", "scopes": ["oauth"]}
    offer = read_offers(_file(tmp_path, [entry]), load_all(folder, ORIGINS))[0]
    assert (offer.integration.id, offer.integration.scopes) == ("mine", ("oauth",))
    assert offer.secrets["client_secret"].reveal() == "canary"
    assert "canary" not in repr(offer)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({}, "must be a list of objects"),
        (["x"], "entry 1: must be an object"),
        ([{"id": "a b", "provider": "hubspot", "client_id": "c", "client_secret": "s"}], "entry 1: id must be 1 to 63"),
        ([{"id": "a"}], "entry 1: provider is missing"),
        ([{"id": "a", "provider": "hubspto"}], "entry 1: there is no provider 'hubspto'; there are .*hubspot"),
        ([{"id": "a", "provider": "hubspot", "client_secret": "s"}], "entry 1: client_id is missing"),
        ([{"id": "a", "provider": "hubspot", "client_id": "c"}], "entry 1: client_secret is missing"),
        ([{"id": "a", "provider": "hotjar", "scopes": "x"}], "entry 1: scopes must be a list of strings"),
        ([{"id": "a", "provider": "hotjar", "secret": "x"}], "entry 1: secret is not a field; there are id, "),
        ([{"id": "a", "provider": "hotjar"}] * 2, "entry 2: id 'a' stands there twice"),
    ],
)
def test_a_wrong_entry_is_named_with_what_to_do(tmp_path: Path, folder: Path, entries: object, said: str) -> None:
    with pytest.raises(Mistake, match=f"INTEGRATIONS=.*own.json: {said}"):
        read_offers(_file(tmp_path, entries), load_all(folder, ORIGINS))


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text("[")
    with pytest.raises(Mistake, match=r"own.json: is not JSON"):
        read_offers(file, {})


def test_a_users_provider_may_not_take_the_id_of_another(tmp_path: Path, folder: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "hubspot.toml").write_text((BUILT_IN / "hubspot.toml").read_text())
    with pytest.raises(Mistake, match=r"hubspot.toml: a provider of this id exists already"):
        add_own(folder, own)


def test_a_users_provider_with_a_mistake_is_named_with_file_and_field(tmp_path: Path) -> None:
    text = (BUILT_IN / "hubspot.toml").read_text().replace('id = "hubspot"', 'id = "mine"')
    (tmp_path / "mine.toml").write_text(text.replace('body = "form"', 'body = "from"'))
    with pytest.raises(Mistake, match=r"mine.toml: token.body"):
        check_own(tmp_path, ORIGINS)


def test_a_folder_without_provider_files_is_a_mistake(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Mistake, match=r"holds no \.toml file"):
        add_own(folder, tmp_path)


def _file(folder: Path, entries: object) -> Path:
    file = folder / "own.json"
    file.write_text(json.dumps(entries))
    return file
