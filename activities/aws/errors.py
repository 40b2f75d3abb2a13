"""What botocore raises, in the kill-switch's words.

Owns the translation and nothing else: the missing permission is named, throttling can be tried again, what is not there
is a target unknown. Never repeats a request or its headers, so no credential gets into a message.

    with translated("network-interface/eni-1"):
        ec2.modify_network_interface_attribute(...)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    TokenRetrievalError,
    WaiterError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from activities.killswitch.platform import (
    PermissionMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnreachable,
    TargetUnknown,
)
from segmentation.errors import FirebreakError

# Where the action of the failed call is kept in an error's response; see `remember_action`.
ACTION = "FirebreakAction"

DENIED = frozenset({
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "UnauthorizedOperation",
    "UnauthorizedAccess",
    "403",
})  # fmt: skip
BAD_SESSION = frozenset({
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
})  # fmt: skip
THROTTLED = frozenset({
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
})  # fmt: skip
UNWELL = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "ServiceException", "Unavailable"})
ABSENT = frozenset({
    "404",
    "LoadBalancerNotFound",
    "NoSuchBucket",
    "NoSuchEntity",
    "NotFound",
    "ResourceNotFoundException",
    "TargetGroupNotFound",
})  # fmt: skip
NO_CREDENTIALS = (NoCredentialsError, CredentialRetrievalError, MetadataRetrievalError, TokenRetrievalError)


def code_of(error: ClientError) -> str:
    """The platform's own code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def absent(error: ClientError) -> bool:
    """Whether the platform says that something is not there."""
    code = code_of(error)
    return code in ABSENT or code.endswith((".NotFound", ".Malformed"))


def remember_action(action: str, parsed: dict[str, Any]) -> None:
    """Keep the IAM action with a response: a ClientError knows its operation, but not of which service."""
    parsed.setdefault("ResponseMetadata", {})[ACTION] = action


@contextmanager
def translated(resource: str) -> Iterator[None]:
    """Whatever botocore raises inside, as one of the kill-switch's errors about this resource."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translate(error, resource) from error


def translate(error: Exception, resource: str) -> FirebreakError:
    """The kill-switch's error for what botocore raised."""
    if isinstance(error, ClientError):
        return _answered(error, resource)
    if isinstance(error, NO_CREDENTIALS):
        # A metadata service that is silent for a moment looks like none at all.
        return PlatformUnreachable(
            f"{resource}: this worker gets no AWS credentials of its own: {type(error).__name__}.",
            hint="It is tried again; its process needs a role, or a profile, by the AWS default chain.",
        )
    if isinstance(error, WaiterError):
        return PlatformUnreachable(
            f"{resource}: AWS was not done in time: {error.kwargs.get('reason', error)}.", hint="It is tried again."
        )
    if isinstance(error, BotoConnectionError | HTTPClientError | IncompleteReadError):
        return PlatformUnreachable(
            f"{resource}: AWS can't be reached: {type(error).__name__}.",
            hint="It is tried again; see the endpoint, the proxy and the route of this worker.",
        )
    return PlatformRefused(f"{resource}: {error}", hint="Nothing was sent: the request did not suit the API.")


def _answered(error: ClientError, resource: str) -> FirebreakError:
    code = code_of(error)
    action = str(error.response.get("ResponseMetadata", {}).get(ACTION, error.operation_name))
    said = str(error.response.get("Error", {}).get("Message", ""))[:500]
    if code in DENIED:
        return PermissionMissing(
            f"{resource}: {action} is not allowed ({code}).",
            hint=f"Allow {action} on it to the role that this worker assumes; deploy/aws has the policy.",
        )
    if code in BAD_SESSION:
        return PlatformUnreachable(
            f"{resource}: AWS does not accept our session for {action} ({code}).",
            hint="It is tried again with a new session; see the clock of this machine and the role's trust.",
        )
    if code in THROTTLED:
        return PlatformThrottled(
            f"{resource}: AWS throttles {action} ({code}), also after retries with jitter.", hint="It is tried again."
        )
    if code in UNWELL or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:  # noqa: PLR2004
        return PlatformUnreachable(
            f"{resource}: {action} failed inside AWS ({code}): {said}", hint="It is tried again."
        )
    if absent(error):
        return TargetUnknown(
            f"{resource} is not there ({code}): {said}", hint="See account, region and id; or it is gone meanwhile."
        )
    return PlatformRefused(f"{resource}: {action} was refused ({code}): {said}", hint="See what AWS says.")
