"""Providers made for tests: one with an issuer, one that tells who it is only when asked, one with credentials."""

from consentry.errors import Misconfigured
from consentry.model import Grant
from consentry.oauth.provider import (
    AuthorizationEndpoint,
    BodyFormat,
    ClientAuthentication,
    CredentialInput,
    Introspection,
    Pkce,
    Provider,
    RefreshBehaviour,
    Revocation,
    Rotation,
    TokenEndpoint,
    UrlVariable,
)

ISSUER = "https://id.crm.test"

CRM = Provider(
    id="crm",
    name="CRM",
    grant=Grant.AUTHORIZATION_CODE,
    checked="2026-11-01",
    sources=("https://docs.crm.test/",),
    authorization=AuthorizationEndpoint(
        url="https://app.crm.test/authorize", pkce=Pkce.REQUIRED, default_scopes=("contacts",), issuer=ISSUER
    ),
    token=TokenEndpoint(
        url="https://api.crm.test/token",
        client_authentication=ClientAuthentication.POST,
        body=BodyFormat.FORM,
        keep=("hub_id",),
        account_field="hub_id",
    ),
    refresh=RefreshBehaviour(rotation=Rotation.ROTATES),
)
DESK = Provider(
    id="desk",
    name="Desk",
    grant=Grant.AUTHORIZATION_CODE,
    checked="2026-11-01",
    sources=("https://docs.desk.test/",),
    authorization=AuthorizationEndpoint(
        url="https://app.desk.test/authorize", pkce=Pkce.SUPPORTED, issuer="https://desk.test", issuer_required=True
    ),
    token=TokenEndpoint(
        url="https://api.desk.test/token", client_authentication=ClientAuthentication.BASIC, body=BodyFormat.FORM
    ),
    introspection=Introspection(url="https://api.desk.test/whose", account_field="sub", keep=("org",)),
    refresh=RefreshBehaviour(rotation=Rotation.ROTATES),
)
METRICS = Provider(
    id="metrics",
    name="Metrics",
    grant=Grant.CLIENT_CREDENTIALS,
    checked="2026-11-01",
    sources=("https://docs.metrics.test/",),
    token=TokenEndpoint(
        url="https://api.metrics.test/token", client_authentication=ClientAuthentication.POST, body=BodyFormat.FORM
    ),
    refresh=RefreshBehaviour(rotation=Rotation.REMINT),
    credential_inputs=(
        CredentialInput(
            name="client_id", label="Client ID", secret=False, max_length=40, labels={"pt": "ID do cliente"}
        ),
        CredentialInput(name="client_secret", label="Client secret", secret=True, max_length=80),
        CredentialInput(
            name="site_id",
            label="Site ID",
            secret=False,
            required=False,
            max_length=20,
            metadata=True,
            pattern="[0-9]{1,20}",
        ),
    ),
)
# Providers with an address of their own for each customer: below a name, and as a part of a path.
SHOP = Provider(
    id="shop",
    name="Shop",
    grant=Grant.AUTHORIZATION_CODE,
    checked="2026-11-01",
    sources=("https://docs.shops.test/",),
    authorization=AuthorizationEndpoint(
        url="https://{shop}.shops.test/authorize",
        pkce=Pkce.REQUIRED,
        default_scopes=("orders",),
        issuer="https://{shop}.shops.test",
        issuer_required=True,
    ),
    token=TokenEndpoint(
        url="https://{shop}.shops.test/token", client_authentication=ClientAuthentication.POST, body=BodyFormat.FORM
    ),
    introspection=Introspection(url="https://{shop}.shops.test/whose", account_field="sub"),
    revocation_url="https://{shop}.shops.test/revoke",
    revocation=Revocation.TOKEN,
    refresh=RefreshBehaviour(rotation=Rotation.ROTATES),
    variables={
        "shop": UrlVariable(
            label="Shop name", labels={"pt": "Nome da loja"}, help={"en": "What stands before .shops.test"}
        )
    },
)
BOOKS = Provider(
    id="books",
    name="Books",
    grant=Grant.CLIENT_CREDENTIALS,
    checked="2026-11-01",
    sources=("https://docs.books.test/",),
    token=TokenEndpoint(
        url="https://api.books.test/{company}/token",
        client_authentication=ClientAuthentication.POST,
        body=BodyFormat.FORM,
    ),
    refresh=RefreshBehaviour(rotation=Rotation.REMINT),
    variables={"company": UrlVariable(label="Company", pattern="[A-Z]{2}[0-9]{1,6}")},
    credential_inputs=(
        CredentialInput(name="client_id", label="Client ID", secret=False),
        CredentialInput(name="client_secret", label="Client secret", secret=True),
    ),
)


class FakeCatalogue:
    """`ports.Catalogue` over providers at hand."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {each.id: each for each in providers or (CRM, DESK, METRICS)}

    def provider(self, provider_id: str) -> Provider:
        if provider_id not in self._providers:
            message = f"there is no provider {provider_id!r}"
            raise Misconfigured(message)
        return self._providers[provider_id]
