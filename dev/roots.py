"""Picks the roots of Amazon Trust Services from a bundle: `python dev/roots.py BUNDLE TARGET`, both PEM.

The five that Amazon asks everybody with a trust store of their own to include (https://www.amazontrust.com/repository).
Parsing them costs a fraction of what the whole bundle costs, and each new connection to AWS parses them again.
"""

import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOTS: Final = (
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
)


def chosen(bundle: Path) -> str:
    """Return `ROOTS` as PEM, in that order; raise `LookupError` naming those that `bundle` does not hold."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    encoded = context.get_ca_certs(binary_form=True)
    found = {_common_name(told): der for told, der in zip(context.get_ca_certs(), encoded, strict=True)}
    if missing := [name for name in ROOTS if name not in found]:
        raise LookupError(f"{bundle} does not hold {', '.join(missing)}")
    return "".join(f"# {name}\n{ssl.DER_cert_to_PEM_cert(found[name])}" for name in ROOTS)


def _common_name(certificate: dict[str, Any]) -> str:
    return next((value for ((name, value),) in certificate["subject"] if name == "commonName"), "")


def main(words: Sequence[str]) -> int:
    bundle, target = map(Path, words)
    try:
        target.write_text(chosen(bundle))
    except (LookupError, OSError) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
