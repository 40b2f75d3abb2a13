"""Who may do what: bearer tokens and roles at the door of each route.

Owns the dependency that a route declares. What a person may decide at a gate is the gate's own matter.

    @router.get("/v1/hosts")
    async def list_hosts(given: Given, who: Viewer) -> ...
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.dependencies import Given
from api.errors import Forbidden, Unauthenticated
from api.tokens import Principal
from playbooks.gates import Role

_bearer = HTTPBearer(auto_error=False, description="A token made by `firebreak token create`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def principal(given: Given, credentials: Credentials) -> Principal:
    """Who asks.

    Raises:
        Unauthenticated: no token, or one that is unknown, revoked or expired.
    """
    if credentials is None:
        raise Unauthenticated("A bearer token is needed.", hint="Send Authorization: Bearer fb_...")
    return given.tokens.authenticate(credentials.credentials)


def require(*roles: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets in who has one of the roles, by itself or included in a higher one."""

    async def check(who: Annotated[Principal, Depends(principal)]) -> Principal:
        if not set(roles) & set(who.roles):
            raise Forbidden(
                f"{who.name} has the roles {', '.join(who.roles) or 'none'}; this takes {' or '.join(roles)}.",
                hint="Ask somebody with the role, or an administrator for a token with it.",
            )
        return who

    return check


# For routes that do not ask who it is.
VIEWER = Depends(require("viewer"))
# Who breaks the glass has to see what for, even if that is the only role they have.
_reader = require("viewer", "break-glass")
READER = Depends(_reader)
RESPONDER = Depends(require("responder"))
Viewer = Annotated[Principal, Depends(require("viewer"))]
Decider = Annotated[Principal, Depends(_reader)]
Responder = Annotated[Principal, Depends(require("responder"))]
Approver = Annotated[Principal, Depends(require("approver"))]
Admin = Annotated[Principal, Depends(require("admin"))]
AdminOrBreakGlass = Annotated[Principal, Depends(require("admin", "break-glass"))]
