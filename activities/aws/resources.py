"""Buckets and functions, read and written.

Owns the calls that write each attribute that `playbooks.aws.resources` names, with the permissions beside them. Never
decides what is set.
"""

from pydantic import JsonValue

from activities.aws import identity_documents as documents
from activities.aws import resource_observe as observing
from activities.aws.attributes import INCIDENT_TAG, Account, Attribute, Attributes
from activities.killswitch.platform import Moment
from playbooks.aws.denials import sid
from playbooks.aws.resources import (
    BUCKET_BLOCK,
    BUCKET_POLICY,
    FUNCTION_CONCURRENCY,
    FUNCTION_MAPPING,
    FUNCTION_TAG,
)


def write_policy(account: Account, name: str, value: JsonValue, moment: Moment) -> None:
    """Put a bucket's policy, or delete it where it is None."""
    s3, bucket = account.client("s3"), observing.own(account, name)
    if value is None:
        s3.delete_bucket_policy(**bucket)
        return
    text = documents.written(value, observing.policy_as_it_is(account, name), moment, sid(account.incident_id))
    s3.put_bucket_policy(Policy=text, **bucket)


def write_block(account: Account, name: str, value: JsonValue, moment: Moment) -> None:  # noqa: ARG001 - has no time
    """Block the public, or forget that anything was set."""
    s3, bucket = account.client("s3"), observing.own(account, name)
    if value is None:
        s3.delete_public_access_block(**bucket)
    else:
        s3.put_public_access_block(PublicAccessBlockConfiguration=value, **bucket)


def write_concurrency(account: Account, name: str, value: JsonValue, moment: Moment) -> None:  # noqa: ARG001 - same
    """Say how often a function may run at once; None takes the limit away, 0 is the strictest one."""
    client = account.client("lambda")
    if value is None:
        client.delete_function_concurrency(FunctionName=name)
    else:
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=value)


def write_incident_tag(account: Account, name: str, value: JsonValue, moment: Moment) -> None:  # noqa: ARG001 - same
    """Tag a function with the incident that holds it."""
    client, arn = account.client("lambda"), observing.function_arn(account, name)
    if value is None:
        client.untag_resource(Resource=arn, TagKeys=[INCIDENT_TAG])
    else:
        client.tag_resource(Resource=arn, Tags={INCIDENT_TAG: value})


def write_mapping(account: Account, name: str, value: JsonValue, moment: Moment) -> None:  # noqa: ARG001 - same
    """Have a mapping of `function/mapping` take events, or not."""
    _, _, mapping = name.partition("/")
    account.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=value)


ATTRIBUTES: Attributes = {
    ("s3-bucket", "policy"): Attribute(observing.read_policy, write_policy, BUCKET_POLICY),
    ("s3-bucket", "public-access-block"): Attribute(observing.read_block, write_block, BUCKET_BLOCK),
    ("lambda-function", "incident-tag"): Attribute(observing.read_incident_tag, write_incident_tag, FUNCTION_TAG),
    ("lambda-function", "concurrency"): Attribute(observing.read_concurrency, write_concurrency, FUNCTION_CONCURRENCY),
    ("lambda-function", "mapping"): Attribute(observing.read_mapping, write_mapping, FUNCTION_MAPPING),
}
OBSERVERS = {
    "s3-bucket": observing.observe_bucket,
    "lambda-function": observing.observe_function,
}
OBSERVER_PERMISSIONS = {
    "s3-bucket": observing.BUCKET_OBSERVER,
    "lambda-function": observing.FUNCTION_OBSERVER,
}
