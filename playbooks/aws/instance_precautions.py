"""What is done for the evidence before an EC2 instance is cut off. Pure.

Owns which precautions there are, and that none of them holds up the cut: not by failing, and not by what they would
start from being unreadable. Never calls AWS.
"""

from pydantic import JsonValue

from playbooks.aws import instance_permissions as allowed
from playbooks.aws.observation import AwsObservation, Fact
from playbooks.aws.settings import Values, needed, setting
from playbooks.change import Setting
from playbooks.platform_intent import AwsSpec

PROTECTION = "its protection from being terminated"
SNAPSHOTS = "snapshots of its volumes"
SCALING = "its Auto Scaling group"
TARGET_GROUPS = "its load balancers' target groups"
CLASSIC_BALANCERS = "its classic load balancers"
PROFILE = "its instance profile and the role's sessions"
_UNREAD = "unread/"


def unread(part: str, why: str) -> Fact:
    """What a precaution needs to know could not be read: it is left out of the plan, and the plan says so."""
    return Fact(resource=f"{_UNREAD}{part}", attribute="reason", value=why)


def left_out(observation: AwsObservation) -> tuple[str, ...]:
    """Everything that is wanted and left as it is, and why."""
    found = (fact for fact in observation.facts if fact.resource.startswith(_UNREAD))
    return tuple(
        f"{f.resource.removeprefix(_UNREAD)}: nothing is done about it, for it could not be read: {f.value}"
        for f in found
    )


def precautions(observation: AwsObservation, spec: AwsSpec) -> tuple[Setting, ...]:
    """Protect, snapshot, then leave whatever would replace the instance or send it work."""
    found = (
        *(_protection(observation) if spec.protect else ()),
        *(_snapshots(observation) if spec.snapshot else ()),
        *(_leaving(observation) if spec.detach else ()),
    )
    return tuple(each.model_copy(update={"essential": False}) for each in needed(*found))


def _change(
    observation: AwsObservation, place: tuple[str, str], after: JsonValue, words: str, permissions: tuple[str, ...]
) -> Setting | None:
    if not observation.was_read(*place):
        return None
    now = observation.value(*place)
    return setting(*place, Values(now, now, after), words, permissions)


def _protection(observation: AwsObservation) -> tuple[Setting | None, ...]:
    instance = f"instance/{observation.reference.name}"
    devices = [
        _change(
            observation,
            (device, "delete-on-termination"),
            False,
            f"{instance}: keep {observation.value(device, 'volume')} when it is terminated",
            allowed.VOLUMES,
        )
        for device in observation.resources("block-device")
    ]
    if observation.value(instance, "lifecycle") == "spot":
        return tuple(devices)
    return (
        _change(
            observation,
            (instance, "termination-protection"),
            True,
            f"{instance}: refuse to terminate it",
            allowed.PROTECTION,
        ),
        # Termination protection does not stop a shutdown from inside, and the intruder is inside.
        _change(
            observation,
            (instance, "shutdown-behavior"),
            "stop",
            f"{instance}: a shutdown from inside stops it instead of terminating it",
            allowed.SHUTDOWN,
        ),
        *devices,
    )


def _snapshots(observation: AwsObservation) -> tuple[Setting | None, ...]:
    instance = f"instance/{observation.reference.name}"
    volumes = sorted(str(observation.value(device, "volume")) for device in observation.resources("block-device"))
    begun = observation.value(instance, "snapshots")
    if not volumes or (isinstance(begun, list) and set(volumes) <= {str(volume) for volume in begun}):
        return ()
    words = f"{instance}: begin a snapshot of {', '.join(volumes)}, all at one point in time"
    made = _change(observation, (instance, "snapshots"), list(volumes), words, allowed.SNAPSHOTS)
    return (made.model_copy(update={"reversible": False}) if made else None,)


def _leaving(observation: AwsObservation) -> tuple[Setting | None, ...]:
    """Detached, not on standby: a group still ends what is on standby, by a refresh or with itself.

    Its size is left to the group, which starts another instance in its place: a contained service that also shrinks
    would be the intruder's success. Load balancers come first, so that they drain while the rest is done.
    """
    instance = f"instance/{observation.reference.name}"
    targets = [_deregistered(observation, target, allowed.TARGET_GROUP) for target in observation.resources("target")]
    classic = observation.resources("classic-balancer")
    balancers = [_deregistered(observation, balancer, allowed.CLASSIC_BALANCER) for balancer in classic]
    group = observation.value(instance, "auto-scaling-group")
    name = group["group"] if isinstance(group, dict) else ""
    words = f"{instance}: detach it from Auto Scaling group {name}, which starts another one in its place"
    return (
        *targets,
        *balancers,
        _change(observation, (instance, "auto-scaling-group"), None, words, allowed.SCALING),
    )


def _deregistered(observation: AwsObservation, resource: str, permissions: tuple[str, ...]) -> Setting | None:
    balancer = resource.rpartition("targetgroup/")[2] if resource.startswith("target/") else resource.rpartition("/")[2]
    words = f"{resource.split('/')[1]}: take it out of load balancer target {balancer}"
    return _change(observation, (resource, "registration"), None, words, permissions)
