"""Questions of several targets in one call: never an answer from before it was asked for, never one for all to fail."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from activities.aws.asking import Desk
from activities.aws.attributes import Question
from activities.aws.sessions import AwsAccount, AwsSessions
from activities.killswitch import engine
from activities.killswitch.many import side_by_side
from activities.killswitch.platform import PlatformUnreachable
from playbooks.change import PlatformChange
from segmentation.workloads import Workload
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import IMAGE, build, moment
from tests.activities.aws.planning import plan
from tests.activities.aws.wire import Wire

SECONDS = 10


class Slow:
    """An AWS whose answer is what is true when a call is sent, and that answers when it is let."""

    def __init__(self) -> None:
        self.truth = 0
        self.calls: list[list[str]] = []
        self.sent = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def ask(self, _: object, about: list[str]) -> Mapping[str, int]:
        seen = self.truth
        self.calls.append(about)
        self.sent.release()
        assert self.let.acquire(timeout=SECONDS)
        if "broken" in about:
            raise PlatformUnreachable("no")
        return dict.fromkeys(about, seen)


@pytest.fixture
def account(accounts: Accounts, sessions: AwsSessions) -> AwsAccount:
    return AwsAccount("inc-1", accounts.account, "eu-west-1", sessions)


def test_what_is_asked_while_a_call_is_under_way_is_answered_together_by_a_later_one(
    account: AwsAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.aws.asking.PATIENCE_SECONDS", SECONDS)
    slow, desk = Slow(), Desk()
    question = Question("slow", slow.ask)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(desk.ask, account, question, "a")
        assert slow.sent.acquire(timeout=SECONDS)
        slow.truth = 1
        others = [pool.submit(desk.ask, account, question, about) for about in ("a", "b", "c", "gone")]
        while len(desk._gathering["slow"].about) < len(others) if "slow" in desk._gathering else True:
            assert not first.done()
        slow.let.release()
        assert slow.sent.acquire(timeout=SECONDS)
        slow.let.release()
        assert first.result() == 0
        assert [each.result() for each in others] == [1, 1, 1, 1]
    assert slow.calls == [["a"], ["a", "b", "c", "gone"]]


def test_a_call_that_stays_silent_does_not_hold_up_what_is_asked_after_it(
    account: AwsAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.aws.asking.PATIENCE_SECONDS", 0.01)
    slow, desk = Slow(), Desk()
    question = Question("slow", slow.ask)
    with ThreadPoolExecutor(2) as pool:
        silent = pool.submit(desk.ask, account, question, "a")
        assert slow.sent.acquire(timeout=SECONDS)
        other = pool.submit(desk.ask, account, question, "b")
        assert slow.sent.acquire(timeout=SECONDS)
        assert not silent.done()
        slow.let.release(2)
        assert (silent.result(), other.result()) == (0, 0)


def test_a_call_that_fails_fails_those_who_wait_for_it_and_nobody_later(account: AwsAccount) -> None:
    slow, desk = Slow(), Desk()
    question = Question("slow", slow.ask)
    slow.let.release(2)
    with pytest.raises(PlatformUnreachable, match="no"):
        desk.ask(account, question, "broken")
    assert desk.ask(account, question, "a") == 0


def test_no_call_is_about_more_than_aws_takes(account: AwsAccount) -> None:
    slow, desk = Slow(), Desk()
    question = Question("slow", slow.ask, most=2)
    slow.let.release(9)
    with ThreadPoolExecutor(9) as pool:
        found = list(pool.map(lambda name: desk.ask(account, question, name), "abcdefghi"))
    assert found == [0] * 9
    assert max(len(about) for about in slow.calls) <= 2


def test_ten_targets_of_one_incident_are_contained_with_less_than_half_the_calls_of_ten_alone(
    accounts: Accounts, wire: Wire, sessions: AwsSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine ten threads take longer to arrive.
    monkeypatch.setattr("activities.aws.asking.PATIENCE_SECONDS", 0.2)
    estate = build(accounts, interfaces=1)
    ran = estate.ec2.run_instances(
        ImageId=IMAGE, MinCount=10, MaxCount=10, SubnetId=estate.subnet, SecurityGroupIds=[estate.groups[0]]
    )
    targets = [accounts.target("ec2-instance", each["InstanceId"]) for each in ran["Instances"]]

    def contain(target: Workload) -> PlatformChange:
        platform = sessions.open(target, "inc-1")
        change = plan(platform, target)
        engine.apply(platform, change, moment())
        assert engine.verify(platform, change).differing == ()
        return change

    contain(estate.target)
    alone = sum(action.startswith("ec2:Describe") for action in wire.actions)
    wire.actions.clear()
    assert all(isinstance(answer, PlatformChange) for answer in side_by_side(contain, targets))
    together = sum(action.startswith("ec2:Describe") for action in wire.actions)
    assert together < 10 * alone / 2
