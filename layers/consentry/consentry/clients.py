"""AWS as a consumer's process reaches it: settings, one client for each service, and its errors in our words."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import boto3
from botocore import exceptions as botocore
from botocore.config import Config

from consentry.envelope import unreadable
from consentry.errors import ConsentryError, Misconfigured, TokenUnavailable
from consentry.sharing import outlive_forks

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient

_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied"})
_NOT_VALID: Final = frozenset({
    *("ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"),
    *("InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException"),
    *("MissingAuthenticationTokenException", "RequestExpired", "RequestTimeTooSkewed"),
})  # fmt: skip
_MISSING: Final = frozenset({"ResourceNotFoundException", "NotFoundException"})
_IMPOSSIBLE: Final = frozenset({"ValidationException", "InvalidParameterValueException"})
_DISABLED: Final = frozenset({"DisabledException", "KMSInvalidStateException"})
_FOREIGN: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_WITHOUT: Final = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.NoRegionError,
    botocore.InvalidRegionError,
    botocore.ProfileNotFound,
)
_NOT_TO_BE_HAD: Final = (botocore.CredentialRetrievalError, botocore.SSOError, botocore.TokenRetrievalError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A permission that a consumer needs, what for, which exported policy has it, and what names the thing."""

    action: str
    thing: str
    policy: str
    named_by: str


GETTING: Final = Asking(
    action="dynamodb:GetItem",
    thing="the connections table",
    policy="ReadPolicyArn (or ReadTenantPolicyArn, for the tenant in the role's tag consentry-tenant)",
    named_by="CONSENTRY_CONNECTIONS_TABLE is the stack's output ConnectionsTableName",
)
OPENING: Final = Asking(
    action="kms:Decrypt", thing="the key of access tokens", policy=GETTING.policy, named_by="the record is this stack's"
)
REFRESHING: Final = Asking(
    action="lambda:InvokeFunction",
    thing="the refresh function",
    policy="RefreshPolicyArn (RefreshTenantPolicyArn does not include it)",
    named_by="CONSENTRY_REFRESH_FUNCTION is the stack's output RefreshFunctionName",
)
LISTING: Final = Asking(
    action="dynamodb:Query",
    thing=GETTING.thing,
    policy="ListPolicyArn (or ListTenantPolicyArn, for the tenant in the role's tag consentry-tenant)",
    named_by=GETTING.named_by,
)


class Clients:
    """Three clients, made at first use from one session; `given` are settings by the names of their variables."""

    def __init__(self, given: Mapping[str, str | None], *, session: "Session | None", deadline_seconds: float) -> None:
        self._given = given
        self._given_session = session
        self._deadline_seconds = deadline_seconds
        self._making = threading.Lock()
        outlive_forks(self)

    def begin_again(self) -> None:
        """Make new clients: those that there are share their connections with another process."""
        self._making = threading.Lock()
        for made in ("_dynamodb", "_kms", "_functions"):
            vars(self).pop(made, None)

    def setting(self, variable: str) -> str:
        """Return what was given, or the environment's; raise `Misconfigured` naming what is missing."""
        if value := self._given.get(variable) or os.environ.get(variable, ""):
            return value
        raise Misconfigured(f"Set the environment variable {variable} for this function, or pass its value to Vault().")

    def dynamodb(self) -> "DynamoDBClient":
        with self._making:
            return self._dynamodb

    def kms(self) -> "KMSClient":
        with self._making:
            return self._kms

    def functions(self) -> "LambdaClient":
        with self._making:
            return self._functions

    def session(self) -> "Session":
        with self._making:
            return self._session

    @contextmanager
    def explained(self, asking: Asking) -> Iterator[None]:
        """Turn AWS's errors into ours, by code; their messages are dropped."""
        try:
            yield
        except botocore.ClientError as error:
            raise self._meaning(error.response["Error"]["Code"], asking) from None
        except _WITHOUT as error:
            message = f"This process has no AWS credentials or region, so it can't use {asking.action}"
            raise Misconfigured(f"{message}; run it with a role.", detail=type(error).__name__) from None
        except _NOT_TO_BE_HAD as error:
            raise _not_valid(asking, type(error).__name__) from None
        except botocore.ConnectionError as error:
            message = f"AWS does not answer in the region {self._session.region_name}; try again in a few seconds"
            raise TokenUnavailable(
                f"{message}, and if it stays so, check region and network.",
                detail=_detail(asking, type(error).__name__),
            ) from None
        except botocore.ParamValidationError:
            raise self._meaning("ValidationException", asking) from None
        except botocore.BotoCoreError as error:
            raise later(asking, type(error).__name__) from None

    def _meaning(self, code: str, asking: Asking) -> ConsentryError:
        action, thing, region = asking.action, asking.thing, self._session.region_name
        if code in _FOREIGN or (code in _IMPOSSIBLE and asking is OPENING):
            return unreadable(f"{action}: {code}")  # what is asked for there comes out of the record
        if code in _NOT_VALID:
            return _not_valid(asking, code)
        if code in _DENIED:
            return self.denied(asking)
        if code in _MISSING or code in _IMPOSSIBLE:
            message = f"In the region {region} there is no such thing as {thing} that is configured here ({action})"
            return Misconfigured(f"{message}: see that {asking.named_by}, and the region the stack's.")
        if code in _DISABLED:
            return Misconfigured(f"{thing.capitalize()} is disabled or about to be deleted; enable it ({action}).")
        return later(asking, code)

    def denied(self, asking: Asking) -> Misconfigured:
        """Name the permission, the policy that has it, and the region: a policy is for the stack's alone."""
        message = (
            f"AWS denies {asking.action} on {asking.thing} to this process: attach the policy in the stack's output"
        )
        region = self._session.region_name
        return Misconfigured(f"{message} {asking.policy} to its role, and use the stack's region (here: {region}).")

    @cached_property
    def _session(self) -> "Session":
        # At DEBUG, botocore writes whole requests and answers: tokens among them.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        # boto3's default session is shared with the consumer's own clients: a second one costs a second start.
        return self._given_session or boto3._get_default_session()  # noqa: SLF001 - boto3.client() itself uses it

    @cached_property
    def _dynamodb(self) -> "DynamoDBClient":
        return self._session.client("dynamodb", config=_QUICK)

    @cached_property
    def _kms(self) -> "KMSClient":
        return self._session.client("kms", config=_QUICK)

    @cached_property
    def _functions(self) -> "LambdaClient":
        # One attempt only: a repeated request is a second refresh. A second is left for reading the record again.
        patience = max(1.0, self._deadline_seconds - 1)
        config = Config(connect_timeout=2, read_timeout=patience, retries={"total_max_attempts": 1})
        return self._session.client("lambda", config=config)


# Both answer within milliseconds: who hangs is asked again soon, and a token that is still valid is served after that.
_QUICK: Final = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 3})


def later(asking: Asking, code: str) -> TokenUnavailable:
    """Nobody's fault, as far as can be told: `code` goes to the detail."""
    return TokenUnavailable(
        "Consentry can't be read right now; try again in a few seconds.", detail=_detail(asking, code)
    )


def _not_valid(asking: Asking, code: str) -> Misconfigured:
    message = "The AWS credentials of this process have expired or are not valid; sign in again, or give it a role"
    clock = "minutes of difference between its clock and AWS's look the same"
    return Misconfigured(f"{message} ({asking.action}; {clock}).", detail=_detail(asking, code))


def _detail(asking: Asking, code: str) -> str:
    return f"{asking.action}: {code}"
