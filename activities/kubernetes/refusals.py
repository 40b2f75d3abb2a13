"""What an API server's refusals mean: each answer that is no success becomes an error that says what to do.

Owns the translation. Decides by status code and by the Status object's machine-readable fields, never by its message.
"""

from typing import Any, ClassVar, Protocol

from activities.killswitch.platform import (
    PermissionMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnreachable,
    TargetUnknown,
)
from activities.kubernetes.places import Place
from segmentation.errors import FirebreakError

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, TOO_MANY, UNAVAILABLE = 401, 403, 404, 409, 410, 429, 503
THROTTLING = frozenset({TOO_MANY, UNAVAILABLE})
SERVER_ERRORS = 500
ROLES_FILE = "deploy/kubernetes/rbac.yaml"


class ConcurrentChange(PlatformRefused):
    """The object changed between our reading and our writing it, or another field manager owns what we set."""

    code: ClassVar[str] = "concurrent-change"

    def __init__(self, summary: str, *, hint: str = "", managers: tuple[str, ...] = ()) -> None:
        super().__init__(summary, hint=hint)
        self.managers = managers


class ApiMissing(PlatformRefused):
    """The server does not serve this API, or what answers is no API server. Whether the object exists is unknown."""

    code: ClassVar[str] = "api-missing"


class ListExpired(PlatformRefused):
    """The server has forgotten the page after which we asked."""

    code: ClassVar[str] = "list-expired"


_KINDS: dict[int, type[FirebreakError]] = {
    TOO_MANY: PlatformThrottled,
    UNAVAILABLE: PlatformThrottled,
    GONE: ListExpired,
}


class Refusal(Protocol):
    """An answer that is no success."""

    @property
    def code(self) -> int:
        """The HTTP status."""

    @property
    def text(self) -> str:
        """The body."""

    @property
    def document(self) -> dict[str, Any]:
        """The body's JSON object, if it is one."""


def is_missing_object(answer: Refusal) -> bool:
    """Whether this 404 says that the object is not there, and not that nobody knows the path."""
    return bool(_status_of(answer).get("reason") == "NotFound")


def refused(cluster: str, verb: str, place: Place, answer: Refusal) -> FirebreakError:
    """The error for an answer that is no success."""
    status, code = _status_of(answer), answer.code
    message = str(status.get("message") or answer.text.strip() or "no reason given")[:500]
    if code == NOT_FOUND:
        return _unknown(cluster, place, status, message)
    if code == CONFLICT:
        return _conflict(cluster, place, status, message)
    if code == UNAUTHORIZED:
        return PermissionMissing(
            f"Cluster {cluster} does not accept our credential: {message}.",
            hint="Renew the token or certificate of its kubeconfig.",
        )
    kind = _KINDS.get(code, PlatformUnreachable if code >= SERVER_ERRORS else PlatformRefused)
    return kind(f"Cluster {cluster} answers {code} to {verb} {place}: {message}")


def permission_missing(cluster: str, permission: str, place: Place) -> PermissionMissing:
    """The error for what RBAC does not grant."""
    where = f"in namespace {place.namespace}" if place.namespace else "cluster-wide"
    return PermissionMissing(
        f"Cluster {cluster} does not let us {permission} {where}" + (f" (object {place.name})." if place.name else "."),
        hint=f"Grant `{permission}` to our service account: {ROLES_FILE} has it, perhaps in a role that is not bound.",
    )


def unreachable(cluster: str, host: str, verb: str, place: Place, error: Exception) -> PlatformUnreachable:
    """The error for an API server that does not answer in time, or not as one."""
    cause = str(error.reason if hasattr(error, "reason") else error).replace("\n", ": ")
    return PlatformUnreachable(
        f"Cluster {cluster} at {host} does not answer ({verb} {place}): {type(error).__name__}: {cause}.",
        hint="Check that its API server is up and that its address, certificate and route are right.",
    )


def _status_of(answer: Refusal) -> dict[str, Any]:
    found = answer.document
    return found if found.get("kind") == "Status" else {}


def _unknown(cluster: str, place: Place, status: dict[str, Any], message: str) -> FirebreakError:
    if not status or not place.name:
        return ApiMissing(
            f"Cluster {cluster} does not serve {place.api.root}/{place.api.plural}: {message}.",
            hint="Its API was removed, or the address is not an API server's.",
        )
    return TargetUnknown(f"There is no {place} in cluster {cluster}.", hint="It is gone, or its name is another one.")


def _conflict(cluster: str, place: Place, status: dict[str, Any], message: str) -> FirebreakError:
    if status.get("reason") == "AlreadyExists":
        return PlatformRefused(f"Cluster {cluster} has {place} already.")
    causes = (status.get("details") or {}).get("causes") or []
    managers = tuple(
        f"{cause.get('message', '')} at {cause.get('field', '')}"
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict"
    )
    if not managers:
        return ConcurrentChange(f"{place} in cluster {cluster} has changed since it was read: {message}")
    return ConcurrentChange(
        f"{place} in cluster {cluster}: {'; '.join(managers)}.",
        hint="Somebody else manages these fields of our object: ask them to let go of it, or delete it.",
        managers=managers,
    )
