"""Where the parts of one run are, and the template parameters that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.options import Options
from dev.other_keys import OTHER_KEYS
from dev.services import Ports

LEAST_REFRESH_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """All on this machine; no URL ends with a slash."""

    gateway: str
    ports: Ports
    any_loopback_provider: bool

    @property
    def authorization_server(self) -> str:
        return f"http://localhost:{self.ports.authorization_server}"

    @property
    def acme(self) -> str:
        return f"http://localhost:{self.ports.acme}"

    @property
    def aws(self) -> str:
        return f"http://127.0.0.1:{self.ports.aws}"

    @property
    def insecure_provider_origins(self) -> str:
        return "*" if self.any_loopback_provider else self.authorization_server

    def parameters(self, options: Options, provider_files: Path) -> Mapping[str, str]:
        """Return what the template's parameters are here."""
        own = [url for url in options.return_urls.split(",") if url]
        given = {
            "PublicBaseUrl": self.gateway,
            "CompanyName": "Acme",
            "ReturnUrls": ",".join([f"{self.acme}/return", *own]),
            "InsecureProviderOrigins": self.insecure_provider_origins,
            "DeployExamples": "true",
            "DeployTransfer": "true",
            **OTHER_KEYS,
            "HubSpotApiBase": f"{self.authorization_server}/api.hubapi.com",
            "HotjarApiBase": f"{self.authorization_server}/api.hotjar.io",
            "HotmartApiBase": f"{self.authorization_server}/developers.hotmart.com",
            "ProviderFiles": str(provider_files),
        }
        lifetime = options.access_ttl_seconds
        if lifetime is not None:
            given["MinRefreshSeconds"] = str(min(LEAST_REFRESH_SECONDS, max(1, lifetime // 25)))
        return given
