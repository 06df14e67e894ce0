"""Checks AWS Signature Version 4 on requests to signed routes, with botocore's own signer.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SERVICE: Final = "execute-api"
MAX_SKEW_SECONDS: Final = 300
AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^, ]+), *"
    r"SignedHeaders=(?P<headers>[a-z0-9;_-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as it came in: `target` with its query, header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Knows the one principal of the local stack."""

    access_key_id: str
    secret_access_key: str
    region: str

    def accepts(self, request: SignedRequest, now: datetime) -> bool:
        """Whether the request is signed by that principal, for this service, over this very body, and just now."""
        given = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        stamp = request.headers.get("x-amz-date", "")
        if not given or not _recent(stamp, now) or not _body_is_the_signed_one(request):
            return False
        signed = given["headers"].split(";")
        scope = f"{self.access_key_id}/{stamp[:8]}/{self.region}/{SERVICE}/aws4_request"
        if given["credential"] != scope or not {"host", "x-amz-date"} <= set(signed):
            return False
        return hmac.compare_digest(self._signature(request, signed, stamp), given["signature"])

    def _signature(self, request: SignedRequest, signed: list[str], stamp: str) -> str:
        auth = SigV4Auth(Credentials(self.access_key_id, self.secret_access_key), SERVICE, self.region)
        again = AWSRequest(
            method=request.method,
            url=f"https://{request.headers.get('host', '')}{request.target}",
            headers={name: request.headers[name] for name in signed if name in request.headers},
            data=request.body,
        )
        again.context["timestamp"] = stamp
        return str(auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again))


def _recent(stamp: str, now: datetime) -> bool:
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs((now - signed_at).total_seconds()) <= MAX_SKEW_SECONDS


def _body_is_the_signed_one(request: SignedRequest) -> bool:
    """The signer takes a hash that the client states on trust; so it has to be the hash of what came."""
    stated = request.headers.get("x-amz-content-sha256")
    return stated is None or hmac.compare_digest(stated.encode(), hashlib.sha256(request.body).hexdigest().encode())
