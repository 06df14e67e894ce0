"""What Schemathesis loads before it runs: it signs each request, and makes up texts of the document's own formats.

Registering both is all that it is for, so loading it does that.
"""

import os
from typing import Final

import requests.auth
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import strategies

SERVICE: Final = "execute-api"


class Signature(requests.auth.AuthBase):
    """Signs what is about to be sent, by the environment's credentials."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        signed = AWSRequest(method=request.method, url=request.url, data=request.body)
        SigV4Auth(credentials, SERVICE, os.environ["AWS_REGION"]).add_auth(signed)
        request.headers.update(signed.headers.items())
        return request


def _printable(*, also: str = "") -> strategies.SearchStrategy[str]:
    characters = strategies.characters(exclude_categories=["C", "Z"]) | strategies.sampled_from(" " + also)
    return strategies.text(characters.filter(lambda each: each.isprintable() or each in also), max_size=40)


schemathesis.auth.set_from_requests(Signature())  # type: ignore[attr-defined]  # documented, and left out of its types
schemathesis.openapi.format("printable", _printable())
schemathesis.openapi.format("printable-lines", _printable(also="\n"))
