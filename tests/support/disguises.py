"""The ways in which a secret may slip out: as it is, encoded, or in part (S-15)."""

import base64
from typing import Final
from urllib.parse import quote

SHORTEST: Final = 12


def disguises(secret: str) -> set[str]:
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), raw.hex(), base64.b64encode(raw).decode()[:-4], secret[-SHORTEST:]}
    return {each for each in found if len(each) >= SHORTEST}
