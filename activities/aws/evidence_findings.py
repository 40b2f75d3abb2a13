"""What the account's own detections say about the target: GuardDuty and Security Hub.

Owns the collector `findings`. A service that is not turned on has nothing to say, and the document says that.
"""

from collections.abc import Iterator
from typing import Any

from activities.aws.evidence_scene import Answer, Scene
from activities.evidence.platforms.collecting import Draft, Found, Task

MOST_FINDINGS = 500
_AT_ONCE = 50  # GuardDuty API, GetFindings
# Security Hub answers an account that has not turned it on with this, in place of no findings.
_OFF = ("InvalidAccessException",)
PERMISSIONS = (
    "guardduty:GetFindings",
    "guardduty:ListDetectors",
    "guardduty:ListFindings",
    "securityhub:DescribeHub",
    "securityhub:GetFindings",
)
_CRITERIA = {
    "ec2-instance": "resource.instanceDetails.instanceId",
    "iam-role": "resource.accessKeyDetails.userName",
    "iam-user": "resource.accessKeyDetails.userName",
    "s3-bucket": "resource.s3BucketDetails.name",
    "lambda-function": "resource.lambdaDetails.functionName",
}


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    draft = Draft(bounds=f"updated since {task.since.isoformat()}, at most {MOST_FINDINGS} of each service")
    guard = draft.part("guardduty", lambda: _guardduty(scene, draft, task))
    hub = draft.part("securityhub", lambda: _security_hub(scene, draft, task))
    found = [one for answer in (guard, hub) if answer for one in answer["findings"]]
    draft.events = len(found)
    yield draft.found("findings", scene.asked)


def _guardduty(scene: Scene, draft: Draft, task: Task) -> Answer:
    detectors = scene.pages(draft, ("guardduty", "list_detectors", "DetectorIds"), 10)
    criterion = _CRITERIA.get(scene.kind)
    if not detectors or criterion is None:
        why = "it has no findings about this kind" if detectors else "it is not turned on in this region"
        return {"detectors": detectors, "findings": [], "note": why}
    wanted: dict[str, Any] = {
        criterion: {"Eq": [scene.place.name]},
        "updatedAt": {"GreaterThanOrEqual": int(task.since.timestamp() * 1000)},
    }
    found: list[Answer] = []
    for detector in detectors:
        call = ("guardduty", "list_findings", "FindingIds")
        ids = scene.pages(draft, call, MOST_FINDINGS, task, DetectorId=detector, FindingCriteria={"Criterion": wanted})
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            found += scene.ask("guardduty", "get_findings", DetectorId=detector, FindingIds=part)["Findings"]
    return {"detectors": detectors, "findings": found}


def _security_hub(scene: Scene, draft: Draft, task: Task) -> Answer:
    if scene.ask_if_there("securityhub", "describe_hub", *_OFF) is None:
        return {"findings": [], "note": "it is not turned on in this region"}
    # A resource is called by its ARN, whose end is its id.
    call = ("securityhub", "get_findings", "Findings")
    day = {"Start": task.since.isoformat(), "End": draft.started.isoformat()}
    filters = {
        "ResourceId": [{"Value": resource, "Comparison": "EQUALS"} for resource in _arns(scene)],
        "UpdatedAt": [day],
    }
    found = scene.pages(draft, call, MOST_FINDINGS, task, Filters=filters)
    return {"findings": [one for one in found if _is_about(one, scene)]}


def _is_about(finding: Answer, scene: Scene) -> bool:
    """What is kept is about the target, whatever the server makes of a filter."""
    known = set(_arns(scene))
    return any(str(resource.get("Id")) in known for resource in finding.get("Resources", ()))


def _arns(scene: Scene) -> list[str]:
    place = scene.place
    regional = f"{place.region}:{place.account}"
    arns = {
        "ec2-instance": f"arn:aws:ec2:{regional}:instance/{place.name}",
        "subnet": f"arn:aws:ec2:{regional}:subnet/{place.name}",
        "security-group": f"arn:aws:ec2:{regional}:security-group/{place.name}",
        "iam-role": f"arn:aws:iam::{place.account}:role/{place.name}",
        "iam-user": f"arn:aws:iam::{place.account}:user/{place.name}",
        "s3-bucket": f"arn:aws:s3:::{place.name}",
        "lambda-function": f"arn:aws:lambda:{regional}:function:{place.name}",
    }
    return [arns[scene.kind], place.name]
