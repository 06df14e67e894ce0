"""Integrations: how they are registered, whether their secret is there, and how they are doing."""

import time
from collections.abc import Iterator

from consentry.aws.health import DynamoHealth
from consentry.model import Grant
from consentry.ports import StorageUnavailable
from consentry.refresh.health import Breaker, Health, breaker, is_held
from consentry_cli.api import Api, Json
from consentry_cli.doctor.finding import Finding, Level, or_absent
from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation
from consentry_cli.providers import folders_of, known
from consentry_cli.registration import needs_secret


def registrations(installation: Installation) -> Iterator[Finding]:
    """Ask the deployment itself: it alone has the provider files that it was built with."""
    for told in _integrations(installation):
        if problem := told.get("problem"):
            what = f"The integration {told['integration']} cannot be used: {problem}"
            yield Finding("integration_unusable", what, "Register it anew: consentry integrations add --replace.")


def secrets(installation: Installation) -> Iterator[Finding]:
    """See that secrets exist, without reading any."""
    files = known(folders_of(installation, None))
    for told in _integrations(installation):
        provider = files.get(told["provider"])
        by_consent = told.get("grant") == Grant.AUTHORIZATION_CODE.value
        if needs_secret(provider) if provider else by_consent:
            yield from _secret(installation, told["integration"])
    arn = installation.resources.get("MacSecret", "")
    if arn and not or_absent(lambda: installation.aws.call("secretsmanager", "describe_secret", SecretId=arn)):
        what = "The key that signs links (MacSecret) is not there: nobody can connect."
        yield Finding("no_mac_secret", what, "Restore it in Secrets Manager.")


def _secret(installation: Installation, integration: str) -> Iterator[Finding]:
    name = installation.secret_name(integration)
    found = or_absent(lambda: installation.aws.call("secretsmanager", "describe_secret", SecretId=name))
    if found is None or "DeletedDate" in found:
        state = "has no client secret" if found is None else "has a client secret that is scheduled for deletion"
        what = f"The integration {integration} {state} ({name}): it can be neither connected nor refreshed."
        remedy = f"Store it: consentry integrations rotate {integration}"
        yield Finding("no_secret", what, remedy if found is None else "Restore it: aws secretsmanager restore-secret")


def health(installation: Installation) -> Iterator[Finding]:
    table, now = installation.output("IntegrationsTableName"), int(time.time())
    try:
        known_health = DynamoHealth(installation.aws.client("dynamodb"), table).all()
    except StorageUnavailable as error:
        sentence = f"The table {table} could not be read ({error.detail}); dynamodb:Scan on it is needed."
        raise Failure(sentence, Exit.UNAVAILABLE, "table_unreadable") from None
    for each in known_health:
        yield from _state(each, now)


def _state(known_health: Health, now: int) -> Iterator[Finding]:
    if is_held(known_health, now):
        what = (
            f"The integration {known_health.integration} is held: its provider refuses so many that none is believed."
        )
        yield Finding("integration_held", what, "Follow docs/runbook/integration-held.md.")
    if breaker(known_health, now) in {Breaker.OPEN, Breaker.HALF_OPEN}:
        what = f"The provider of {known_health.integration} is failing, and asked only now and then."
        yield Finding("integration_failing", what, "Follow docs/runbook/integration-failing.md.", Level.WARNING)


def attention(installation: Installation) -> Iterator[Finding]:
    found = Api(installation).get("/connections", "GET/connections", status="reauth_required", limit="100")
    if count := len(found["connections"]):
        many = f"{count} or more connections need" if found["next"] else f"{count} connection(s) need"
        what = f"{many} their customers again."
        yield Finding("reauth_required", what, "See who: consentry connections list", Level.WARNING)


def _integrations(installation: Installation) -> list[Json]:
    found: list[Json] = Api(installation).get("/integrations", "GET/integrations")["integrations"]
    return found
