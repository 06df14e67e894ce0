"""The providers and integrations of one run: checked early, registered once the tables exist."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consentry.oauth.provider import Provider
from dev import providers
from dev.account import Account
from dev.addresses import Addresses
from dev.integrations import Offer, default_offers, read_offers
from dev.mistakes import Mistake
from dev.options import Options
from dev.registration import Registrar


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What there is to offer, by integration id, and every provider by id."""

    offers: Mapping[str, Offer]
    known: Mapping[str, Provider]

    def register(self, environment: Mapping[str, str], account: Account, addresses: Addresses) -> None:
        """Register everything in the table and under the prefix that the functions are told of."""
        registrar = Registrar(
            table=_told(environment, "CONSENTRY_INTEGRATIONS_TABLE"),
            secrets_prefix=_told(environment, "CONSENTRY_SECRETS_PREFIX"),
            dynamodb=account.client("dynamodb"),
            secretsmanager=account.client("secretsmanager"),
            server_url=addresses.authorization_server,
            base_url=addresses.gateway,
        )
        for offer in self.offers.values():
            registrar.register(offer, self.known[offer.integration.provider])


def prepare(options: Options, addresses: Addresses, provider_files: Path) -> Enrolment:
    """Write the provider files and read the user's integrations; raise `Mistake` before anything slow happens."""
    origins = frozenset({addresses.insecure_provider_origins})
    providers.write_overlays(provider_files, addresses.authorization_server)
    if options.providers:
        providers.check_own(options.providers, origins)
        providers.add_own(provider_files, options.providers)
    known = providers.load_all(provider_files, origins)
    offers = default_offers(known) + (read_offers(options.integrations, known) if options.integrations else [])
    return Enrolment({offer.integration.id: offer for offer in offers}, known)


def _told(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise Mistake(f"template: no function is told {name}, so integrations cannot be registered; or run with BARE=1")
    return environment[name]
