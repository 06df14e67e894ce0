"""A consumer that wants a token and nothing else."""

from typing import Any

from consentry import Vault

vault = Vault()


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    return {"generation": vault.token(event["tenant"], event["integration"]).generation}
