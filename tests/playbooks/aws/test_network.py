"""What is planned for a subnet and a security group, from what was seen of them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from playbooks.aws.observation import AwsObservation, Fact
from playbooks.aws.security_groups import plan_security_group
from playbooks.aws.subnets import NoRoomForRules, NothingToDeny, plan_subnet
from playbooks.change import PlatformChange
from playbooks.platform_intent import AwsSpec, PlatformIntent
from segmentation.workloads import AwsRef, WorkloadKind

PEER, PEER6 = "203.0.113.0/24", "2001:db8::/32"


def seen(kind: WorkloadKind, name: str, values: dict[tuple[str, str], JsonValue]) -> AwsObservation:
    return AwsObservation(
        target_id=name,
        reference=AwsRef(account="111122223333", region="eu-west-1", name=name),
        kind=kind,
        facts=tuple(Fact(resource=place[0], attribute=place[1], value=value) for place, value in values.items()),
    )


def intent(spec: AwsSpec) -> PlatformIntent:
    return PlatformIntent(
        incident_id="inc-1", target_id="t", at=datetime.now(UTC), lease_seconds=60, ends="open", aws=spec
    )


def subnet(*entries: tuple[str, int, str, str]) -> AwsObservation:
    values: dict[tuple[str, str], JsonValue] = {
        ("subnet/s-1", "network-acl"): "acl-1",
        ("network-acl/acl-1", "subnets"): ["s-1"],
    }
    for side, number, action, cidr in entries:
        entry: JsonValue = {"action": action, "protocol": "-1", "cidr": cidr}
        values[f"network-acl-entry/acl-1/{side}/{number}", "entry"] = entry
    return seen("subnet", "s-1", values)


def denying(observation: AwsObservation, *peers: str) -> PlatformChange:
    return plan_subnet(observation, intent(AwsSpec.model_validate({"peers": peers})))


def numbers(change: PlatformChange, side: str) -> list[int]:
    places = [setting.resource.split("/") for setting in change.settings]
    return [int(place[3]) for place in places if place[2] == side]


def test_a_subnet_without_named_peers_has_nothing_to_deny() -> None:
    with pytest.raises(NothingToDeny, match=r"names no peers") as nothing:
        denying(subnet())
    assert "contain.aws.peers" in nothing.value.hint


def test_the_lowest_allow_leaves_no_room_where_it_is_the_first_number() -> None:
    with pytest.raises(NoRoomForRules, match="takes 0 more entries"):
        denying(subnet(("ingress", 1, "allow", "0.0.0.0/0")), PEER)


def test_a_peer_that_is_denied_already_is_left_as_it_is_and_said_so() -> None:
    already = [(side, 50, "deny", PEER) for side in ("ingress", "egress")]
    change = denying(subnet(*already, ("ingress", 100, "allow", "0.0.0.0/0")), PEER)
    assert change.empty
    assert f"{PEER} is denied by entries that may not be ours" in " ".join(change.cannot)


def test_a_deny_behind_an_allow_does_not_count() -> None:
    change = denying(subnet(("ingress", 100, "allow", "0.0.0.0/0"), ("ingress", 200, "deny", PEER)), PEER)
    assert numbers(change, "ingress") == [99]


TAKEN = st.lists(
    st.tuples(st.integers(1, 130), st.sampled_from(["allow", "deny"])), max_size=19, unique_by=lambda e: e[0]
)


@given(taken=TAKEN)
def test_denials_take_free_numbers_before_every_allow_within_the_quota_or_nothing_is_planned(
    taken: list[tuple[int, str]],
) -> None:
    entries = [("ingress", number, action, "198.51.100.0/24") for number, action in taken]
    allows = [number for number, action in taken if action == "allow"]
    try:
        found = numbers(denying(subnet(*entries), PEER, PEER6), "ingress")
    except NoRoomForRules:
        free = set(range(1, min(allows, default=32766))) - {number for number, _ in taken}
        assert len(free) < 2 or len(taken) > 18
        return
    assert len(set(found)) == 2
    assert not set(found) & {number for number, _ in taken}
    assert all(number < allow for number in found for allow in allows)
    assert len(taken) + 2 <= 20


def group(*rules: str) -> AwsObservation:
    values: dict[tuple[str, str], JsonValue] = {("security-group/sg-1", "interfaces"): 3}
    for rule in rules:
        values[f"security-group-rule/sg-1/{rule}", "rule"] = {"description": rule, "tags": {}}
    return seen("security-group", "sg-1", values)


@pytest.mark.parametrize(
    ("rule", "risky"),
    [
        ("tcp/22..22/0.0.0.0/0", True),
        ("tcp/22..22/::/0", True),
        ("tcp/0..65535/0.0.0.0/0", True),
        ("-1/-1..-1/::/0", True),
        ("udp/3389..3389/0.0.0.0/0", True),
        ("tcp/22..22/10.0.0.0/8", False),
        ("tcp/443..443/0.0.0.0/0", False),
        ("icmp/-1..-1/0.0.0.0/0", False),
        ("icmp/8..-1/0.0.0.0/0", False),
    ],
)
def test_only_rules_that_open_a_named_port_to_everybody_are_revoked(rule: str, risky: bool) -> None:
    change = plan_security_group(group(rule), intent(AwsSpec()))
    wanted = ["security-group/sg-1", f"security-group-rule/sg-1/{rule}"] if risky else []
    assert [setting.resource for setting in change.settings] == wanted


def test_each_rule_is_a_setting_that_restores_its_words() -> None:
    change = plan_security_group(group("tcp/22..22/0.0.0.0/0", "tcp/3000..4000/::/0"), intent(AwsSpec()))
    assert [setting.words for setting in change.settings[1:]] == [
        "sg-1: revoke tcp 22 from 0.0.0.0/0",
        "sg-1: revoke tcp 3000-4000 from ::/0",
    ]
    assert change.inverse().settings[-2].after == {"description": "tcp/22..22/0.0.0.0/0", "tags": {}}
    assert "to 3 interfaces" in change.cuts[0]
