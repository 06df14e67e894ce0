"""Client secrets from a mapping."""

from collections.abc import Callable, Mapping

from consentry.model import Secret

CLIENT_SECRET = "CNRY-client-secret-51c9e7"


class FakeSecrets:
    """`ports.ClientSecrets`: the same client secret for every integration, unless told otherwise."""

    def __init__(
        self,
        values: Mapping[str, Mapping[str, str]] | None = None,
        before: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.values = values
        self.previous: dict[str, Mapping[str, str]] = {}
        self._before = before

    def previous_client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        self._before("previous_client_secrets")
        return {name: Secret(value) for name, value in self.previous.get(integration_id, {}).items()}

    def client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        self._before("client_secrets")
        if self.values is None:
            return {"client_secret": Secret(CLIENT_SECRET)}
        return {name: Secret(value) for name, value in self.values.get(integration_id, {}).items()}
