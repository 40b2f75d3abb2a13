"""Buckets and functions as they are: read-only.

Owns which facts a plan of a resource needs, and how each attribute of one is read. Never changes anything.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws import identity_documents as documents
from activities.aws.attributes import INCIDENT_TAG, Account
from activities.aws.errors import code_of
from activities.aws.identity_observe import caller, observed, pages
from activities.aws.observing import place_of
from playbooks.aws.denials import sid
from playbooks.aws.observation import AwsObservation
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload

T = TypeVar("T")
BUCKET_OBSERVER = ("s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketTagging")
FUNCTION_OBSERVER = (
    "lambda:GetFunctionConcurrency",
    "lambda:GetFunctionConfiguration",
    "lambda:ListEventSourceMappings",
    "lambda:ListTags",
)
# Lambda changes a mapping slowly; what it is on its way to is what was asked of it.
ENABLED = frozenset({"Creating", "Enabling", "Enabled"})
DISABLED = frozenset({"Disabling", "Disabled"})


def observe_bucket(account: Account, target: Workload, intent: PlatformIntent) -> AwsObservation:  # noqa: ARG001 - asked
    """A bucket: its policy, whether the public is blocked, and who we are."""
    name = place_of(target).name
    bucket = f"s3-bucket/{name}"
    facts = {
        (bucket, "policy"): read_policy(account, name),
        (bucket, "public-access-block"): read_block(account, name),
        ("caller", "arn"): caller(account),
    }
    return observed(target, facts, _bucket_tags(account, name))


def observe_function(account: Account, target: Workload, intent: PlatformIntent) -> AwsObservation:  # noqa: ARG001 - same
    """A function: how often it may run at once, what feeds it, and as which role it runs."""
    name, client = place_of(target).name, account.client("lambda")
    function = f"lambda-function/{name}"
    configuration = client.get_function_configuration(FunctionName=name)
    tags = tags_of(account, name)
    facts: dict[tuple[str, str], JsonValue] = {
        (function, "role"): configuration["Role"],
        (function, "incident-tag"): tags.get(INCIDENT_TAG),
        (function, "concurrency"): read_concurrency(account, name),
    }
    for mapping in pages(client, "list_event_source_mappings", "EventSourceMappings", FunctionName=name):
        facts[function, f"mapping.{mapping['UUID']}"] = enabled(mapping)
        facts[function, f"source.{mapping['UUID']}"] = mapping.get("EventSourceArn")
    return observed(target, facts, [{"Key": key, "Value": value} for key, value in tags.items()])


def policy_as_it_is(account: Account, name: str) -> Any:
    """A bucket's policy as S3 has it; None if there is none."""
    answer = _unless("NoSuchBucketPolicy", lambda: account.client("s3").get_bucket_policy(**own(account, name)))
    return json.loads(answer["Policy"]) if answer else None


def read_policy(account: Account, name: str) -> JsonValue:
    """A bucket's policy, with placeholders for the times in our statement."""
    document: JsonValue = documents.read(policy_as_it_is(account, name), sid(account.incident_id))
    return document


def read_block(account: Account, name: str) -> JsonValue:
    """What of the public a bucket blocks; None if nothing was ever set."""
    answer = _unless(
        "NoSuchPublicAccessBlockConfiguration",
        lambda: account.client("s3").get_public_access_block(**own(account, name)),
    )
    return dict(answer["PublicAccessBlockConfiguration"]) if answer else None


def own(account: Account, name: str) -> dict[str, str]:
    """A bucket, only if this account owns it: names are shared by all accounts there are."""
    return {"Bucket": name, "ExpectedBucketOwner": account.account}


def read_concurrency(account: Account, name: str) -> JsonValue:
    """How often a function may run at once; None if that is not set, which 0 is not."""
    answer = account.client("lambda").get_function_concurrency(FunctionName=name)
    limit: JsonValue = answer.get("ReservedConcurrentExecutions")
    return limit


def tags_of(account: Account, name: str) -> dict[str, str]:
    """A function's tags."""
    return dict(account.client("lambda").list_tags(Resource=function_arn(account, name)).get("Tags", {}))


def read_incident_tag(account: Account, name: str) -> JsonValue:
    """The incident that holds a function."""
    return tags_of(account, name).get(INCIDENT_TAG)


def function_arn(account: Account, name: str) -> str:
    """The ARN of a function, which its tags are kept under."""
    partition = account.client("lambda").meta.partition
    return f"arn:{partition}:lambda:{account.region}:{account.account}:function:{name}"


def read_mapping(account: Account, name: str) -> JsonValue:
    """Whether a mapping takes events from its source; None if there is none such."""
    _, _, mapping = name.partition("/")
    lookup = account.client("lambda").get_event_source_mapping
    answer = _unless("ResourceNotFoundException", lambda: lookup(UUID=mapping))
    return enabled(answer) if answer else None


def enabled(mapping: dict[str, Any]) -> JsonValue:
    """True or False; while it is being changed for another reason its state as it is called."""
    state = str(mapping["State"])
    return state in ENABLED if state in ENABLED | DISABLED else state


def _bucket_tags(account: Account, name: str) -> list[dict[str, str]]:
    answer = _unless("NoSuchTagSet", lambda: account.client("s3").get_bucket_tagging(**own(account, name)))
    return list(answer["TagSet"]) if answer else []


def _unless(code: str, call: Callable[[], T]) -> T | None:
    """What the call answers; None where AWS answers with this code."""
    try:
        return call()
    except ClientError as error:
        if code_of(error) == code:
            return None
        raise
