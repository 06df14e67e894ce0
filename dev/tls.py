"""TLS for the gateway, with a CA that lives as long as the run."""

import ssl
from pathlib import Path

import trustme


def server_context(ca_bundle: Path) -> ssl.SSLContext:
    """Return a context for localhost and 127.0.0.1, and write the CA's certificate to `ca_bundle`."""
    authority = trustme.CA(organization_name="Consentry local stack")
    authority.cert_pem.write_to_path(str(ca_bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context
