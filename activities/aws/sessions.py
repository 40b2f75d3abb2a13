"""Accounts, opened for one incident by an assumed role.

Owns the sessions: one per account and incident, with the external id and a tag that carries the incident, so that the
account's own CloudTrail tells which incident every call belongs to. Never logs nor keeps a credential longer than it is
valid.

    sessions = AwsSessions(AwsAccess(role="arn:aws:iam::{account}:role/firebreak", external_id="..."), boto3.Session())
    sessions.open(target, "inc-1").observe(target, intent)
"""

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from botocore.config import Config
from pydantic import Field

from activities.aws.actions import action_of
from activities.aws.asking import Desk
from activities.aws.attributes import INCIDENT_TAG, Answer, Question
from activities.aws.errors import BAD_SESSION, THROTTLED, remember_action, translated
from activities.aws.observing import place_of
from activities.aws.platform import AwsPlatform
from playbooks.platform_intent import mark
from segmentation.workloads import Frozen, Workload

log = structlog.get_logger(__name__)
# Longer than any one activity takes, so that no session ends under a change.
RENEW_BEFORE = timedelta(minutes=5)
LONGEST_SESSION_NAME = 64
# For targets side by side: botocore throws away what is over its ten, and each new one is a TLS handshake.
CONNECTIONS = 32
_Key = tuple[str, str]


class AwsAccess(Frozen):
    """How accounts are reached."""

    endpoint_url: str | None = Field(default=None, description="Another AWS than the real one; unset: the real one.")
    role: str = Field(
        default="arn:aws:iam::{account}:role/firebreak-containment",
        description="ARN of the role to assume; {account} stands for the target's account.",
    )
    external_id: str = Field(min_length=2, max_length=1224, description="What the role's trust asks for.")
    session_seconds: int = Field(default=3600, ge=900, le=43200, description="How long an assumed role lasts.")
    connect_seconds: float = Field(default=5.0, gt=0, description="How long to wait for a connection.")
    read_seconds: float = Field(default=20.0, gt=0, description="How long to wait for an answer.")
    attempts: int = Field(default=5, ge=1, le=10, description="How often a call is tried, throttled ones with jitter.")

    @property
    def config(self) -> Config:
        """Bounded waiting. `standard` retries throttling with exponential backoff and full jitter (SDK guide)."""
        return Config(
            connect_timeout=self.connect_seconds,
            read_timeout=self.read_seconds,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            user_agent_extra="firebreak",
        )


@dataclass
class _Session:
    """An assumed role, with one client for each service and region and one desk for each region."""

    ends: datetime
    credentials: dict[str, str] = field(repr=False)
    refused: bool = False
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)
    desks: dict[str, Desk] = field(default_factory=dict, repr=False)

    @property
    def fresh(self) -> bool:
        return not self.refused and datetime.now(UTC) < self.ends - RENEW_BEFORE


@dataclass(frozen=True)
class AwsAccount:
    """One account and region for one incident; what attributes are read and written with."""

    incident_id: str
    account: str
    region: str
    sessions: "AwsSessions" = field(repr=False)
    notes: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def client(self, service: str) -> Any:
        """The client of a service, with this incident's session."""
        return self.sessions.client(self, service)

    def ask(self, question: Question[Answer], about: str) -> Answer | None:
        """What AWS says about one thing, in a call that others of this incident may share."""
        return self.sessions.desk(self).ask(self, question, about)


class AwsSessions:
    """Every session of this worker. `base` is a boto3 Session: whoever this worker is by the default chain."""

    def __init__(self, access: AwsAccess, base: Any) -> None:
        self._access = access
        self._base = base
        # boto3's Session makes clients for one thread at a time only (boto3 guide, "Multithreading").
        self._lock = threading.Lock()
        self._opening = tuple(threading.Lock() for _ in range(16))
        self._sessions: dict[_Key, _Session] = {}

    def open(self, target: Workload, incident_id: str) -> AwsPlatform:
        """The account and region of a target, for one incident.

        Raises:
            TargetUnknown: the target says nothing of where in AWS it is.
        """
        place = place_of(target)
        return AwsPlatform(AwsAccount(incident_id, place.account, place.region, self))

    def client(self, account: AwsAccount, service: str) -> Any:
        """The client of a service in an account: made once while its session lasts."""
        session = self._session(account)
        key = (service, account.region)
        with self._lock:
            if key not in session.clients:
                session.clients[key] = self._make(*key, session.credentials)
                session.clients[key].meta.events.register("after-call", partial(self._heard, session))
            return session.clients[key]

    def desk(self, account: AwsAccount) -> Desk:
        """Where targets of one incident, account and region put their questions together."""
        session = self._session(account)
        with self._lock:
            return session.desks.setdefault(account.region, Desk())

    def _session(self, account: AwsAccount) -> _Session:
        key = (account.account, account.incident_id)
        # One account that does not answer holds up its own targets, not those of every account.
        with self._opening[hash(key) % len(self._opening)]:
            with self._lock:
                self._sessions = {known: session for known, session in self._sessions.items() if session.fresh}
                found = self._sessions.get(key)
            if found is None:
                found = self._assume(account)
                with self._lock:
                    self._sessions[key] = found
            return found

    def _assume(self, account: AwsAccount) -> _Session:
        role = self._access.role.format(account=account.account)
        with translated(role):
            # Where our own credentials come from somewhere else, they are fetched here, and that can fail.
            with self._lock:
                sts = self._make("sts", account.region, {})
            answer = sts.assume_role(
                RoleArn=role,
                RoleSessionName=session_name(account.incident_id),
                ExternalId=self._access.external_id,
                DurationSeconds=self._access.session_seconds,
                Tags=[{"Key": INCIDENT_TAG, "Value": account.incident_id}],
                TransitiveTagKeys=[INCIDENT_TAG],
            )["Credentials"]
        log.info("assumed the role of an account", account=account.account, role=role, incident=account.incident_id)
        credentials = {
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }
        return _Session(ends=answer["Expiration"], credentials=credentials)

    def _make(self, service: str, region: str, credentials: dict[str, str]) -> Any:
        access = self._access
        client = self._base.client(
            service, region_name=region, endpoint_url=access.endpoint_url, config=access.config, **credentials
        )
        client.meta.events.register("needs-retry", _say_throttled)
        client.meta.events.register("after-call", _remember)
        return client

    @staticmethod
    def _heard(session: _Session, parsed: dict[str, Any], **_: Any) -> None:
        """A session that AWS does not take any more is not used again: the next try assumes the role anew."""
        if parsed.get("Error", {}).get("Code") in BAD_SESSION:
            session.refused = True


def session_name(incident_id: str) -> str:
    """At most 64 characters (STS API); a longer one keeps its start and a digest of the whole."""
    name = mark(incident_id)
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return name if len(name) <= LONGEST_SESSION_NAME else f"{name[: LONGEST_SESSION_NAME - 13]}-{digest}"


def _remember(model: Any, parsed: dict[str, Any], **_: Any) -> None:
    remember_action(action_of(model), parsed)


def _say_throttled(operation: Any, attempts: int, response: Any = None, **_: Any) -> None:
    code = response[1].get("Error", {}).get("Code", "") if response else ""
    if code in THROTTLED:
        log.warning("AWS throttles, retrying with jitter", action=action_of(operation), code=code, attempt=attempts)
