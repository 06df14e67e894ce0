"""Where integrations are registered: their item in the table, and their secret in Secrets Manager."""

import json
from collections.abc import Mapping
from typing import Any

from consentry.aws.dynamodb import from_item, to_item
from consentry.model import Grant, Integration, Secret
from consentry.oauth.provider import ClientAuthentication, Provider
from consentry_cli.failures import Exit, Failure
from consentry_cli.installation import Installation

MATERIAL = ("client_secret", "basic_token")


def needs_secret(provider: Provider) -> bool:
    """Whether the company's own application proves itself at this provider, rather than each customer's."""
    by_consent = provider.grant is Grant.AUTHORIZATION_CODE
    return by_consent and provider.token.client_authentication is not ClientAuthentication.NONE


def secret_from(text: str) -> Mapping[str, Secret]:
    """Read what a person typed or piped: the client secret as it is, or a JSON object of `MATERIAL`."""
    text = text.strip()
    if not text:
        raise Failure("No secret came: type it, or pipe it into this command.", Exit.USAGE, "secret_missing")
    if not text.startswith("{"):
        return {"client_secret": Secret(text)}
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if isinstance(given, dict) and given.keys() <= set(MATERIAL) and all(map(_is_text, given.values())):
        return {name: Secret(value) for name, value in given.items()}
    sentence = "The secret begins like JSON, and then it must be an object of texts: client_secret, basic_token."
    raise Failure(sentence, Exit.USAGE, "secret_unreadable")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


class Registry:
    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._aws = installation.aws

    @property
    def _table(self) -> str:
        return self._installation.output("IntegrationsTableName")

    def item(self, integration: str) -> dict[str, Any] | None:
        key = to_item({"integration": integration})
        found = self._aws.call("dynamodb", "get_item", TableName=self._table, Key=key, ConsistentRead=True)
        return from_item(found["Item"]) if "Item" in found else None

    def required(self, integration: str) -> dict[str, Any]:
        if found := self.item(integration):
            return found
        sentence = f"There is no integration {integration!r}: register it with `consentry integrations add`."
        raise Failure(sentence, Exit.NOT_FOUND, "unknown_integration")

    def register(self, integration: Integration) -> None:
        values = {
            "integration": integration.id,
            "provider": integration.provider,
            "client_id": integration.client_id,
            "display_name": integration.display_name,
            "scopes": integration.scopes,
            "optional_scopes": integration.optional_scopes,
            "refreshes_per_minute": integration.refreshes_per_minute,
        }
        item = to_item({name: value for name, value in values.items() if value})
        self._aws.call("dynamodb", "put_item", TableName=self._table, Item=item)

    def keep_secret(self, integration: str, material: Mapping[str, Secret]) -> None:
        """Store it as the newest version; the one before stays readable as AWSPREVIOUS.

        The same once more is no new version: it would push out the one before, which may still be what counts.
        """
        name = self._installation.secret_name(integration)
        text = json.dumps({key: secret.reveal() for key, secret in material.items()})
        if self._current(name) == text:
            return
        try:
            self._aws.call("secretsmanager", "put_secret_value", SecretId=name, SecretString=text)
        except Failure as failure:
            if failure.exit_code is not Exit.NOT_FOUND:
                raise
            self._aws.call("secretsmanager", "create_secret", Name=name, SecretString=text)

    def _current(self, name: str) -> str | None:
        try:
            found = self._aws.call("secretsmanager", "get_secret_value", SecretId=name)
        except Failure as failure:
            if failure.exit_code is not Exit.NOT_FOUND:
                raise
            return None
        text: str | None = found.get("SecretString")
        return text

    def secret_problem(self, integration: str) -> str:
        """Return what is wrong with the secret; empty if nothing is."""
        name = self._installation.secret_name(integration)
        try:
            found = self._aws.call("secretsmanager", "get_secret_value", SecretId=name)
        except Failure as failure:
            if failure.code == "secret_ending":
                return f"the secret {name} is scheduled for deletion: restore it"
            if failure.exit_code is not Exit.NOT_FOUND:
                raise
            return f"there is no secret {name}"
        try:
            given = json.loads(found.get("SecretString", ""))
        except ValueError:
            given = None
        if isinstance(given, dict) and all(map(_is_text, given.values())) and given.keys() & set(MATERIAL):
            return ""
        return f"the secret {name} is not a JSON object with client_secret"
