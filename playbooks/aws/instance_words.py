"""What containing an EC2 instance cuts and what it does not, in words. Pure.

Owns the words and the facts behind them. Never decides what is set.
"""

from collections.abc import Mapping

from playbooks.aws.observation import AwsObservation
from playbooks.platform_intent import AwsSpec

# EC2 guide, "Security group connection tracking" and "Instance metadata"; VPC guide, "DNS attributes".
CANNOT: Mapping[str, tuple[str, ...]] = {
    "one-step": (
        "connections that are established and tracked: they go on until they are idle; `two_step` ends most of them",
    ),
    "two-step": (
        (
            "connections that AWS tracks whatever the rules say, through NAT gateways, Network Load Balancers, "
            "PrivateLink, transit gateways, Lambda or Global Accelerator: deny those peers in the subnet's network ACL"
        ),
        "established ICMP, which is always tracked",
    ),
    "always": (
        "instance metadata, the VPC's resolver (a way out by DNS), its time service and DHCP: no group filters those",
        "an interface that is attached to it later: plan again, it is switched then",
        "what is read of its volumes from outside: whoever may use the AWS API may still make snapshots of them",
    ),
}
_FABRIC = "its Elastic Fabric Adapter bypasses the operating system; what is established there may go on"
TYPES: Mapping[str, str] = {
    "trunk": "pods on its branch interfaces have groups of their own: contain those through the cluster",
    "efa": _FABRIC,
    "efa-only": _FABRIC,
}


def cuts(observation: AwsObservation, spec: AwsSpec) -> tuple[str, ...]:
    """What can't talk any more."""
    name = observation.reference.name
    addresses = f" ({', '.join(observation.addresses)})" if observation.addresses else ""
    sessions = spec.profile == "revoke-sessions" and observation.resources("iam-role")
    return (
        f"every new connection to and from instance {name}{addresses}, IPv4 and IPv6, management included",
        *([f"established connections of {name}, most of them"] if spec.two_step else []),
        *(f"every session of {role} that was issued before now, wherever it is used" for role in sessions or ()),
    )


def about_interfaces(observation: AwsObservation) -> tuple[str, ...]:
    """Interfaces that can't be cut, or not wholly, and why."""
    words = []
    for interface in observation.resources("network-interface"):
        kind = str(observation.value(interface, "type"))
        if observation.value(interface, "requester-managed"):
            words.append(f"{interface}: a service of AWS owns it and nobody else may switch its groups")
        elif kind in TYPES:
            words.append(f"{interface}: {TYPES[kind]}")
    if observation.value(f"instance/{observation.reference.name}", "lifecycle") == "spot":
        words.append("its end by AWS: it is a spot instance, which can't be protected from being reclaimed")
    return tuple(words)


def about_profile(observation: AwsObservation, spec: AwsSpec) -> tuple[str, ...]:
    """What credentials that the instance has, or had, can still do."""
    profile = observation.value(f"instance/{observation.reference.name}", "instance-profile")
    # Who does not want sessions revoked has not asked IAM which role it is.
    is_asked = spec.profile == "revoke-sessions"
    holder = f"the role of {str(profile).rpartition(':')[2]}" if profile and not is_asked else ""
    named = ", ".join(observation.resources("iam-role")) or holder
    if not named:
        return ()
    said = {
        "keep": f"credentials of {named} that were taken from the instance: they work wherever they are used",
        "detach": f"credentials of {named} that the instance was given already: they work for up to six hours",
        "revoke-sessions": f"new credentials of {named}: the instance still gets them, without a network to use them",
    }
    return (said[spec.profile],)
