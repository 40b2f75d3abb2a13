"""What was seen of one resource of an account, and who saw it."""

from pydantic import JsonValue

from playbooks.aws.observation import AwsObservation, Fact
from segmentation.workloads import AwsRef

ACCOUNT = "111122223333"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/firebreak-containment/firebreak-inc-1"


def seen(resource: str, facts: dict[str, JsonValue], caller: str = CALLER) -> AwsObservation:
    kind, _, name = resource.partition("/")
    return AwsObservation(
        target_id="t-1",
        reference=AwsRef(account=ACCOUNT, region="eu-west-1", name=name),
        kind=kind,
        facts=(
            *(Fact(resource=resource, attribute=attribute, value=value) for attribute, value in facts.items()),
            Fact(resource="caller", attribute="arn", value=caller),
        ),
    )
