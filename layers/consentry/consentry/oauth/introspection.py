"""Whose token it is, asked at an introspection endpoint where the token answer does not tell (RFC 7662)."""

from consentry.errors import Misconfigured
from consentry.model import Metadata, Secret
from consentry.oauth.answer_fields import json_object, kept_fields, scalar_text
from consentry.oauth.provider import BodyFormat, Introspection, Provider
from consentry.oauth.token_request import ClientIdentity, authenticated_request
from consentry.oauth.wire import HttpAnswer, TokenRequest


def introspection_request(provider: Provider, client: ClientIdentity, token: Secret) -> TokenRequest:
    """Ask about an access token (RFC 7662 section 2.1), authenticated as at the token endpoint.

    Raise `Misconfigured` if the provider has no introspection endpoint, or a client secret is missing.
    """
    endpoint = _endpoint(provider)
    parameters = {"token": token.reveal(), "token_type_hint": "access_token"}
    return authenticated_request(provider, client, endpoint.url, parameters, BodyFormat.FORM)


def parse_introspection(provider: Provider, answer: HttpAnswer) -> tuple[str, Metadata] | None:
    """Return account and kept fields, or `None` if the answer is unusable, inactive or names no account.

    Never raises for an answer: identity is wanted, but no reason to lose a token (RFC 7662 section 2.2).
    """
    endpoint = _endpoint(provider)
    fields = json_object(answer.body) if answer.status == 200 else None  # noqa: PLR2004 - HTTP's own number
    if fields is None or fields.get("active") is not True:
        return None
    account = scalar_text(fields, endpoint.account_field)
    return (account, kept_fields(fields, endpoint.keep)) if account else None


def _endpoint(provider: Provider) -> Introspection:
    if provider.introspection is None:
        message = f"provider {provider.id} has no introspection endpoint: add [introspection] to its file"
        raise Misconfigured(message)
    return provider.introspection
