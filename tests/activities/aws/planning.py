"""Observing and planning in one step, as the workflow does it in two."""

from activities.aws.platform import AwsPlatform
from playbooks.aws.plan import plan_aws
from playbooks.change import PlatformChange
from playbooks.platform_intent import AwsSpec
from segmentation.workloads import Workload
from tests.activities.aws.estate import LEAN, intent_for


def plan(platform: AwsPlatform, target: Workload, spec: AwsSpec = LEAN) -> PlatformChange:
    """The change of a target as it is now."""
    intent = intent_for(target, platform.account.incident_id, spec)
    return plan_aws(platform.observe(target, intent), intent)
