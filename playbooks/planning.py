"""Which planner plans a platform's target. Pure.

plan_platform(observation, intent)   # -> PlatformChange
"""

from playbooks.aws.observation import AwsObservation
from playbooks.aws.plan import plan_aws
from playbooks.change import PlatformChange
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.kubernetes.plan import plan_kubernetes
from playbooks.platform_intent import PlatformIntent


def plan_platform(observation: KubernetesObservation | AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """The change for a target as it was observed.

    Raises:
        FirebreakError: it can't be planned; says why and what to do.
    """
    if isinstance(observation, AwsObservation):
        return plan_aws(observation, intent)
    return plan_kubernetes(observation, intent)
