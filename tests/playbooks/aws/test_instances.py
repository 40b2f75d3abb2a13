"""What is planned for an EC2 instance, from what was seen of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import JsonValue

from playbooks.aws.groups import open_name, quarantine_name
from playbooks.aws.instances import NothingToCut, plan_instance
from playbooks.aws.observation import AwsObservation, Fact
from playbooks.change import PlatformChange, replanned, standing
from playbooks.platform_intent import AwsSpec, PlatformIntent, TargetHeld
from segmentation.workloads import AwsRef

NAME, VPC = "i-1", "vpc-1"
QUARANTINE = "firebreak-inc-1-i-1"
Interfaces = dict[str, dict[str, JsonValue]]
INTERFACES: Interfaces = {
    "eni-1": {"groups": ["sg-web"]},
    "eni-2": {"groups": ["sg-admin", "sg-web"]},
    "eni-3": {"groups": ["sg-backup"]},
}
BARE = AwsSpec(detach=False, protect=False, profile="keep")


def seen(
    interfaces: Interfaces = INTERFACES,
    more: dict[tuple[str, str], JsonValue] | None = None,
    rules: JsonValue = None,
) -> AwsObservation:
    """An instance with these interfaces, and whatever else is given."""
    values: dict[tuple[str, str], JsonValue] = {
        (f"instance/{NAME}", "vpc"): VPC,
        (f"quarantine-group/{VPC}/{QUARANTINE}", "rules"): rules,
        **{
            (f"network-interface/{key}", name): value
            for key, each in interfaces.items()
            for name, value in each.items()
        },
        **(more or {}),
    }
    return AwsObservation(
        target_id=NAME,
        reference=AwsRef(account="111122223333", region="eu-west-1", name=NAME),
        kind="ec2-instance",
        facts=tuple(Fact(resource=place[0], attribute=place[1], value=value) for place, value in values.items()),
    )


def plan(observation: AwsObservation, spec: AwsSpec = BARE, **more: Any) -> PlatformChange:
    intent = PlatformIntent(
        incident_id="inc-1", target_id=NAME, at=datetime.now(UTC), lease_seconds=60, ends="open", aws=spec, **more
    )
    return plan_instance(observation, intent)


def order(change: PlatformChange) -> list[str]:
    return [f"{setting.resource.split('/')[0]} {setting.attribute}" for setting in change.settings]


def test_the_group_comes_first_then_every_interface_with_what_it_had() -> None:
    change = plan(seen())
    assert order(change) == ["quarantine-group rules", *["network-interface groups"] * 3]
    assert [setting.before for setting in change.settings[1:]] == [each["groups"] for each in INTERFACES.values()]
    assert {str(setting.after) for setting in change.settings[1:]} == {f"['@{QUARANTINE}']"}
    assert all(setting.essential for setting in change.settings)


def test_a_group_that_is_made_but_not_emptied_yet_is_on_the_way_not_drift() -> None:
    group = plan(seen()).settings[0]
    values: list[JsonValue] = [None, "new", [], ["ingress tcp 22-22 0.0.0.0/0"]]
    assert [standing(group, value) for value in values] == [
        "before",
        "via",
        "after",
        "drift",
    ]


def test_what_stands_already_is_not_planned_again() -> None:
    cut: Interfaces = {key: {"groups": [f"@{QUARANTINE}"]} for key in INTERFACES}
    assert plan(seen(cut, rules=[])).empty


def test_an_interface_that_somebody_put_into_another_group_too_is_planned_to_go_back_to_that_one_alone() -> None:
    mixed: Interfaces = {**INTERFACES, "eni-2": {"groups": [f"@{QUARANTINE}", "sg-other"]}}
    switch = next(s for s in plan(seen(mixed, rules=[])).settings if s.resource.endswith("eni-2"))
    assert (switch.before, switch.after) == (["sg-other"], [f"@{QUARANTINE}"])
    assert standing(switch, [f"@{QUARANTINE}", "sg-other"]) == "via"


def test_two_steps_are_planned_only_where_asked_and_said_to_open_it_for_a_moment() -> None:
    assert all(setting.via is None for setting in plan(seen()).settings if setting.resource.startswith("network"))
    change = plan(seen(), BARE.model_copy(update={"two_step": True}))
    assert order(change)[:2] == ["open-group rules", "quarantine-group rules"]
    assert [setting.via for setting in change.settings[2:]] == [[f"@{QUARANTINE}-open"]] * 3
    assert all("open to everybody" in setting.words for setting in change.settings[2:])


TWO_STEPS = BARE.model_copy(update={"two_step": True})
HALFWAY: Interfaces = {**INTERFACES, "eni-1": {"groups": [f"@{QUARANTINE}-open"]}}


def test_an_interface_left_between_two_steps_is_planned_to_be_closed_and_never_to_be_open_again() -> None:
    switch = next(s for s in plan(seen(HALFWAY, rules=[]), TWO_STEPS).settings if s.resource.endswith("eni-1"))
    assert standing(switch, [f"@{QUARANTINE}-open"]) == "via"
    assert switch.before == switch.after == [f"@{QUARANTINE}"]


def test_a_second_plan_of_one_left_between_two_steps_still_knows_what_was_before() -> None:
    earlier, later = plan(seen(), TWO_STEPS), plan(seen(HALFWAY, rules=[]), TWO_STEPS)
    switch = next(s for s in replanned(earlier, later).settings if s.resource.endswith("eni-1"))
    assert switch.before == ["sg-web"]


def test_rules_that_somebody_put_into_our_group_are_planned_to_be_taken_out() -> None:
    group = plan(seen(rules=["ingress tcp 22-22 0.0.0.0/0"])).settings[0]
    assert (group.before, group.after) == (None, [])
    assert standing(group, ["ingress tcp 22-22 0.0.0.0/0"]) == "via"


def test_an_interface_that_aws_manages_is_left_out_and_said_so() -> None:
    managed: Interfaces = {**INTERFACES, "eni-2": {"groups": ["sg-nlb"], "requester-managed": True}}
    change = plan(seen(managed))
    assert not [setting for setting in change.settings if setting.resource == "network-interface/eni-2"]
    assert [words for words in change.cannot if words.startswith("network-interface/eni-2: a service of AWS owns it")]


def test_an_instance_with_no_interface_that_can_be_switched_is_refused_not_called_contained() -> None:
    with pytest.raises(NothingToCut, match="has 1 interfaces, and none of them"):
        plan(seen({"eni-1": {"groups": ["sg-nlb"], "requester-managed": True}}))


@pytest.mark.parametrize(("kind", "words"), [("trunk", "branch interfaces"), ("efa", "Elastic Fabric Adapter")])
def test_interfaces_that_carry_more_than_their_groups_filter_are_said_so(kind: str, words: str) -> None:
    change = plan(seen({"eni-1": {"groups": ["sg-web"], "type": kind}}))
    assert words in " ".join(change.cannot)


def test_what_no_group_filters_is_always_said() -> None:
    said = " ".join(plan(seen()).cannot)
    assert all(word in said for word in ("instance metadata", "VPC's resolver", "tracked", "attached to it later"))


def test_an_interface_in_a_group_of_another_incident_is_refused() -> None:
    held: Interfaces = {**INTERFACES, "eni-3": {"groups": ["sg-9"], "held-by": "inc-7"}}
    with pytest.raises(TargetHeld, match=r"contained by inc-7 already: network-interface/eni-3"):
        plan(seen(held))


PRECIOUS: dict[tuple[str, str], JsonValue] = {
    ("instance/i-1", "termination-protection"): False,
    ("instance/i-1", "shutdown-behavior"): "terminate",
    ("instance/i-1", "snapshots"): None,
    ("instance/i-1", "auto-scaling-group"): {"group": "web", "protected": False},
    ("block-device/i-1//dev/xvda", "volume"): "vol-1",
    ("block-device/i-1//dev/xvda", "delete-on-termination"): True,
    ("target/i-1/80/arn:aws:x:targetgroup/web/1", "registration"): "registered",
    ("classic-balancer/i-1/old", "registration"): "registered",
}


def test_precautions_come_before_the_cut_and_none_of_them_holds_it_up() -> None:
    change = plan(seen(more=PRECIOUS), AwsSpec(snapshot=True, profile="keep"))
    assert order(change)[:8] == [
        "instance termination-protection",
        "instance shutdown-behavior",
        "block-device delete-on-termination",
        "instance snapshots",
        "target registration",
        "classic-balancer registration",
        "instance auto-scaling-group",
        "quarantine-group rules",
    ]
    assert not any(setting.essential for setting in change.settings[:7])
    assert [setting.attribute for setting in change.settings if not setting.reversible] == ["snapshots"]


def test_precautions_that_nobody_asked_for_are_not_planned() -> None:
    assert plan(seen(more=PRECIOUS)).settings == plan(seen()).settings


def test_a_spot_instance_is_not_asked_to_be_protected() -> None:
    change = plan(seen(more={**PRECIOUS, ("instance/i-1", "lifecycle"): "spot"}), AwsSpec(detach=False, profile="keep"))
    assert order(change)[0] == "block-device delete-on-termination"
    assert "spot instance" in " ".join(change.cannot)


ROLE: dict[tuple[str, str], JsonValue] = {
    ("instance/i-1", "instance-profile"): "arn:aws:iam::111122223333:instance-profile/web",
    ("iam-role/web", "policy.firebreak-inc-1-i-1"): None,
}


@pytest.mark.parametrize(
    ("profile", "last", "said"),
    [
        ("keep", "network-interface groups", "work wherever they are used"),
        ("revoke-sessions", "iam-role policy.firebreak-inc-1-i-1", "without a network to use them"),
        ("detach", "instance instance-profile", "work for up to six hours"),
    ],
)
def test_the_profile_is_dealt_with_after_the_cut_as_the_playbook_says(profile: Any, last: str, said: str) -> None:
    change = plan(seen(more=ROLE), BARE.model_copy(update={"profile": profile}))
    assert order(change)[-1] == last
    assert said in " ".join(change.cannot)


def test_nothing_is_said_to_end_the_network_cut_by_itself() -> None:
    assert "nothing in AWS ends a security group by itself" in plan(seen()).dead_man


def test_names_of_our_groups_fit_and_differ_by_target() -> None:
    long = "inc-" + "x" * 240
    assert quarantine_name("inc-1", "i-1") == QUARANTINE != quarantine_name("inc-1", "i-2")
    assert len(open_name(long, "i-1")) <= 255
    assert open_name(long, "i-1") != open_name(long, "i-2") != quarantine_name(long, "i-2")
