"""Export and import: what one vault gives, another takes, whole or not at all."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from consentry.aws.dynamodb import Update, apply, from_item, to_item
from consentry.errors import InvalidRequest
from consentry.model import Connection, ConnectionKey, Field, Secret, Status
from consentry.ports import StorageUnavailable
from consentry.tokens import grant_secrets
from consentry.transfer.row import opened_row, row_from, sealed_row
from consentry.transfer.sealing import PrivateKey, Recipient
from consentry_cli.failures import Exit, Failure
from tests.support.catalogue import CRM, SHOP, FakeCatalogue
from tests.support.provider import TOKEN_ANSWER, tokens
from tests.unit.cli.conftest import Operator
from tests.unit.cli.test_commands import connected, flagged
from tests.unit.cli.test_doctor import schedule_disabled

REFRESH = str(TOKEN_ANSWER["refresh_token"])
EXPORT = ("connections", "export", "--still-refreshing")
NANGO: dict[str, Any] = {
    "id": 1,
    "connection_id": "globex",
    "provider_config_key": "crm",
    "provider": "crm",
    "credentials": {
        "type": "OAUTH2",
        "access_token": "CNRY-foreign-access",
        "refresh_token": "CNRY-foreign-refresh",
        "expires_at": "2040-01-01T00:00:00.000Z",
        "raw": {},
    },
    "metadata": None,
}


@pytest.fixture
def exported(operator: Operator, tmp_path: Path) -> tuple[Path, Path]:
    """Two connections in a file, and the private key that opens it."""
    connected(operator)
    connected(operator, "second")
    key, file = tmp_path / "key", tmp_path / "file"
    assert operator("keys", "new", str(key)).code == Exit.OK
    told = operator(*EXPORT, "--to", f"{key}.pub", "--output", str(file), "--json")
    assert (told.code, told.json["exported"], told.json["skipped"]) == (Exit.OK, 2, [])
    return file, key


def forget(operator: Operator, *names: str) -> None:
    for name in names or ("default", "second"):
        key = {"tenant": {"S": "acme"}, "connection": {"S": f"crm#{name}"}}
        operator.aws.client("dynamodb").delete_item(TableName=operator.deployment.names["ConnectionsTable"], Key=key)


def grant_of(operator: Operator, connection: Connection) -> dict[str, str]:
    context = connection.key.encryption_context(Field.GRANT)
    opened = operator.deployment.envelopes.open(connection.grant, context)
    return {name: secret.reveal() for name, secret in grant_secrets(opened).items()}


def taken(operator: Operator, file: Path, key: Path, *words: str) -> tuple[int, dict[str, Any]]:
    told = operator("connections", "import", str(file), "--key", str(key), "--json", *words)
    return told.code, told.json


def fates(value: dict[str, Any]) -> list[str]:
    return [each["fate"] for each in value["rows"]]


def test_a_stack_that_is_not_moving_says_how_to_make_it_move(operator: Operator, exported: tuple[Path, Path]) -> None:
    outputs = {name: each for name, each in operator.installation.outputs.items() if name != "TransferFunctionName"}
    operator.installation = replace(operator.installation, outputs=outputs)
    told = operator("connections", "import", str(exported[0]), "--key", str(exported[1]))
    assert (told.code, "DeployTransfer=true" in told.err) == (Exit.NOT_FOUND, True)


def test_what_is_exported_is_imported_as_the_same_grant(operator: Operator, exported: tuple[Path, Path]) -> None:
    before = operator.deployment.connection()
    forget(operator)
    code, told = taken(operator, *exported)
    assert (code, fates(told), told["written"]) == (Exit.OK, ["new", "new"], True)
    after = operator.deployment.connection()
    assert before
    assert after
    assert grant_of(operator, after) == {"refresh_token": REFRESH}
    same = ("provider", "client_id", "grant_type", "account", "scopes", "metadata", "label", "created_at")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert (after.status, after.gen, after.due_at) == (Status.ACTIVE, 1, operator.deployment.clock.now())
    assert not after.servable(operator.deployment.clock.now())


def test_no_secret_stands_in_the_file_and_nobody_else_can_open_it(
    operator: Operator, exported: tuple[Path, Path], tmp_path: Path
) -> None:
    file, key = exported
    assert "CNRY-" not in file.read_text()
    assert file.stat().st_mode & 0o777 == key.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    assert operator("keys", "new", str(other)).code == Exit.OK
    told = operator("connections", "import", str(file), "--key", str(other))
    assert (told.code, "sealed to" in told.err) == (Exit.USAGE, True)
    assert operator("connections", "import", str(file)).code == Exit.USAGE


def test_a_dry_run_writes_nothing_and_says_what_would_happen(operator: Operator, exported: tuple[Path, Path]) -> None:
    forget(operator, "second")
    code, told = taken(operator, *exported, "--dry-run", "--replace")
    assert (code, fates(told), told["written"]) == (Exit.OK, ["replaced", "new"], False)
    assert operator.deployment.connection(name="second") is None


def test_an_export_that_cannot_be_written_asks_for_no_grant(operator: Operator, exported: tuple[Path, Path]) -> None:
    file, key = exported
    operator.aws.answers["lambda", "invoke"] = AssertionError("a grant was asked for")
    told = operator(*EXPORT, "--to", f"{key}.pub", "--output", str(file / "x"))
    assert (told.code, "cannot be written" in told.err) == (Exit.USAGE, True)


def test_an_export_that_breaks_off_leaves_nothing_behind(operator: Operator, tmp_path: Path) -> None:
    operator("keys", "new", str(tmp_path / "key"))
    operator.aws.answers["lambda", "invoke"] = Failure("Not now.", Exit.UNAVAILABLE, "not_now")
    words = (*EXPORT, "--to", str(tmp_path / "key.pub"), "--output", str(tmp_path / "file"))
    assert operator(*words).code == Exit.UNAVAILABLE
    assert sorted(each.name for each in tmp_path.iterdir()) == ["key", "key.pub"]
    operator.aws.answers.clear()
    assert operator(*words).code == Exit.OK


def test_half_a_pair_of_keys_is_not_left_behind(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "key.pub").touch()
    assert operator("keys", "new", str(tmp_path / "key")).code == Exit.REFUSED
    assert not (tmp_path / "key").exists()


def test_one_row_that_exists_stops_all_and_is_named_with_its_line(
    operator: Operator, exported: tuple[Path, Path]
) -> None:
    forget(operator, "second")
    code, told = taken(operator, *exported)
    assert (code, fates(told), told["written"]) == (Exit.PROBLEMS, ["refused", "new"], False)
    assert told["rows"][0]["line"] == 2
    assert "already" in told["rows"][0]["why"]
    assert operator.deployment.connection(name="second") is None
    assert (
        "Nothing was written" in operator("connections", "import", *map(str, (exported[0], "--key", exported[1]))).out
    )


def test_what_was_refreshed_since_the_export_is_not_replaced(operator: Operator, exported: tuple[Path, Path]) -> None:
    operator.deployment.clock.advance(60)
    connected(operator)
    before = operator.deployment.connection()
    code, told = taken(operator, *exported, "--replace")
    assert (code, fates(told), told["written"]) == (Exit.PROBLEMS, ["refused", "replaced"], False)
    assert "refreshed since the export" in told["rows"][0]["why"]
    assert operator.deployment.connection() == before


def test_a_vault_that_still_refreshes_gives_no_grant_away_unless_told_so(operator: Operator, tmp_path: Path) -> None:
    connected(operator)
    operator("keys", "new", str(tmp_path / "key"))
    words = ("connections", "export", "--to", str(tmp_path / "key.pub"), "--output", str(tmp_path / "file"))
    told = operator(*words)
    assert (told.code, "still refreshes" in told.err) == (Exit.REFUSED, True)
    assert not (tmp_path / "file").exists()
    schedule_disabled(operator)
    assert operator(*words).code == Exit.OK


def test_replacing_takes_the_place_of_what_is_there(operator: Operator, exported: tuple[Path, Path]) -> None:
    code, told = taken(operator, *exported, "--replace")
    assert (code, fates(told)) == (Exit.OK, ["replaced", "replaced"])
    connection = operator.deployment.connection()
    assert connection
    assert connection.gen == 2
    assert not connection.access_token


def test_a_file_that_is_imported_again_changes_nothing(operator: Operator, exported: tuple[Path, Path]) -> None:
    forget(operator)
    taken(operator, *exported)
    code, told = taken(operator, *exported)
    assert (code, fates(told)) == (Exit.OK, ["there", "there"])


def test_what_the_table_does_not_take_now_is_told_and_the_same_file_goes_on(
    operator: Operator, exported: tuple[Path, Path]
) -> None:
    forget(operator)
    commits = []

    def failing(operation: str) -> None:
        commits.append(operation)
        if operation == "update_item" and commits.count("update_item") > 1:
            raise StorageUnavailable("not now")

    operator.deployment.ports.before = failing
    told = operator("connections", "import", str(exported[0]), "--key", str(exported[1]), "--json")
    assert (told.code, fates(told.json)) == (Exit.UNAVAILABLE, ["new", "later"])
    operator.deployment.ports.before = lambda _operation: None
    code, again = taken(operator, *exported)
    assert (code, fates(again)) == (Exit.OK, ["there", "new"])


def test_rows_for_which_there_is_no_time_wait(operator: Operator, exported: tuple[Path, Path]) -> None:
    forget(operator)
    operator.deployment.invocation_seconds = 5
    told = operator("connections", "import", str(exported[0]), "--key", str(exported[1]), "--json")
    assert (told.code, fates(told.json)) == (Exit.UNAVAILABLE, ["later", "later"])
    assert operator.deployment.connection() is None


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


@pytest.mark.parametrize("field", ["tenant", "integration", "name", "account", "label"])
def test_a_row_that_was_changed_does_not_open(operator: Operator, exported: tuple[Path, Path], field: str) -> None:
    file, key = exported
    forget(operator)
    head, first, *rest = lines(file)
    row = json.loads(first)
    row[field] = "other"
    file.write_text("\n".join([head, json.dumps(row), *rest]))
    code, told = taken(operator, file, key)
    assert (code, fates(told), told["written"]) == (Exit.PROBLEMS, ["refused", "new"], False)
    assert "does not open" in told["rows"][0]["why"]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_file_that_lost_its_end_is_refused_as_a_whole(
    operator: Operator, exported: tuple[Path, Path], cut: int
) -> None:
    file, key = exported
    file.write_text("\n".join(lines(file)[:-cut]))
    told = operator("connections", "import", str(file), "--key", str(key))
    assert (told.code, "not whole" in told.err) == (Exit.USAGE, True)


@pytest.mark.parametrize("text", ["CNRY-no-json", "[" * 100_000])
def test_a_row_that_somebody_sealed_nonsense_into_is_refused(text: str) -> None:
    key, row = PrivateKey.generate(), {"tenant": "acme"}
    sealed = key.recipient.seal(Secret(text), b'{"tenant":"acme"}')
    with pytest.raises(InvalidRequest, match="no JSON"):
        opened_row({**row, "sealed": base64.b64encode(sealed).decode()}, key)


@pytest.mark.parametrize("bad", ["not JSON", "[]", '{"sealed": 7}', '{"sealed": "AAAA"}'])
def test_one_line_of_nonsense_is_named_and_stops_all(operator: Operator, exported: tuple[Path, Path], bad: str) -> None:
    file, key = exported
    forget(operator)
    head, first, _, last = lines(file)
    file.write_text(f"{head}\n{first}\n{bad}\n{last}")
    code, told = taken(operator, file, key)
    assert (code, fates(told), told["written"]) == (Exit.PROBLEMS, ["new", "refused"], False)
    assert told["rows"][1]["line"] == 3


def test_the_same_connection_twice_is_refused(operator: Operator, exported: tuple[Path, Path]) -> None:
    file, key = exported
    forget(operator)
    head, first, _, last = lines(file)
    file.write_text(f"{head}\n{first}\n{first}\n{last}")
    code, told = taken(operator, file, key)
    assert (code, fates(told)) == (Exit.PROBLEMS, ["new", "refused"])
    assert "line 2 already" in told["rows"][1]["why"]


def change(operator: Operator, name: str, attributes: dict[str, object]) -> None:
    update = Update().set(attributes)
    request = update.require(update.equal("gen", 1)).request(
        operator.deployment.names["ConnectionsTable"], {"tenant": "acme", "connection": f"crm#{name}"}
    )
    apply(operator.aws.client("dynamodb").update_item, request, "change")


def test_what_cannot_be_taken_along_is_named(operator: Operator, tmp_path: Path) -> None:
    connected(operator)
    flagged(operator)
    connected(operator, "leaving")
    operator("connections", "disconnect", "acme", "crm", "leaving", "--yes")
    connected(operator, "doubtful")
    for name in ("restored", "narrowed"):
        connected(operator, name)
    change(operator, "restored", {"epoch": 0})
    change(operator, "narrowed", {"status": "scope_insufficient"})
    client, table = operator.aws.client("dynamodb"), operator.deployment.names["ConnectionsTable"]
    key = {"tenant": {"S": "acme"}, "connection": {"S": "crm#doubtful"}}
    client.update_item(
        TableName=table, Key=key, UpdateExpression="SET pend_gen = :g", ExpressionAttributeValues={":g": {"N": "1"}}
    )
    operator.deployment.provider.then(tokens(refresh_token=None))
    operator("keys", "new", str(tmp_path / "key"))
    words = (*EXPORT, "--to", str(tmp_path / "key.pub"), "--output", str(tmp_path / "file"))
    told = operator(*words, "--json")
    assert {each["name"]: each["why"] for each in told.json["skipped"]} == {
        "default": "reauth_required", "leaving": "deleting", "doubtful": "refresh_under_way",
        "restored": "other_epoch", "narrowed": "scope_insufficient",
    }  # fmt: skip
    assert (told.code, told.json["exported"]) == (Exit.PROBLEMS, 0)
    assert operator(*words).code == Exit.REFUSED


SHOP_ROW: dict[str, Any] = {
    "v": 1, "tenant": "acme", "integration": "shop", "account": "42", "metadata": {"shop": "elsewhere"},
    "variables": {"shop": "acme-store"}, "secret": {"grant": {"refresh_token": "CNRY-shop"}},
}  # fmt: skip


@pytest.fixture
def shops(operator: Operator) -> Operator:
    """A vault with an integration whose customers have URLs of their own."""
    operator.deployment.catalogue = FakeCatalogue(CRM, SHOP)
    item = to_item({"integration": "shop", "provider": "shop", "client_id": "shop-client"})
    table = operator.deployment.names["IntegrationsTable"]
    operator.aws.client("dynamodb").put_item(TableName=table, Item=item)
    return operator


def given(operator: Operator, row: dict[str, Any], number: int = 1) -> dict[str, str]:
    rows = [{"id": f"{number:064x}", "row": row}]
    told = operator.deployment.transfer_of()({"operation": "import", "dry_run": False, "replace": True, "rows": rows})
    fate: dict[str, str] = told["rows"][0]
    return fate


def test_a_customers_own_urls_move_along(shops: Operator) -> None:
    assert given(shops, SHOP_ROW) == {"fate": "new"}
    key = PrivateKey.generate()
    page = shops.deployment.transfer_of()({"operation": "export", "recipient": str(key.recipient)})
    assert opened_row(page["rows"][0], key)["variables"] == {"shop": "acme-store"}
    connection = shops.deployment.connection("shop")
    assert connection
    assert (connection.variables, connection.metadata) == ({"shop": "acme-store"}, {"shop": "acme-store"})


def test_an_imported_grant_meets_those_of_its_account_at_their_own_host(shops: Operator) -> None:
    given(shops, SHOP_ROW)
    key = to_item({"tenant": "acme", "connection": "shop#default"})
    found = shops.aws.client("dynamodb").get_item(TableName=shops.deployment.names["ConnectionsTable"], Key=key)
    assert from_item(found["Item"])["client_account"] == "acme-store.shops.test|shop-client|42"


@pytest.mark.parametrize("variables", [{}, {"shop": "a.b"}, {"shop": "evil.test/"}, {"shop": "x", "more": "y"}])
def test_a_grant_without_the_place_where_it_counts_is_refused(shops: Operator, variables: dict[str, str]) -> None:
    told = given(shops, {**SHOP_ROW, "variables": variables})
    assert (told["fate"], "variable" in told["why"]) == ("refused", True)
    assert shops.deployment.connection("shop") is None


def test_what_is_replaced_leaves_neither_its_urls_nor_its_losses_behind(shops: Operator) -> None:
    given(shops, SHOP_ROW)
    table = shops.deployment.names["ConnectionsTable"]
    lost = Update().set({"lost_scopes": ["orders"], "scopes_reduced_at": 7})
    request = lost.require(lost.equal("gen", 1)).request(table, {"tenant": "acme", "connection": "shop#default"})
    apply(shops.aws.client("dynamodb").update_item, request, "lose")
    item = to_item({"integration": "shop", "provider": "crm", "client_id": "c"})
    shops.aws.client("dynamodb").put_item(TableName=shops.deployment.names["IntegrationsTable"], Item=item)
    row = {name: value for name, value in SHOP_ROW.items() if name != "variables"}
    assert given(shops, row, number=2) == {"fate": "replaced"}
    connection = shops.deployment.connection("shop")
    assert connection
    assert (connection.variables, connection.lost_scopes, connection.scopes_reduced_at) == ({}, (), 0)


def test_an_export_can_be_of_one_tenant_or_integration(operator: Operator, tmp_path: Path) -> None:
    connected(operator)
    operator("keys", "new", str(tmp_path / "key"))
    wanted = ((("--tenant", "acme"), 1), (("--tenant", "other"), 0), (("--integration", "crm2"), 0))
    for number, (option, count) in enumerate(wanted):
        file = str(tmp_path / f"file{number}")
        told = operator(*EXPORT, "--to", str(tmp_path / "key.pub"), "--output", file, *option, "--json")
        assert told.json["exported"] == count


def nango(tmp_path: Path, *changes: dict[str, Any], form: str = "list") -> Path:
    file = tmp_path / "nango.json"
    told = [{**NANGO, **each} for each in changes] or [NANGO]
    whole: object = {"connections": told} if form == "object" else told
    file.write_text("\n".join(map(json.dumps, told)) if form == "lines" else json.dumps(whole))
    return file


@pytest.mark.parametrize("form", ["list", "object", "lines"])
def test_another_vaults_connections_are_imported_with_their_tokens(
    operator: Operator, tmp_path: Path, form: str
) -> None:
    told = operator("connections", "import", str(nango(tmp_path, form=form)), "--json")
    assert (told.code, fates(told.json)) == (Exit.OK, ["new"])
    connection = operator.deployment.connection(tenant="globex")
    assert connection
    assert grant_of(operator, connection) == {"refresh_token": "CNRY-foreign-refresh"}
    assert operator("token", "globex", "crm").out == "CNRY-foreign-access\n"
    assert (connection.client_id, connection.expires_at) == ("crm-client", 2_208_988_800)
    assert "CNRY-" not in told.out + told.err


@pytest.mark.parametrize("until", ["2040-01-01T00:00:00", "2040-01-01T02:00:00+02:00", "2040-01-01T00:00:00Z"])
def test_a_time_without_a_zone_is_of_utc_wherever_the_operator_sits(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        file = nango(tmp_path, {"credentials": {"access_token": "CNRY-a", "expires_at": until}})
        assert operator("connections", "import", str(file)).code == Exit.OK
    finally:
        monkeypatch.undo()
        time.tzset()
    connection = operator.deployment.connection(tenant="globex")
    assert connection
    assert connection.expires_at == 2_208_988_800


def test_a_files_mark_of_byte_order_and_a_text_with_line_separators_are_read(
    operator: Operator, tmp_path: Path
) -> None:
    file = tmp_path / "nango.json"
    lines = [json.dumps({**NANGO, "metadata": {"note": "a\u2028b"}}, ensure_ascii=False)]
    lines += [json.dumps({**NANGO, "connection_id": "initech"})]
    file.write_text("\n".join(lines), encoding="utf-8-sig")
    assert operator("connections", "import", str(file)).code == Exit.OK


def test_an_import_that_is_cut_off_says_how_to_go_on(operator: Operator, tmp_path: Path) -> None:
    ask = operator.aws.call

    def cut_off(service: str, operation: str, **arguments: object) -> Mapping[str, Any]:
        if operation == "invoke" and b'"dry_run": false' in cast("bytes", arguments["Payload"]):
            raise Failure("lambda did not answer.", Exit.UNAVAILABLE, "unavailable")
        return ask(service, operation, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator.aws, "call", cut_off)
        told = operator("connections", "import", str(nango(tmp_path)))
    assert (told.code, "same file again" in told.err) == (Exit.UNAVAILABLE, True)


def test_newer_tokens_of_another_vault_are_another_row(operator: Operator, tmp_path: Path) -> None:
    file = str(nango(tmp_path))
    assert operator("connections", "import", file).code == Exit.OK
    assert fates(operator("connections", "import", file, "--json").json) == ["there"]
    nango(tmp_path, {"credentials": {"refresh_token": "CNRY-newer-refresh"}})
    assert operator("connections", "import", file).code == Exit.PROBLEMS
    assert fates(operator("connections", "import", file, "--replace", "--json").json) == ["replaced"]
    connection = operator.deployment.connection(tenant="globex")
    assert connection
    assert grant_of(operator, connection) == {"refresh_token": "CNRY-newer-refresh"}


def test_integrations_may_be_called_differently_there(operator: Operator, tmp_path: Path) -> None:
    file = str(nango(tmp_path, {"provider_config_key": "crm-prod"}))
    refused = operator("connections", "import", file, "--json")
    assert "no integration 'crm-prod'" in refused.json["rows"][0]["why"]
    assert operator("connections", "import", file, "--integration", "crm-prod=crm").code == Exit.OK
    assert operator("connections", "import", file, "--integration", "crm-prod").code == Exit.USAGE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"connection_id": "a/b"}, "tenant must be"),
        ({"connection_id": None}, "tenant must be"),
        ({"credentials": None}, "`credentials`"),
        ({"credentials": {}}, "refresh token"),
        ({"credentials": {"refresh_token": 7}}, "refresh_token must be"),
        ({"provider_config_key": "metrics"}, "grant must have"),
    ],
)
def test_a_bad_row_from_elsewhere_is_named_and_stops_all(
    operator: Operator, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    told = operator("connections", "import", str(nango(tmp_path, {"connection_id": "initech"}, change)), "--json")
    assert (told.code, fates(told.json)) == (Exit.PROBLEMS, ["new", "refused"])
    assert said in told.json["rows"][1]["why"]
    assert operator.deployment.connection(tenant="initech") is None


@pytest.mark.parametrize("text", ["", "hello", "7", "[]", '{"format": "consentry-export", "version": 9}', "\xff"])
def test_a_file_that_is_none_of_these_is_one_sentence(operator: Operator, tmp_path: Path, text: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(text.encode("latin-1"))
    told = operator("connections", "import", str(file))
    assert (told.code, told.out, told.err.count("\n")) == (Exit.USAGE, "", 1)


def test_a_key_file_that_is_none_is_a_usage_error(operator: Operator, exported: tuple[Path, Path]) -> None:
    file, key = exported
    public = Path(f"{key}.pub")
    assert operator("connections", "import", str(file), "--key", str(public)).code == Exit.USAGE
    assert operator(*EXPORT, "--to", str(key), "--output", f"{file}2").code == Exit.USAGE
    assert operator("keys", "new", str(key)).code == Exit.REFUSED


@pytest.mark.parametrize(
    "event",
    [
        7, {}, {"operation": "export"}, {"operation": "export", "recipient": "x"},
        {"operation": "export", "recipient": str(PrivateKey.generate().recipient), "next": 7},
        {"operation": "export", "recipient": str(PrivateKey.generate().recipient), "all": True},
        {"operation": "import"}, {"operation": "import", "dry_run": True, "rows": []},
        {"operation": "import", "dry_run": True, "rows": [{"id": "x", "row": {}}]},
        {"operation": "import", "dry_run": True, "rows": [7]}, {"operation": "import", "dry_run": 1, "rows": [7]},
        {"operation": "import", "dry_run": True, "rows": [7], "more": 1},
        {"operation": "import", "dry_run": True, "rows": [{"id": "0" * 64, "row": {}}], "exported_at": "now"},
    ],
)  # fmt: skip
def test_the_function_answers_a_mistake_with_a_sentence(operator: Operator, event: object) -> None:
    with pytest.raises(InvalidRequest):
        operator.deployment.transfer_of()(event)


def test_a_point_of_small_order_is_no_recipient() -> None:
    with pytest.raises(InvalidRequest):
        Recipient(bytes(32)).seal(Secret("CNRY-x"), b"")
    with pytest.raises(InvalidRequest):
        PrivateKey.generate().open(bytes(80), b"")


def test_a_sealed_row_opens_only_with_its_own_clear_part() -> None:
    key = PrivateKey.generate()
    row = sealed_row({"v": 1, "tenant": "acme"}, {"refresh_token": Secret("CNRY-r")}, key.recipient)
    assert opened_row(row, key)["secret"] == {"grant": {"refresh_token": "CNRY-r"}}
    for changed in ({**row, "tenant": "globex"}, {**row, "more": 1}, {k: v for k, v in row.items() if k != "tenant"}):
        with pytest.raises(InvalidRequest):
            opened_row(changed, key)


GOOD: dict[str, Any] = {"v": 1, "tenant": "acme", "integration": "crm", "secret": {"grant": {"refresh_token": "r"}}}


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"secret": None}, {"more": 1}, {"secret": {"password": "x"}}, {"secret": {"grant": 7}},
        {"scopes": "a"}, {"scopes": [7]}, {"metadata": []}, {"metadata": {"a": []}}, {"label": "x" * 501},
        {"label": "\x1b"}, {"variables": []}, {"variables": {"a": 7}}, {"expires_at": -1}, {"expires_at": True},
        {"created_at": "now"}, {"name": "a#b"},
    ],
)  # fmt: skip
def test_a_row_with_a_mistake_is_refused(change: dict[str, Any]) -> None:
    assert row_from(GOOD).key == ConnectionKey("acme", "crm")
    with pytest.raises(InvalidRequest):
        row_from({**GOOD, **change})
    with pytest.raises(InvalidRequest):
        row_from(7)
