"""Times in policies: truly UTC west and east of it, kept where they stand, and read back as what they are."""

import json
import time
from calendar import timegm
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.aws import identity_documents as documents
from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import Moment
from playbooks.aws.denials import NOW, denial, denial_document
from playbooks.aws.plan import plan_aws
from playbooks.change import APPLIED_AT, LEASE_LAPSED, LEASE_UNTIL, PlatformChange
from playbooks.platform_intent import PlatformIntent
from tests.activities.aws import judge
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import READ, SESSIONS, State, look_at_role, prepare_role
from tests.activities.aws.estate import moment

OURS = "firebreak-inc-1"
ZONES = ["America/Los_Angeles", "Asia/Tokyo", "UTC"]


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """This process, living in a zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def role(accounts: Accounts) -> str:
    prepare_role(accounts, "deployer")
    return "deployer"


@pytest.fixture
def platform(accounts: Accounts, sessions: AwsSessions, role: str) -> AwsPlatform:
    return sessions.open(accounts.target("iam-role", role), "inc-1")


def plan(platform: AwsPlatform, accounts: Accounts, role: str) -> PlatformChange:
    target = accounts.target("iam-role", role)
    intent = SESSIONS.intent(target)
    return plan_aws(platform.observe(target, intent), intent)


def dates(state: State) -> dict[str, str]:
    found: dict[str, str] = state[OURS]["Statement"][0]["Condition"]["DateLessThan"]
    return found


def passes(state: State, issued: datetime, at: datetime | None = None) -> bool:
    return judge.allowed([state["app"], state[OURS]], READ, judge.session(issued, at))


def seconds(text: str) -> int:
    """Since the epoch, which no zone has a say in."""
    return timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def test_the_time_of_a_revocation_is_utc_wherever_this_process_lives(
    zone: str, platform: AwsPlatform, accounts: Accounts, role: str
) -> None:
    before = time.time()
    engine.apply(platform, plan(platform, accounts, role), moment())
    state = look_at_role(accounts, role)

    assert before <= seconds(dates(state)["aws:TokenIssueTime"]) <= time.time() + 1
    assert not passes(state, datetime.now(UTC) - timedelta(minutes=1))
    assert passes(state, datetime.now(UTC) + timedelta(minutes=1))


@pytest.mark.parametrize("zone", ZONES[:2], indirect=True)
def test_local_time_that_claims_to_be_utc_would_not_pass_for_it(zone: str) -> None:
    naive = datetime.now().strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ005 - the mistake itself
    wrong = denial_document({"Effect": "Deny", "Action": "*", "Condition": {"DateLessThan": {judge.ISSUED: naive}}})
    state = {"app": {"Statement": {"Effect": "Allow", "Action": "*"}}, OURS: wrong}
    old, new = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)

    assert abs(seconds(naive) - time.time()) > 3600
    assert (passes(state, old), passes(state, new)) != (False, True)


def test_a_session_of_the_very_second_of_the_revocation_is_denied() -> None:
    half_past = datetime.now(UTC).replace(microsecond=500_000) + timedelta(minutes=5)
    text = documents.written({"Statement": [_dated(APPLIED_AT)]}, None, Moment(half_past, half_past))
    written = json.loads(text)["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"]
    assert seconds(written) == int(half_past.timestamp()) + 1


def test_a_repeat_and_a_renewal_keep_the_first_time_of_revocation_and_move_the_end(
    platform: AwsPlatform, accounts: Accounts, role: str
) -> None:
    change, first = plan(platform, accounts, role), moment()
    engine.apply(platform, change, first)
    stands = dates(look_at_role(accounts, role))
    later = Moment(first.applied_at + timedelta(hours=1), first.lease_until + timedelta(hours=1))

    engine.apply(platform, change, later)
    assert dates(look_at_role(accounts, role)) == stands

    engine.renew(platform, change, later)
    renewed = dates(look_at_role(accounts, role))
    assert renewed["aws:TokenIssueTime"] == stands["aws:TokenIssueTime"]
    assert seconds(renewed[NOW]) - seconds(stands[NOW]) == 3600


def test_the_lease_ends_by_itself_when_nobody_renews(platform: AwsPlatform, accounts: Accounts, role: str) -> None:
    lease = moment()
    engine.apply(platform, plan(platform, accounts, role), lease)
    state, old = look_at_role(accounts, role), lease.applied_at - timedelta(hours=1)

    assert not passes(state, old, at=lease.lease_until - timedelta(seconds=2))
    assert passes(state, old, at=lease.lease_until + timedelta(seconds=2))


def test_a_lapsed_lease_does_not_pass_for_standing_and_is_renewed_or_released(
    platform: AwsPlatform, accounts: Accounts, role: str
) -> None:
    change, now = plan(platform, accounts, role), moment()
    before = look_at_role(accounts, role)
    ended = Moment(now.applied_at, now.applied_at - timedelta(seconds=1))
    engine.apply(platform, change, ended)
    assert len(engine.verify(platform, change).differing) == 1
    assert plan(platform, accounts, role).settings == change.settings

    assert engine.renew(platform, change, now).changed == 1
    assert engine.verify(platform, change).differing == ()

    engine.renew(platform, change, ended)
    let_go = engine.release(platform, change, now, overwrite=False)
    assert (let_go.restored, let_go.was_standing) == (True, False)
    assert look_at_role(accounts, role) == before


def test_a_moment_without_zone_is_refused() -> None:
    naive = datetime.now()  # noqa: DTZ005 - the mistake itself
    with pytest.raises(ValueError, match="has no zone"):
        documents.written({"Statement": [_dated(LEASE_UNTIL)]}, None, Moment(naive, naive))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-03-01T12:00:00Z", APPLIED_AT),
        ("2026-03-01T12:00:00+00:00", APPLIED_AT),
        ("2026-03-01T21:00:00.5+09:00", APPLIED_AT),
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00"),
        ("2026-02-30T12:00:00Z", "2026-02-30T12:00:00Z"),
        ("yesterday", "yesterday"),
        (1772366400, 1772366400),
    ],
)
def test_only_a_time_that_says_its_zone_is_read_as_ours(value: Any, read: Any) -> None:
    assert documents.read({"Statement": [_dated(value)]}) == {"Statement": [_dated(read)]}


@pytest.mark.parametrize(("away", "read"), [(60, LEASE_UNTIL), (-60, LEASE_LAPSED)])
def test_an_end_is_read_as_one_that_is_to_come_or_has_passed(away: int, read: str) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=away)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert documents.read({"Statement": _dated(until, NOW)}) == {"Statement": [_dated(read, NOW)]}


def test_a_statement_of_ours_is_recognised_however_aws_spells_its_lists(accounts: Accounts) -> None:
    intent = PlatformIntent(incident_id="inc-1", target_id="b", at=moment().applied_at, lease_seconds=9, ends="closed")
    ours = denial(intent, Action=["s3:a", "s3:b"], Principal={"AWS": "*"})
    spelt = ours | {"Action": ["s3:b", "s3:a"], "Principal": {"AWS": ["*"]}}
    theirs = {"Sid": "theirs", "Effect": "Allow", "Action": ["b", "a"], "Principal": {"AWS": ["*"]}}
    document = {"Statement": [theirs, spelt]}
    assert documents.read(document, ours["Sid"]) == {"Statement": [theirs, ours]}


def _dated(value: Any, key: str = "aws:TokenIssueTime") -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "*", "Condition": {"DateLessThan": {key: value}}}
