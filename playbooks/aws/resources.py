"""Containing resources of AWS that hold data or code: S3 buckets and Lambda functions. Pure.

Owns what is set for them, in which order, who may still reach a bucket, and what that does not cut. Never calls AWS:
`activities.aws.resources` reads and writes what is named here.

    plan_bucket(observation, intent)   # -> PlatformChange
"""

from typing import ClassVar

from pydantic import JsonValue

from playbooks.aws.denials import (
    WouldLockOut,
    denial,
    end_in_words,
    fragile,
    length,
    refuse_held,
    statements_of,
    with_statement,
    without_statement,
)
from playbooks.aws.observation import AwsObservation
from playbooks.aws.settings import Values, incident, needed, setting
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import PlatformIntent, TargetHeld
from segmentation.errors import FirebreakError

BUCKET_POLICY = ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy")
BUCKET_BLOCK = ("s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock")
FUNCTION_TAG = ("lambda:ListTags", "lambda:TagResource", "lambda:UntagResource")
FUNCTION_CONCURRENCY = (
    "lambda:DeleteFunctionConcurrency",
    "lambda:GetFunctionConcurrency",
    "lambda:PutFunctionConcurrency",
)
FUNCTION_MAPPING = ("lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping")
# S3 user guide, "Bucket policies": 20 KB.
LONGEST_BUCKET_POLICY = 20 * 1024


class PolicyTooLong(FirebreakError):
    """A policy with our statement in it is longer than AWS accepts."""

    code: ClassVar[str] = "policy-too-long"


def plan_bucket(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Deny a bucket to everybody but the role that has to release it, and keep the public out.

    Raises:
        PolicyTooLong: there is no room for our statement.
        TargetHeld: another incident contains it.
        WouldLockOut: nobody knows who we are, so nobody could be let in again.
    """
    bucket = f"s3-bucket/{observation.reference.name}"
    denied = _denied(observation, bucket, intent)
    return PlatformChange(
        **incident(intent),
        mechanism="bucket-denial",
        why="an explicit deny outweighs every allow, in the bucket's policy, in an identity's and in an access list",
        settings=needed(denied, _closed_to_public(observation, bucket)),
        cuts=(
            f"every request to {bucket}: by users, roles, other accounts, services of AWS and anonymous ones",
            f"access points of {bucket} and URLs signed for it",
        ),
        stays=(
            f"Firebreak's own role ({_ours(observation)[0]}), so that the bucket can be released",
            "the account's root user: AWS lets it always read, replace and delete a bucket's policy",
        ),
        cannot=(
            "downloads that are running: S3 asks for permission when a request begins",
            f"lifecycle rules of {bucket}: S3 carries them out itself, whatever its policy says",
            f"copies of what is in {bucket} elsewhere",
        ),
        dead_man=end_in_words(intent, stays="the public stays blocked"),
    )


def _denied(observation: AwsObservation, bucket: str, intent: PlatformIntent) -> Setting | None:
    now = observation.value(bucket, "policy")
    refuse_held(bucket, (str(statement.get("Sid", "")) for statement in statements_of(now)), intent.incident_id)
    before = without_statement(now, intent.incident_id)
    ours = _ours(observation)
    arn = f"arn:{ours[0].split(':')[1]}:s3:::{observation.reference.name}"
    # A negated operator also holds where the key is missing, so that anonymous requests and services are denied too.
    exempt = {"ArnNotLike": {"aws:PrincipalArn": ours if len(ours) > 1 else ours[0]}}
    deny = denial(intent, Principal="*", Action="s3:*", Resource=[arn, f"{arn}/*"], Condition=exempt)
    after = with_statement(before, deny)
    if length(after) > LONGEST_BUCKET_POLICY:
        raise PolicyTooLong(
            f"{bucket}: its policy has {length(before)} bytes, with our statement {length(after)}; "
            f"S3 takes {LONGEST_BUCKET_POLICY}.",
            hint="Shorten it by hand, or contain the identities that reach it.",
        )
    words = f"{bucket}: deny everything to all but Firebreak's own role, beside what its policy says{fragile(before)}"
    return setting(bucket, "policy", Values(now, before, after), words, BUCKET_POLICY)


def _ours(observation: AwsObservation) -> list[str]:
    """What `aws:PrincipalArn` is for our requests, as patterns of ArnLike.

    Of a role STS tells us its name without its path; names are unique in an account whatever their path, so the second
    pattern lets in nobody else.
    """
    caller = str(observation.value("caller", "arn") or "")
    _, partition, service, _, account, own = caller.split(":", 5) if caller.count(":") >= 5 else [""] * 6  # noqa: PLR2004
    iam = f"arn:{partition}:iam::{account}"
    if service == "sts" and own.startswith("assumed-role/"):
        role = own.split("/")[1]
        return [f"{iam}:role/*/{role}", f"{iam}:role/{role}"]
    if service == "iam":
        return [caller]
    raise WouldLockOut(
        f"s3-bucket/{observation.reference.name}: STS says we are {caller or 'nobody'}, so nobody can be let in again.",
        hint="See the role that this worker assumes in the account.",
    )


def _closed_to_public(observation: AwsObservation, bucket: str) -> Setting | None:
    now = observation.value(bucket, "public-access-block")
    block = now if isinstance(now, dict) else {}
    # BlockPublicPolicy is left as it is: where the policy lets the public in, S3 would refuse to have it written
    # again, and our own statement could not be renewed. RestrictPublicBuckets keeps the public out meanwhile.
    after: JsonValue = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": bool(block.get("BlockPublicPolicy")),
        "RestrictPublicBuckets": True,
    }
    words = f"{bucket}: block public access"
    return setting(bucket, "public-access-block", Values(now, now, after), words, BUCKET_BLOCK)


def plan_function(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Let a function run no more, and keep what is waiting for it in its queues.

    Raises:
        TargetHeld: another incident contains it.
    """
    function = f"lambda-function/{observation.reference.name}"
    tag = observation.value(function, "incident-tag")
    if tag not in (None, intent.incident_id):
        raise TargetHeld(
            f"{function} is contained by another incident already: its tag says {tag}.",
            hint="Release it there first, or respond to it in that incident.",
        )
    mappings = tuple(fact.attribute for fact in observation.facts if fact.attribute.startswith("mapping."))
    role = str(observation.value(function, "role") or "its execution role")
    return PlatformChange(
        **incident(intent),
        mechanism="zero-concurrency",
        why="a function that may run zero times at once is not started by anybody, whatever its permissions say",
        settings=needed(
            *_function_settings(observation, function, tag, intent), *_mappings(observation, function, mappings)
        ),
        cuts=(f"every new invocation of {function}, of all its versions, aliases and URLs",),
        stays=tuple(f"events in {_source(observation, function, mapping)} wait there" for mapping in mappings),
        cannot=(
            "invocations that are running: they end by themselves, after 15 minutes at the latest",
            f"sessions of {role} that were taken out of it: revoke that role's sessions too",
            "asynchronous events: Lambda tries them again for up to six hours, then drops them or hands them on",
        ),
        dead_man=_function_end(intent),
    )


def _function_settings(
    observation: AwsObservation, function: str, tag: JsonValue, intent: PlatformIntent
) -> tuple[Setting | None, ...]:
    # First the tag: two incidents that plan at the same moment must not both take the function for untouched.
    held = Values(tag, None, intent.incident_id)
    now = observation.value(function, "concurrency")
    words = f"{function}: no more than 0 at once, was {'unset' if now is None else now}"
    return (
        setting(function, "incident-tag", held, f"{function}: tag it with the incident", FUNCTION_TAG),
        setting(function, "concurrency", Values(now, now, 0), words, FUNCTION_CONCURRENCY),
    )


def _mappings(observation: AwsObservation, function: str, mappings: tuple[str, ...]) -> tuple[Setting, ...]:
    """Disabled: an event that is throttled often enough is moved to a dead-letter queue, or lost."""
    found = []
    for mapping in mappings:
        now = observation.value(function, mapping)
        words = f"{function}: take no events from {_source(observation, function, mapping)}"
        if needs := setting(function, mapping, Values(now, now, False), words, FUNCTION_MAPPING):
            found.append(needs.model_copy(update={"essential": False}))
    return tuple(found)


def _source(observation: AwsObservation, function: str, mapping: str) -> str:
    return str(observation.value(function, mapping.replace("mapping.", "source.", 1)) or "its source")


def _function_end(intent: PlatformIntent) -> str:
    said = "nothing ends it: the function stays at 0 until somebody takes it back"
    return f"{said}; AWS has no end for it, so that this lease ends closed" if intent.ends == "open" else said
