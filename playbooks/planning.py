"""Which planner plans a platform's target. Pure.

plan_platform(observation, intent)   # -> PlatformChange
"""

from ipaddress import ip_address

from playbooks.aws.observation import AwsObservation
from playbooks.aws.plan import plan_aws
from playbooks.change import PlatformChange
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.kubernetes.plan import plan_kubernetes
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload


def plan_platform(observation: KubernetesObservation | AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """The change for a target as it was observed.

    Raises:
        FirebreakError: it can't be planned; says why and what to do.
    """
    if isinstance(observation, AwsObservation):
        return plan_aws(observation, intent)
    return plan_kubernetes(observation, intent)


def as_observed(target: Workload, observation: KubernetesObservation | AwsObservation) -> Workload:
    """The target with the labels and addresses that its platform shows: what safeguards are judged by."""
    if isinstance(observation, AwsObservation):
        addresses = tuple(ip_address(address) for address in observation.addresses)
    else:
        addresses = tuple(address for pod in observation.pods for address in pod.addresses)
    known = {"labels": target.labels | _fitting(observation.labels), "addresses": (*target.addresses, *addresses)}
    return target.model_copy(update=known)


def _fitting(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if value}
