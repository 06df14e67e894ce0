"""The document of the management API held against a running stack, by requests that Schemathesis makes up of it.

A stack of its own: what is disconnected here, nobody else needs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest

from dev.running import started
from tests.support import openapi
from tests.support.openapi import METHODS, document
from tests.support.person import Company

pytestmark = pytest.mark.stack
EXAMPLES: Final = 8  # of each operation and phase, beside those that cover its limits one by one
RETURN_URL: Final = "https://app.example/connected"
CUSTOMER: Final = {"client_id": "hotjar-demo-customer", "client_secret": "hotjar-demo-secret"}
BY_CONSENT: Final = ["hubspot", "hubspot-ticketing", "zendesk"]
RUN_SECONDS: Final = 120
# A handle comes out of a consent in a browser, so what is made up is unknown; tests/unit/connect completes sessions.
NEVER_TAKEN: Final = "POST /tenants/{tenant}/sessions/{session}/complete"
CONFIGURATION: Final = """
[phases.coverage]
unexpected-methods = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]  # API Gateway routes no others

[checks]
# AWS answers 403 to a missing signature, and this check knows 401 alone; ignored_auth looks at the same.
missing_required_header.enabled = false

[[operations]]
include-path = ["/connections", "/integrations"]
checks.unsupported_method.enabled = false  # API Gateway answers 404, and the document says so
"""
# Connections that there are, by what may become of them; other operations take any tenant and name.
# (`acme` is the tenant of the document's examples, of which some disconnect.)
STAYING: Final = {"tenant": "globex", "integration": "hotjar", "name": "default"}
ENDING: Final = {**STAYING, "tenant": "leaving"}
KNOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "getConnection": STAYING,
    "readToken": STAYING,
    "requestRefresh": STAYING,
    "disconnect": ENDING,
    "storeCredentials": {"integration": "hotjar"},
}

type Json = dict[str, Any]


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with started({"RETURN_URLS": RETURN_URL, "TICK": "3600"}) as ready:  # nothing is erased meanwhile
        company = Company(ready, ready.authorization_server_url or "")
        for known in (STAYING, ENDING):
            company.consentry.put_credentials(known["tenant"], known["integration"], CUSTOMER, "Our site")
        yield company


def operations(described: Json) -> Iterator[Json]:
    return (item[name] for item in described["paths"].values() for name in METHODS & item.keys())


def operation(name: str, described: Json) -> Json:
    return next(each for each in operations(described) if each["operationId"] == name)


def of_this_stack() -> Json:
    """The document with what exists here in place of any identifier, so that requests get past their path."""
    narrowed = deepcopy(document())
    for each in operations(narrowed):
        known = [named(name, value) for name, value in KNOWN.get(each["operationId"], {}).items()]
        each["parameters"] = [*known, *each.get("parameters", [])]
    wanted = narrowed["components"]["schemas"]["NewSession"]["properties"]
    wanted["integrations"]["items"] = {"enum": [*BY_CONSENT, "hotjar"]}
    wanted["return_url"]["enum"] = [RETURN_URL, ""]
    return narrowed


def named(name: str, value: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}


def valid_on_this_stack() -> Json:
    """The same, with what the document says in words written as a schema: all of it has to be taken."""
    narrowed = of_this_stack()
    schemas, parameters = narrowed["components"]["schemas"], narrowed["components"]["parameters"]
    parameters["next"]["schema"] = {"enum": [""]}
    schemas["RejectedToken"]["properties"]["rejected_generation"] = {"const": 1}
    credentials = schemas["Credentials"]["properties"]
    inputs: Json = {name: {"const": value} for name, value in CUSTOMER.items()}
    inputs["site_id"] = {"type": ["string", "null"], "pattern": "^([0-9]{1,20})?$"}
    credentials["inputs"] = {
        "type": "object", "properties": inputs, "required": [*CUSTOMER], "additionalProperties": False,
    }  # fmt: skip
    credentials["variables"] = {"type": "object", "maxProperties": 0}
    operation("storeCredentials", narrowed)["requestBody"]["content"]["application/json"]["examples"]["hotjar"][
        "value"
    ]["inputs"] = {**CUSTOMER, "site_id": "14"}
    operation("disconnectTenant", narrowed)["parameters"].insert(0, named("tenant", ENDING["tenant"]))
    (uninstall,) = (each for each in operation("disconnect", narrowed)["parameters"] if each["name"] == "uninstall")
    uninstall["schema"] = {"enum": [False]}  # Hotjar has no uninstalling
    schemas["NewSession"] = {"anyOf": list(_sessions(schemas["NewSession"]))}
    return narrowed


def _sessions(described: Json) -> Iterator[Json]:
    """What there is to say of a session, of which not everything goes with everything."""
    fields = described["properties"]
    returning = {"return_url": {"const": RETURN_URL}}
    subdomain = {"zendesk": {"const": {"subdomain": "acme"}}}
    variables = {"type": "object", "properties": subdomain, "additionalProperties": False}
    anything = {name: fields[name] for name in fields.keys() - {"return_url", "scopes", "variables"}}
    yield _session(fields, ["hotjar", *BY_CONSENT], returning, anything)
    yield _session(fields, ["hubspot"], {**returning, "scopes": fields["scopes"]})
    yield _session(fields, ["hubspot", "hotjar"], {"completion": {"const": "direct"}})
    yield _session(fields, ["hotjar"], {}, {"scopes": {"const": []}, "return_url": {"const": ""}})
    yield _session(fields, ["zendesk"], {**returning, "variables": variables})


def _session(fields: Json, integrations: list[str], more: Json, optional: Json | None = None) -> Json:
    most = 1 if "scopes" in more else len(integrations)
    offered = {**fields["integrations"], "items": {"enum": integrations}, "maxItems": most}
    return {
        "type": "object",
        "properties": {"user_ref": fields["user_ref"], **(optional or {}), "integrations": offered, **more},
        "required": ["user_ref", "integrations", *more],
        "additionalProperties": False,
    }


def put_to_the_test(company: Company, folder: Path, described: Json, *words: str) -> Json:
    """Run Schemathesis on the stack; return its report, in which `said` is what it says."""
    (folder / "openapi.json").write_text(json.dumps(described))
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", company.ready.base_url, *words),
            *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--continue-on-failure", "--no-color"),
            *("--request-timeout", "40", "--warnings", "off", "--report", "json", "--report-json-path", "report.json"),
        ],
        cwd=folder,
        env=environment(company),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    report: Json = json.loads((folder / "report.json").read_text())
    return report | {"said": done.stdout + done.stderr}


def environment(company: Company) -> Mapping[str, str]:
    ready = company.ready
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": ready.access_key_id,
        "AWS_SECRET_ACCESS_KEY": ready.secret_access_key,
        "AWS_REGION": ready.region,
        "SCHEMATHESIS_HOOKS": "tests.stack.signing",
    }


def test_what_the_document_calls_valid_is_taken_and_answered_as_it_says(company: Company, tmp_path: Path) -> None:
    only = ("--mode", "positive", "--phases", "examples,coverage,fuzzing")
    report = put_to_the_test(company, tmp_path, valid_on_this_stack(), *only)
    assert calls_without_a_finding(report) > 150
    taken = {route: sum(each["accepted"] for each in rates.values()) for route, rates in report["valid_rates"].items()}
    assert taken.keys() == {route for route, _ in openapi.operations()}
    assert [route for route, count in taken.items() if not count] == [NEVER_TAKEN]


def test_what_the_document_calls_invalid_is_refused_as_it_says(company: Company, tmp_path: Path) -> None:
    # Where it knows nothing wrong to ask, it asks something right, of which the test above knows more.
    only = ("--mode", "negative", "--phases", "coverage,fuzzing", "--exclude-checks", "positive_data_acceptance")
    report = put_to_the_test(company, tmp_path, of_this_stack(), *only)
    assert calls_without_a_finding(report) > 400


def test_an_answer_that_the_document_does_not_describe_would_be_found(company: Company, tmp_path: Path) -> None:
    described = of_this_stack()
    described["components"]["schemas"]["Integrations"]["required"] += ["next"]
    only = ("--include-path", "/integrations", "--mode", "positive", "--phases", "coverage")
    report = put_to_the_test(company, tmp_path, described, *only)
    assert [each["title"] for each in report["failures"]] == ["Response violates schema"], report["said"]


def calls_without_a_finding(report: Json) -> int:
    """Say how many requests were made; fail with what Schemathesis says if it found anything."""
    assert (report["exit_code"], report["complete"], report["failures"]) == (0, True, []), report["said"]
    count: int = report["test_cases"]["generated"]
    print(f"Schemathesis made {count} requests in {report['running_time']:.0f} seconds and found nothing")  # noqa: T201 - for -rP
    return count
