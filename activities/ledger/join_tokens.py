"""Tokens by which a host may join, each for so many hosts and so long.

Owns their hashes and their uses; the token itself is shown once and never stored. A random token of 256 bits
needs no slow hash.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime
from sqlalchemy import Connection, insert, select, update

from activities.ledger.database import Database
from activities.ledger.errors import JoinTokenRefused
from activities.ledger.hosts import Hosts
from activities.ledger.tables import hosts, join_tokens
from segmentation.workloads import Frozen, Workload

PREFIX = "fbjoin_"


class JoinToken(Frozen):
    """A new token; `token` is shown this once."""

    name: str
    token: str
    expires_at: AwareDatetime


class JoinTokens:
    """The join tokens' room of the ledger."""

    def __init__(self, database: Database, known: Hosts) -> None:
        self._database = database
        self._hosts = known

    def create(self, name: str, lifetime: timedelta, uses: int | None = 1) -> JoinToken:
        """Make a token; `uses` None lets any number of hosts in until it expires."""
        token = PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        row = {"token_hash": _hash(token), "name": name, "created_at": now, "uses_left": uses}
        with self._database.write() as connection:
            connection.execute(insert(join_tokens).values(row | {"expires_at": now + lifetime}))
        return JoinToken(name=name, token=token, expires_at=now + lifetime)

    def join(self, token: str, workload: Workload, public_key: bytes) -> None:
        """Let a host in; a host that is refused for its key does not use the token up.

        Raises:
            JoinTokenRefused: unknown, expired or used up.
            HostKeyConflict: the host is known with another key.
        """
        with self._database.write() as connection:
            self._database.lock(connection, "hosts")
            _use(connection, token, again=_is_member(connection, workload, public_key))
            self._hosts.join_within(connection, workload, public_key)


def _use(connection: Connection, token: str, *, again: bool) -> None:
    mine = join_tokens.c.token_hash == _hash(token)
    row = connection.execute(select(join_tokens.c.expires_at, join_tokens.c.uses_left).where(mine)).one_or_none()
    if row is None or row.expires_at <= datetime.now(UTC):
        raise JoinTokenRefused(
            "The join token is unknown or has expired.", hint="Make a new one: firebreak join-token create."
        )
    # A host whose first answer was lost comes again with the token that it has used up itself.
    if row.uses_left is None or again:
        return
    if row.uses_left < 1:
        raise JoinTokenRefused("The join token is used up.", hint="Make a new one: firebreak join-token create.")
    connection.execute(update(join_tokens).where(mine).values(uses_left=row.uses_left - 1))


def _is_member(connection: Connection, workload: Workload, public_key: bytes) -> bool:
    pinned = connection.execute(select(hosts.c.public_key).where(hosts.c.host_id == workload.workload_id)).scalar()
    return pinned is not None and bytes(pinned) == public_key


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
