"""Makes integrations known: their client at the authorization server, their item, and their secret."""

import http.client
import json
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consentry.model import Grant, Secret
from consentry.oauth.provider import Provider
from dev.integrations import Offer
from dev.mistakes import Mistake
from dev.providers import LOCAL

SYSTEMS: Final = ("hubspot", "hotjar", "hotmart", "zendesk")
CREATED: Final = 201

type Client = Any  # boto3 makes its clients at run time


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """Where integrations are made known. `secrets_prefix` ends with a slash."""

    table: str
    secrets_prefix: str
    dynamodb: Client
    secretsmanager: Client
    server_url: str
    base_url: str

    def register(self, offer: Offer, provider: Provider) -> None:
        endpoint = provider.authorization
        if endpoint and provider.grant is Grant.AUTHORIZATION_CODE and endpoint.url.startswith(f"{self.server_url}/"):
            self._register_client(offer, provider)
        self.dynamodb.put_item(TableName=self.table, Item=_item(offer))
        if offer.secrets:
            material = {name: secret.reveal() for name, secret in offer.secrets.items()}
            name = self.secrets_prefix + offer.integration.id
            self.secretsmanager.create_secret(Name=name, SecretString=json.dumps(material))

    def _register_client(self, offer: Offer, provider: Provider) -> None:
        wanted = offer.integration
        defaults = provider.authorization.default_scopes if provider.authorization else ()
        secret = offer.secrets.get("client_secret") or Secret(secrets.token_urlsafe(24))  # public clients: never used
        order: dict[str, object] = {
            "system": _system(provider),
            "client_id": wanted.client_id,
            "client_secret": secret.reveal(),
            "redirect_uris": [f"{self.base_url}/callback/{wanted.id}"],
        }
        scopes = sorted({*wanted.scopes, *wanted.optional_scopes, *defaults})
        status, answer = post_json(
            f"{self.server_url}/_control/clients", order | ({"scopes": scopes} if scopes else {})
        )
        if status != CREATED:
            raise Mistake(f"integration {wanted.id}: the authorization server refused its client: {answer[:200]}")


def post_json(url: str, content: Mapping[str, object]) -> tuple[int, str]:
    """POST to a loopback URL; return the status and the body's text."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("POST", parts.path, json.dumps(content), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def _system(provider: Provider) -> str:
    """Which of the authorization server's systems plays this provider: the first part of its id says it."""
    name = provider.id.removeprefix(LOCAL).partition("-")[0]
    return name if name in SYSTEMS else "generic"


def _item(offer: Offer) -> dict[str, object]:
    wanted = offer.integration
    texts = {
        "integration": wanted.id,
        "provider": wanted.provider,
        "client_id": wanted.client_id,
        "display_name": wanted.display_name,
    }
    lists = {"scopes": wanted.scopes, "optional_scopes": wanted.optional_scopes}
    return {name: {"S": text} for name, text in texts.items() if text} | {
        name: {"L": [{"S": scope} for scope in scopes]} for name, scopes in lists.items() if scopes
    }
