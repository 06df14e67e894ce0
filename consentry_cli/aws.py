"""Calls to AWS whose errors say what to do: which permission is missing, whose clock is wrong, what is not there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidConfigError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from consentry_cli.failures import Exit, Failure

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_ABSENT: Final = frozenset({"ResourceNotFoundException", "NotFoundException", "QueueDoesNotExist", "ResourceNotFound"})
_STRANGERS: Final = frozenset({
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
    "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
})  # fmt: skip
_CLOCK: Final = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_STALE: Final = ("Signature expired", "Signature not yet current")
_NO_CREDENTIALS: Final = (
    NoCredentialsError, PartialCredentialsError, ProfileNotFound, InvalidConfigError, ConfigParseError, SSOError,
    TokenRetrievalError,
)  # fmt: skip
_ACTIONS: Final = {("lambda", "Invoke"): "lambda:InvokeFunction"}
_PREFIXES: Final = {"dynamodbstreams": "dynamodb"}

CLOCK_SENTENCE: Final = "AWS refuses requests that this machine signs, because its clock is wrong: set it (NTP)."


@contextmanager
def plainly(service: str) -> Iterator[None]:
    """Turn what boto3 raises into a `Failure`."""
    try:
        yield
    except ClientError as error:
        raise _refusal(service, error) from None
    except _NO_CREDENTIALS as error:
        sentence = f"No AWS credentials: {str(error).rstrip('.')}. Sign in, or name a profile with --profile."
        raise Failure(sentence, Exit.REFUSED, "no_credentials") from None
    except CredentialRetrievalError:  # what its program said may be anything, a secret too
        sentence = "No AWS credentials: what should give them failed. Sign in, or name a profile with --profile."
        raise Failure(sentence, Exit.REFUSED, "no_credentials") from None
    except InvalidRegionError as error:
        sentence = f"{error.kwargs['region_name']!r} is no AWS region: name it with --region."
        raise Failure(sentence, Exit.USAGE, "invalid_region") from None
    except NoRegionError:
        raise Failure("No AWS region: name it with --region.", Exit.USAGE, "no_region") from None
    except EndpointConnectionError as error:
        sentence = f"{service} cannot be reached at {error.kwargs['endpoint_url']}: is the region right?"
        raise Failure(sentence, Exit.UNAVAILABLE, "unreachable") from None
    except BotoCoreError as error:
        sentence = f"{service} did not answer ({type(error).__name__}). Try again."
        raise Failure(sentence, Exit.UNAVAILABLE, "unavailable") from None


def _refusal(service: str, error: ClientError) -> Failure:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    if code in _CLOCK or any(said in message for said in _STALE):
        return Failure(CLOCK_SENTENCE, Exit.UNAVAILABLE, "clock_skew")
    if code in _STRANGERS:
        sentence = f"AWS does not take these credentials ({code}): sign in again, or name another --profile."
        return Failure(sentence, Exit.REFUSED, "credentials_refused")
    if code in _DENIED:
        prefix, operation = _PREFIXES.get(service, service), error.operation_name
        action = _ACTIONS.get((service, operation), f"{prefix}:{operation}")
        sentence = f"Your credentials may not do this: they lack the permission {action}."
        return Failure(sentence, Exit.REFUSED, "permission_missing")
    if (service, code) == ("secretsmanager", "InvalidRequestException"):
        return Failure(f"Secrets Manager: {message}", Exit.REFUSED, "secret_ending")
    if code in _ABSENT or "NonExistentQueue" in code or (service, code) == ("cloudformation", "ValidationError"):
        return Failure(f"{service}: {message or code}", Exit.NOT_FOUND, "not_found")
    return Failure(f"{service} refused {error.operation_name}: {code}.", Exit.UNAVAILABLE, "aws_error")


class Aws:
    """The clients of one session; `endpoint` is the local stack's, or None."""

    def __init__(self, session: Any, endpoint: str | None = None) -> None:  # noqa: ANN401 - boto3 is imported where it is used
        self.session = session
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._turn = Lock()  # a session makes one client at a time

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        with self._turn, plainly(service):
            if service not in self._clients:
                self._clients[service] = self.session.client(service, endpoint_url=self._endpoint)
            return self._clients[service]

    def call(self, service: str, operation: str, **arguments: object) -> Mapping[str, Any]:
        """Make one call, by boto3's name of it; raise `Failure`."""
        ask: Callable[..., Mapping[str, Any]] = getattr(self.client(service), operation)
        with plainly(service):
            return ask(**arguments)

    def pages(self, service: str, operation: str, **arguments: object) -> Iterator[Mapping[str, Any]]:
        paginator = self.client(service).get_paginator(operation)
        with plainly(service):
            yield from paginator.paginate(**arguments)
