import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.catalogue.load import BUILT_IN, Catalogue, ProviderFileInvalid, load_directory, parse_provider
from consentry.errors import Misconfigured, OperatorMustAct
from consentry.model import Grant
from consentry.oauth.provider import ClientAuthentication, Pkce, Provider, Revocation, Rotation

CODE = """\
id = "acme"
name = "Acme"
grant = "authorization_code"
checked = 2026-11-01
sources = ["https://acme.example/docs"]

[authorization]
url = "https://acme.example/authorize"
pkce = "required"

[token]
url = "https://acme.example/token"
client_authentication = "client_secret_basic"
body = "form"

[refresh]
rotation = "rotates"
reuse_grace_seconds = 0
"""

CREDENTIALS = """\
id = "acme"
name = "Acme"
grant = "client_credentials"
checked = 2026-11-01
sources = ["https://acme.example/docs"]

[token]
url = "https://acme.example/token"
client_authentication = "client_secret_post"
body = "json"

[refresh]
rotation = "remint"

[[credential_inputs]]
name = "client_id"
label = "Client ID"
secret = false

[[credential_inputs]]
name = "client_secret"
label = "Client secret"
secret = true
"""

LOCAL = CODE.replace("https://acme.example/token", "http://localhost:4000/token")


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def problems(text: str, **how: frozenset[str]) -> tuple[str, ...]:
    with pytest.raises(ProviderFileInvalid) as caught:
        parse_provider(text, "acme.toml", **how)
    return caught.value.problems


def test_a_file_becomes_a_provider_with_the_defaults_of_its_fields() -> None:
    provider = parse_provider(CODE, "acme.toml")
    assert (provider.id, provider.grant, provider.checked) == ("acme", Grant.AUTHORIZATION_CODE, "2026-11-01")
    assert provider.authorization is not None
    assert (provider.authorization.pkce, provider.authorization.scope_separator) == (Pkce.REQUIRED, " ")
    assert provider.token.client_authentication is ClientAuthentication.BASIC
    assert (provider.token.expires_in_default_seconds, provider.token.gone_errors) == (3600, ("invalid_grant",))
    assert (provider.refresh.rotation, provider.revocation) == (Rotation.ROTATES, Revocation.UNKNOWN)
    assert (provider.sunset, provider.unverified, provider.introspection) == ("", False, None)


def test_every_field_can_be_written() -> None:
    text = changed(
        CODE, "[authorization]\n", 'sunset = 2027-02-16\nunverified = true\nrevocation = "grant"\n[authorization]\n'
    )
    text = changed(text, "[refresh]\n", '[token.parameters]\naudience = "api"\n[refresh]\nidle_lifetime_seconds = 60\n')
    text += '[introspection]\nurl = "https://acme.example/introspect"\naccount_field = "sub"\nkeep = ["username"]\n'
    provider = parse_provider(text, "acme.toml")
    assert (provider.sunset, provider.unverified, provider.revocation) == ("2027-02-16", True, Revocation.GRANT)
    assert provider.token.parameters == {"audience": "api"}
    assert provider.refresh.idle_lifetime_seconds == 60
    assert provider.introspection is not None
    assert provider.introspection.keep == ("username",)


def test_never_is_how_a_lifetime_says_that_there_is_none() -> None:
    text = changed(CODE, 'body = "form"\n', 'body = "form"\nexpires_in_default_seconds = "never"\n')
    assert parse_provider(text, "acme.toml").token.expires_in_default_seconds is None


def test_credential_inputs_keep_their_order() -> None:
    provider = parse_provider(CREDENTIALS, "acme.toml")
    assert [wanted.name for wanted in provider.credential_inputs] == ["client_id", "client_secret"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'id = "acme"',
            'id = "other"',
            "acme.toml: id is 'other', but the file is named acme.toml: make them the same",
        ),
        ('id = "acme"', 'id = "Acme"', "acme.toml: id must be lower-case letters, digits and -, and begin with"),
        ('id = "acme"\n', "", "acme.toml: id is missing: add it"),
        ("checked = 2026-11-01", 'checked = "2026-11-01"', "acme.toml: checked must be a date without quotes"),
        ("checked = 2026-11-01", "checked = 2026-11-01T10:00:00Z", "acme.toml: checked must be a date without quotes"),
        ("checked = 2026-11-01\n", "", "acme.toml: checked is missing"),
        ("checked = ", "sunset = true\nchecked = ", "acme.toml: sunset must be a date"),
        ('name = "Acme"', "name = 7", "acme.toml: name must be a string in quotes"),
        ('name = "Acme"', 'name = "Acme"\nunverified = "yes"', "acme.toml: unverified must be true or false"),
        ('"https://acme.example/docs"', "", "acme.toml: sources must be a list of at least one https link"),
        ('"https://acme.example/docs"', '"their docs"', "acme.toml: sources must be a list of at least one https link"),
        ('"https://acme.example/docs"', "7", "acme.toml: sources[0] must be a string in quotes"),
        ('["https://acme.example/docs"]', '"https://acme.example/docs"', "acme.toml: sources must be a list"),
        (
            '"authorization_code"',
            '"implicit"',
            "acme.toml: grant must be one of authorization_code, client_credentials",
        ),
        ('"authorization_code"', "[]", "acme.toml: grant must be one of authorization_code, client_credentials"),
        ("pkce =", "pkze =", "acme.toml: authorization.pkze is not a known field: did you mean pkce?"),
        ("[token]", "[tokens]", "acme.toml: tokens is not a known field: did you mean token?"),
        ("[refresh]", "[refresh]\nwhatever = 1", "acme.toml: refresh.whatever is not a known field: remove it"),
        ('pkce = "required"\n', "", "acme.toml: authorization.pkce is missing: add it"),
        (
            '"required"',
            '"plain"',
            "acme.toml: authorization.pkce must be one of required, supported, ignored, forbidden",
        ),
        ('body = "form"', 'body = "form"\nparameters = ["a"]', "acme.toml: token.parameters must be a table"),
        (
            'body = "form"',
            'body = "form"\nparameters = {a = 1}',
            "acme.toml: token.parameters must map names to strings",
        ),
        ('body = "form"', 'body = "form"\nexpires_in_default_seconds = true', "must be a whole number"),
        ('body = "form"', 'body = "form"\nexpires_in_default_seconds = 0', "must be at least 1"),
        (
            'body = "form"',
            'body = "form"\nscope_separator = ""',
            "acme.toml: token.scope_separator must be one character",
        ),
        ('body = "form"', 'body = "form"\nerror_fields = []', "acme.toml: token.error_fields must name at least one"),
        ("reuse_grace_seconds = 0\n", "", "acme.toml: refresh.reuse_grace_seconds is missing"),
        ("reuse_grace_seconds = 0", "reuse_grace_seconds = -1", "refresh.reuse_grace_seconds must not be negative"),
        (
            '"rotates"',
            '"none"\nidle_lifetime_seconds = -1',
            "acme.toml: refresh.idle_lifetime_seconds must be at least 1",
        ),
        (
            '"rotates"\nreuse_grace_seconds = 0',
            '"none"\nreuse_grace_seconds = 9',
            'only means something with rotation = "rot',
        ),
        (
            '"rotates"\nreuse_grace_seconds = 0',
            '"remint"',
            'acme.toml: refresh.rotation must be "remint" for client_cred',
        ),
        ('url = "https://acme.example/authorize"\npkce = "required"\n', "", "acme.toml: authorization.url is missing"),
    ],
)
def test_a_mistake_is_named_with_file_field_and_remedy(old: str, new: str, sentence: str) -> None:
    assert any(sentence in problem for problem in problems(changed(CODE, old, new)))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("secret = true", "secret = false", "credential_inputs.client_secret must be secret = true"),
        (
            "secret = true",
            "secret = true\nmetadata = true",
            "credential_inputs.client_secret is secret, so it cannot be",
        ),
        ("secret = true", "secret = true\nmax_length = 0", "credential_inputs.client_secret must have a max_length"),
        (
            "secret = true",
            'secret = true\npattern = "(a+)+$"',
            "credential_inputs.client_secret has a pattern that is not",
        ),
        (
            "secret = true",
            'secret = true\npattern = "[0-9]*"',
            "credential_inputs.client_secret has a pattern that is not",
        ),
        ("secret = true", f'secret = true\npattern = "{"a" * 201}"', "credential_inputs.client_secret has a pattern"),
        (
            "secret = true",
            'secret = true\nlabels = { PT = "x" }',
            "credential_inputs.client_secret.labels has the language",
        ),
        (
            "secret = true",
            'secret = true\nlabels = { pt = "" }',
            "credential_inputs.client_secret.labels.pt must be a text",
        ),
        ("secret = true", "secret = true\nrequired = false", "credential_inputs must ask for client_secret"),
        ('"client_secret"', '"client_key"', "credential_inputs must ask for client_secret"),
        ('"client_secret"', '"client_id"', "credential_inputs has a name twice"),
        ('"client_secret"', '"Client Secret"', "credential_inputs has the name 'Client Secret'"),
        ('name = "client_secret"\n', "", "credential_inputs[1].name is missing: add it"),
        ("[[credential_inputs]]\nname", "[credential_inputs]\nname", "must be written as [[credential_inputs]]"),
        ('"client_secret_post"', '"none"', "token.client_authentication cannot be none for client_credentials"),
        ('"remint"', '"none"', 'refresh.rotation must be "remint" for client_credentials'),
        (
            "[refresh]",
            '[authorization]\nurl = "https://a.b/"\npkce = "required"\n[refresh]',
            "authorization is not used by",
        ),
    ],
)
def test_a_mistake_about_credentials_is_named(old: str, new: str, sentence: str) -> None:
    text = CREDENTIALS
    if old.startswith("[[credential_inputs]]"):
        text = text[: text.rindex("[[credential_inputs]]")]
    assert any(sentence in problem for problem in problems(changed(text, old, new)))


def test_a_grant_needs_what_belongs_to_it() -> None:
    without_endpoint = CODE.replace('[authorization]\nurl = "https://acme.example/authorize"\npkce = "required"\n', "")
    assert "authorization is missing" in problems(without_endpoint)[0]
    inputs = CREDENTIALS[CREDENTIALS.index("[[credential_inputs]]") :]
    assert "credential_inputs are for client_credentials only" in problems(CODE + inputs)[0]
    assert len(problems(CREDENTIALS.removesuffix(inputs))) == 2


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = CODE.replace("pkce", "pkze").replace('"form"', '"xml"').replace('name = "Acme"\n', "")
    found = problems(text)
    assert len(found) == 4
    assert all(problem.startswith("acme.toml: ") for problem in found)


@pytest.mark.parametrize(
    ("text", "need"),
    [
        (
            changed(CODE, "client_secret_basic", "private_key_jwt"),
            "token.client_authentication needs client authentication by",
        ),
        (changed(CODE, "[token]\n", "[token]\ndpop_bound_access_tokens = true\n"), "DPoP-bound tokens"),
        (changed(CODE, "[token]\n", "require_pushed_authorization_requests = true\n[token]\n"), "(PAR)"),
        (changed(CODE, "[token]\n", '[authorization.parameters]\nrequest_uri = "urn:x"\n[token]\n'), "(PAR)"),
        (changed(CODE, "[refresh]\n", '[token.parameters]\nclient_assertion = "x"\n[refresh]\n'), "client assertions"),
    ],
)
def test_a_provider_that_needs_what_is_not_done_is_refused_in_so_many_words(text: str, need: str) -> None:
    assert any(need in problem and "Consentry does not do" in problem for problem in problems(text))


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example/token",
        "http://localhost:4000/token",
        "ftp://acme.example/token",
        "//acme.example/token",
        "acme.example/token",
        "",
        "https://",
        "https:///token",
        "https://user:secret@acme.example/token",
        "https://@acme.example/token",
        "https://ACME.example/token",
        "https://acme.example/token#part",
        "https://acme.example/token#",
        "https://acme.example:port/token",
        "https://[::1/token",
        "https://acme.example/to ken",
        "https://acme.example/to\\\\ken",
        "https://acme.example/{tenant}/token",
        "https://äcme.example/token",
        "https://-acme.example/token",
        "https://acme.example/token\\n",
        "javascript:alert(1)",
    ],
)
def test_only_plain_https_urls_are_called(url: str) -> None:
    found = problems(changed(CODE, "https://acme.example/token", url))
    assert all(problem.startswith("acme.toml: token.url ") for problem in found)
    assert found


@pytest.mark.parametrize("field", ["authorization.url", "token.refresh_url", "revocation_url", "introspection.url"])
def test_every_endpoint_is_held_to_https(field: str) -> None:
    wrong = 'url = "http://acme.example/x"\n'
    texts = {
        "authorization.url": changed(CODE, 'url = "https://acme.example/authorize"\n', wrong),
        "token.refresh_url": changed(CODE, "[token]\n", f"[token]\nrefresh_{wrong}"),
        "revocation_url": changed(CODE, "[authorization]\n", f"revocation_{wrong}[authorization]\n"),
        "introspection.url": CODE + f'[introspection]\naccount_field = "sub"\n{wrong}',
    }
    (problem,) = problems(texts[field])
    assert problem.startswith(f"acme.toml: {field} must begin with https://")


def test_an_issuer_is_a_url_without_a_query() -> None:
    for issuer in ("acme.example", "https://acme.example?x=1"):
        text = changed(CODE, "[authorization]\n", f'[authorization]\nissuer = "{issuer}"\n')
        assert problems(text)[0].startswith("acme.toml: authorization.issuer ")
    assert (
        "issuer is missing"
        in problems(changed(CODE, "[authorization]\n", "[authorization]\nissuer_required = true\n"))[0]
    )


def test_a_loopback_origin_may_be_plain_http_where_it_is_allowed() -> None:
    for allowed in ("http://localhost:4000", "*"):
        assert parse_provider(LOCAL, "acme.toml", allowed_origins=frozenset({allowed})).token.url.startswith("http://")
    for other in ("http://localhost:4001", "http://localhost", "http://127.0.0.1:4000"):
        assert "must begin with https://" in problems(LOCAL, allowed_origins=frozenset({other}))[0]


@pytest.mark.parametrize("host", ["127.0.0.1:4000", "[::1]:4000", "localhost"])
def test_any_loopback_origin_means_loopback(host: str) -> None:
    text = changed(LOCAL, "localhost:4000", host)
    assert parse_provider(text, "acme.toml", allowed_origins=frozenset({"*"})).id == "acme"


@pytest.mark.parametrize(
    "host", ["acme.example", "localhost.acme.example", "127.0.0.1.acme.example", "10.0.0.1", "127.1"]
)
def test_no_other_host_may_be_plain_http_even_when_it_is_listed(host: str) -> None:
    text = changed(LOCAL, "localhost:4000", host)
    assert "must begin with https://" in problems(text, allowed_origins=frozenset({"*", f"http://{host}"}))[0]


@pytest.mark.parametrize("name", ["state", "redirect_uri", "code_challenge", "scope", "client_id", "response_type"])
def test_authorization_parameters_carry_no_protocol_name(name: str) -> None:
    table = changed(CODE, "[token]\n", f'[authorization.parameters]\n{name} = "x"\n[token]\n')
    query = changed(CODE, "example/authorize", f"example/authorize?{name}=")
    for text in (table, query):
        assert f"has {name}: Consentry sends that itself, remove it" in problems(text)[0]


@pytest.mark.parametrize("name", ["grant_type", "code", "client_secret", "refresh_token", "scope", "code_verifier"])
def test_token_parameters_carry_no_protocol_name(name: str) -> None:
    text = changed(CODE, "[refresh]\n", f'[token.parameters]\n{name} = "x"\n[refresh]\n')
    assert f"token.parameters has {name}: Consentry sends that itself" in problems(text)[0]


def test_a_fixed_scope_is_fine_for_client_credentials() -> None:
    text = changed(CREDENTIALS, "[refresh]\n", '[token.parameters]\nscope = "surveys"\n[refresh]\n')
    assert parse_provider(text, "acme.toml").token.parameters == {"scope": "surveys"}


def test_only_answers_in_the_query_are_read() -> None:
    text = changed(CODE, "[token]\n", '[authorization.parameters]\nresponse_mode = "form_post"\n[token]\n')
    assert 'response_mode must be "query"' in problems(text)[0]


@pytest.mark.parametrize("header", ["Authorization", "host", "Content-Length", "Accept-Encoding", "Cookie"])
def test_headers_that_consentry_sets_are_not_the_files(header: str) -> None:
    text = changed(CODE, "[refresh]\n", f'[token.headers]\n{header} = "x"\n[refresh]\n')
    assert f"token.headers has {header}: Consentry sets that itself" in problems(text)[0]


@pytest.mark.parametrize("header", ['"X Y" = "1"', '"X-Y" = "a\\r\\nb"', '"X-Ü" = "1"'])
def test_headers_are_visible_ascii(header: str) -> None:
    text = changed(CODE, "[refresh]\n", f"[token.headers]\n{header}\n[refresh]\n")
    assert "names are letters, digits and -" in problems(text)[0]


def test_what_is_not_toml_is_said_with_its_line() -> None:
    (problem,) = problems('id = "acme"\nname = Acme\n')
    assert re.search(r"acme\.toml: is not TOML: .*line 2", problem)


@given(st.text(max_size=300))
def test_any_text_is_a_provider_or_a_list_of_problems(text: str) -> None:
    assert problems(text)


KEYS = st.sampled_from(
    ["id", "checked", "sources", "grant", "authorization", "token", "refresh", "credential_inputs", "x"]
)
JUNK = st.sampled_from(['""', "1", "true", "[]", "[1]", "{}", "[{}]", "{url = 1}", "1.5", "2026-11-01", '["a"]', "nan"])


@given(st.dictionaries(KEYS, JUNK))
def test_any_table_is_a_list_of_problems(table: dict[str, str]) -> None:
    text = "\n".join(f"{key} = {value}" for key, value in table.items())
    assert tomllib.loads(text) is not None
    assert problems(text)


# Directories


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "acme.toml").write_text(CODE)
    (tmp_path / "beta.toml").write_text(CREDENTIALS.replace('"acme"', '"beta"'))
    (tmp_path / "README.md").write_text("not a provider")
    return tmp_path


def test_a_directory_is_read_by_id(directory: Path) -> None:
    assert list(load_directory(directory)) == ["acme", "beta"]


def test_a_directory_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProviderFileInvalid, match="is not a directory"):
        load_directory(tmp_path / "missing")


def test_a_mistake_in_a_directory_names_the_file(directory: Path) -> None:
    (directory / "gamma.toml").write_bytes(b"\xff")
    with pytest.raises(ProviderFileInvalid, match=r"gamma\.toml: is not UTF-8: save it as UTF-8"):
        load_directory(directory)


def test_a_catalogue_reads_only_the_file_that_is_asked_for(directory: Path) -> None:
    (directory / "broken.toml").write_text("=")
    catalogue = Catalogue([BUILT_IN, directory])
    assert catalogue.provider("acme").name == "Acme"
    (directory / "acme.toml").unlink()
    assert catalogue.provider("acme").name == "Acme"
    with pytest.raises(ProviderFileInvalid, match=r"broken\.toml: is not TOML"):
        catalogue.provider("broken")


def test_a_catalogue_has_the_built_in_providers_and_skips_directories_that_are_missing(tmp_path: Path) -> None:
    assert Catalogue([BUILT_IN, tmp_path / "missing"]).provider("hubspot").name == "HubSpot"
    assert Catalogue().provider("hotjar").name == "Hotjar"


@pytest.mark.parametrize("provider_id", ["missing", "", ".", "../acme", "acme/../acme", "ACME", "acme.toml", "a\x00b"])
def test_an_unknown_provider_is_the_operators_matter(directory: Path, provider_id: str) -> None:
    with pytest.raises(Misconfigured, match="there is no provider"):
        Catalogue([directory]).provider(provider_id)


def test_a_file_may_not_shadow_a_built_in_provider(tmp_path: Path) -> None:
    (tmp_path / "hubspot.toml").write_text(CODE.replace('"acme"', '"hubspot"'))
    with pytest.raises(ProviderFileInvalid, match=r"id hubspot exists already .*: rename this file and its id"):
        Catalogue([BUILT_IN, tmp_path]).provider("hubspot")


def test_a_catalogue_holds_its_files_to_the_allowed_origins(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(LOCAL)
    assert Catalogue([tmp_path], frozenset({"http://localhost:4000"})).provider("acme").id == "acme"
    with pytest.raises(OperatorMustAct):
        Catalogue([tmp_path]).provider("acme")


# The documentation


def documented() -> str:
    return (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


def test_the_example_of_the_documentation_is_a_provider() -> None:
    (example,) = re.findall(r"```toml\n# acme\.toml\n(.*?)```", documented(), re.DOTALL)
    assert parse_provider(example, "acme.toml").id == "acme"


def field_names(value: object, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return set()
    names = {f"{prefix}{name}" for name in value}
    return names.union(*(field_names(inner, f"{prefix}{name}.") for name, inner in value.items()))


def test_the_documentation_explains_every_field() -> None:
    introspected = CODE + '[introspection]\nurl = "https://acme.example/i"\naccount_field = "sub"\n'
    providers: list[Provider] = [parse_provider(introspected, "acme.toml"), parse_provider(CREDENTIALS, "acme.toml")]
    names = set[str]().union(*(field_names(asdict(provider)) for provider in providers))
    names |= {f"credential_inputs.{name}" for name in asdict(providers[1].credential_inputs[0])}
    text = documented()
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_a_provider_is_asked_as_often_as_it_takes_and_believed_at_once_unless_its_file_says_more() -> None:
    plain = parse_provider(CODE, "acme.toml").refresh
    assert (plain.requests_per_minute, plain.gone_retries) == (None, 0)
    text = changed(
        CODE, "reuse_grace_seconds = 0", "reuse_grace_seconds = 0\nrequests_per_minute = 90\ngone_retries = 2"
    )
    told = parse_provider(text, "acme.toml").refresh
    assert (told.requests_per_minute, told.gone_retries) == (90, 2)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("requests_per_minute = 0", "refresh.requests_per_minute must be at least 1"),
        ("requests_per_minute = -5", "refresh.requests_per_minute must be at least 1"),
        ("requests_per_minute = 1.5", "refresh.requests_per_minute"),
        ('requests_per_minute = "90"', "refresh.requests_per_minute"),
        ("requests_per_minute = true", "refresh.requests_per_minute"),
        ("gone_retries = -1", "refresh.gone_retries must be from 0 to 2"),
        ("gone_retries = 3", "refresh.gone_retries must be from 0 to 2"),
        ('gone_retries = "2"', "refresh.gone_retries"),
        ("gone_retries = true", "refresh.gone_retries"),
    ],
)
def test_a_mistake_about_rates_and_retries_is_named(line: str, sentence: str) -> None:
    text = changed(CODE, "reuse_grace_seconds = 0", f"reuse_grace_seconds = 0\n{line}")
    assert any(sentence in problem for problem in problems(text))


SCOPES = """
[[scope_words]]
scope = "contacts"
words = { en = "Read contacts", pt = "Ler contatos" }
"""


def test_scopes_may_be_put_into_words_by_language() -> None:
    (told,) = parse_provider(CODE + SCOPES, "acme.toml").scope_words
    assert (told.scope, told.words["pt"]) == ("contacts", "Ler contatos")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (SCOPES + SCOPES, "scope_words has a scope twice: keep one"),
        (SCOPES.replace("en =", "fr ="), "scope_words of contacts must say it in English"),
        (SCOPES.replace("pt =", "pt-BR ="), "scope_words of contacts has the language 'pt-BR'"),
        (SCOPES.replace("Ler contatos", "x" * 201), "scope_words of contacts.pt must be a text of 1 to 200"),
        (SCOPES.replace("Ler contatos", "a\\tb"), "scope_words of contacts.pt must be a text of 1 to 200"),
        (SCOPES.replace('scope = "contacts"\n', ""), "scope_words[0].scope is missing"),
    ],
)
def test_a_mistake_in_the_words_of_scopes_is_named(text: str, sentence: str) -> None:
    assert any(sentence in problem for problem in problems(CODE + text))


@pytest.mark.parametrize("pattern", ["", "[0-9]{1,20}", "sk_[A-Za-z0-9]{32}", "[0-9a-f]{8}-[0-9a-f]{4}", "[A-Z]"])
def test_a_pattern_is_classes_with_counts_and_plain_letters(pattern: str) -> None:
    text = CREDENTIALS.replace("secret = true", f'secret = true\npattern = "{pattern}"')
    assert parse_provider(text, "acme.toml").credential_inputs[1].pattern == pattern
