"""Bearer tokens of people and programs.

Owns their hashes, roles and ends. A token is shown once, when it is made; at rest there is its SHA-256 (a
random token of 256 bits needs no slow hash).

    tokens = Tokens(state_dir)
    made = tokens.create("alice", ("approver",), lifetime=timedelta(days=90))
    tokens.authenticate(made.token).roles   # -> ("viewer", "responder", "approver")
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import AwareDatetime

from api.errors import Conflict, NotFound, Unauthenticated
from api.state_file import StateFile
from playbooks.gates import Role
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen, Name

PREFIX = "fb_"
# Each role may do what those before it may. Break-glass stands apart: nobody has it who was not given it.
LADDER: tuple[Role, ...] = ("viewer", "responder", "approver", "admin")


class TokenEntry(Frozen):
    """A token at rest."""

    name: Name
    roles: tuple[Role, ...]
    sha256: str
    created: AwareDatetime
    expires: AwareDatetime | None = None


class TokenDocument(Frozen):
    """The file."""

    tokens: tuple[TokenEntry, ...] = ()


class MadeToken(Frozen):
    """A new token; `token` is shown this once."""

    entry: TokenEntry
    token: str


class Principal(Frozen):
    """Who asks, as authentication found it; `roles` holds those that a role includes."""

    name: str
    roles: tuple[Role, ...]

    @property
    def actor(self) -> str:
        """How records name them."""
        return f"user:{self.name}"


class RolesInvalid(FirebreakError):
    """A token without a role could do nothing."""

    code: ClassVar[str] = "roles-invalid"


class Tokens:
    """The token file of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "tokens.json", TokenDocument)

    def create(self, name: str, roles: tuple[Role, ...], lifetime: timedelta | None = None) -> MadeToken:
        """Make a token; names are unique, since records carry them.

        Raises:
            Conflict: the name is taken.
            RolesInvalid: no role was named.
        """
        if not roles:
            raise RolesInvalid("A token needs a role.", hint=f"Name one of {', '.join(LADDER)}, break-glass.")
        token, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        expires = now + lifetime if lifetime else None
        entry = TokenEntry(name=name, roles=roles, sha256=_hash(token), created=now, expires=expires)

        def add(document: TokenDocument) -> TokenDocument:
            if any(known.name == name for known in document.tokens):
                raise Conflict(f"There is a token of {name} already.", hint="Revoke it first, or take another name.")
            return TokenDocument(tokens=(*document.tokens, entry))

        self._file.change(add)
        return MadeToken(entry=entry, token=token)

    def entries(self) -> tuple[TokenEntry, ...]:
        """Every token at rest."""
        return self._file.read().tokens

    def revoke(self, name: str) -> None:
        """End a token at once.

        Raises:
            NotFound: nobody of that name has one.
        """

        def drop(document: TokenDocument) -> TokenDocument:
            kept = tuple(known for known in document.tokens if known.name != name)
            if len(kept) == len(document.tokens):
                raise NotFound(f"There is no token of {name}.", hint="List them: firebreak token list.")
            return TokenDocument(tokens=kept)

        self._file.change(drop)

    def authenticate(self, token: str) -> Principal:
        """Who holds this token.

        Raises:
            Unauthenticated: nobody, or it has expired.
        """
        presented = _hash(token)
        # Every entry is compared, and in constant time: how long it takes says nothing about any of them.
        matches = [entry for entry in self.entries() if hmac.compare_digest(entry.sha256, presented)]
        if not matches or (matches[0].expires is not None and matches[0].expires <= datetime.now(UTC)):
            raise Unauthenticated(
                "The token is unknown, revoked or expired.",
                hint="Make one: firebreak token create NAME --role ROLE.",
            )
        return Principal(name=matches[0].name, roles=included(matches[0].roles))


def included(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    """The roles with those that they include."""
    rungs = [LADDER.index(role) for role in roles if role in LADDER]
    ladder = LADDER[: max(rungs) + 1] if rungs else ()
    return (*ladder, "break-glass") if "break-glass" in roles else ladder


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
