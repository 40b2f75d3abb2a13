"""Containing a security group: its rules that open ports to everybody are revoked. Pure.

Owns which rules those are. Never calls AWS: `activities.aws.group_rules` writes what is named here.

    plan_security_group(observation, intent)   # -> PlatformChange
"""

from pydantic import JsonValue

from playbooks.aws.groups import ANYBODY
from playbooks.aws.holds import READ_GROUP_HOLD, WRITE_GROUP_HOLD
from playbooks.aws.observation import AwsObservation
from playbooks.aws.settings import Values, incident, needed, setting
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import PlatformIntent, TargetHeld

READ_RULES = ("ec2:DescribeSecurityGroupRules",)
WRITE_RULE = ("ec2:AuthorizeSecurityGroupIngress", "ec2:CreateTags", "ec2:RevokeSecurityGroupIngress")
WITH_PORTS = frozenset({"tcp", "udp", "6", "17"})
EVERY_PROTOCOL = "-1"


def plan_security_group(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Revoke every inbound rule that opens one of the playbook's ports to everybody.

    Raises:
        TargetHeld: it is a group that an incident made, or one whose rules another incident has revoked.
    """
    group = f"security-group/{observation.reference.name}"
    holder = observation.value(group, "incident")
    if holder is not None:
        raise TargetHeld(
            f"{group} is Firebreak's own, made for {holder}.", hint="Release the target that is in it, there."
        )
    held = observation.value(group, "held-by")
    if held not in (None, intent.incident_id):
        raise TargetHeld(
            f"{group} is contained by {held} already: what it revoked comes back when it lets go.",
            hint="Respond to it in that incident, or ask again once that one has released it.",
        )
    risky = [rule for rule in observation.resources("security-group-rule") if _is_risky(rule, intent.aws.ports)]
    revoked = tuple(_revoked(observation, rule) for rule in risky)
    ports = ", ".join(str(port) for port in intent.aws.ports)
    return PlatformChange(
        **incident(intent),
        mechanism="security-group-rules",
        why="the rules are taken where they stand, so every interface that has the group is covered",
        settings=(*_held(group, intent, held), *revoked) if revoked else (),
        cuts=tuple(
            f"new connections by {rule.words.partition(': revoke ')[2]}, to "
            f"{observation.value(group, 'interfaces') or 0} interfaces that have {group}"
            for rule in revoked
        ),
        stays=(f"every other rule of {group}, outbound ones too", "a rule that is allowed again gets a new id"),
        cannot=(
            "connections that are established and tracked: AWS lets them go on until they are idle",
            f"ports {ports} where another group of the same interface opens them",
            "rules that name a prefix list or a group: they are not looked into",
            "addresses that are nearly everybody, such as 0.0.0.0/1: only 0.0.0.0/0 and ::/0 are taken",
        ),
        dead_man="nothing ends it: the rules stay revoked until somebody allows them again",
    )


def _held(group: str, intent: PlatformIntent, now: JsonValue) -> tuple[Setting, ...]:
    """First and so released last: what is revoked can't say for whom, and a second incident would not see it at all."""
    words = f"{group}: tag it as held by {intent.incident_id}, so that no other incident relies on what is revoked"
    return needed(
        setting(
            group,
            "held-by",
            Values(now=now, before=None, after=intent.incident_id),
            words,
            (*READ_GROUP_HOLD, *WRITE_GROUP_HOLD),
        )
    )


def _parts(rule: str) -> tuple[str, int, int, str]:
    _, _, protocol, ports, cidr = rule.split("/", 4)
    low, _, high = ports.partition("..")
    return protocol, int(low), int(high), cidr


def _is_risky(rule: str, ports: tuple[int, ...]) -> bool:
    protocol, low, high, cidr = _parts(rule)
    if cidr not in ANYBODY:
        return False
    return protocol == EVERY_PROTOCOL or (protocol in WITH_PORTS and any(low <= port <= high for port in ports))


def _revoked(observation: AwsObservation, rule: str) -> Setting:
    protocol, low, high, cidr = _parts(rule)
    what = "every protocol" if protocol == EVERY_PROTOCOL else f"{protocol} {low}" + (f"-{high}" if high != low else "")
    return Setting(
        resource=rule,
        attribute="rule",
        before=observation.value(rule, "rule"),
        after=None,
        words=f"{rule.split('/')[1]}: revoke {what} from {cidr}",
        permissions=(*READ_RULES, *WRITE_RULE),
    )
