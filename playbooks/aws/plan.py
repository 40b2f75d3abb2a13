"""Planning a change of any AWS target. Pure.

Owns which planner a kind of target has. Never calls AWS.

    plan_aws(observation, intent)   # -> PlatformChange
"""

from collections.abc import Callable, Mapping

from playbooks.aws.identities import plan_role, plan_user
from playbooks.aws.instances import plan_instance
from playbooks.aws.observation import AwsObservation
from playbooks.aws.resources import plan_bucket, plan_function
from playbooks.aws.security_groups import plan_security_group
from playbooks.aws.subnets import plan_subnet
from playbooks.change import PlatformChange
from playbooks.platform_intent import PlatformIntent

PLANNERS: Mapping[str, Callable[[AwsObservation, PlatformIntent], PlatformChange]] = {
    "ec2-instance": plan_instance,
    "subnet": plan_subnet,
    "security-group": plan_security_group,
    "iam-role": plan_role,
    "iam-user": plan_user,
    "s3-bucket": plan_bucket,
    "lambda-function": plan_function,
}


def plan_aws(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """The planned difference of one target; planning an applied state gives one without settings.

    Raises:
        FirebreakError: the target can't be contained, or another incident contains it.
    """
    return PLANNERS[observation.kind](observation, intent)
