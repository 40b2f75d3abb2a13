"""Identities and resources of an account, each as its owner prepares it, looks at it and changes it by hand."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from botocore.exceptions import ClientError

from playbooks.platform_intent import AwsSpec, PlatformIntent
from segmentation.workloads import Workload, WorkloadKind
from tests.activities.aws import judge
from tests.activities.aws.accounts import REGION, Accounts

State = dict[str, Any]
READ = "s3:GetObject"
ALLOW: State = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": READ, "Resource": "*"}}
BY_HAND: State = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
}
PUBLIC = {
    "BlockPublicAcls": False,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": False,
    "RestrictPublicBuckets": False,
}


@dataclass(frozen=True)
class Case:
    """One kind of target. `prepare` says its name where AWS gives it.

    `open_to` names who gets through in a state; `by_hand` is what somebody else does to ours.
    """

    kind: WorkloadKind
    prepare: Callable[[Accounts, str], str | None]
    look: Callable[[Accounts, str], State]
    open_to: Callable[[State], set[str]]
    by_hand: Callable[[Accounts, str], Any]
    spec: AwsSpec = field(default_factory=AwsSpec)
    ends: Literal["open", "closed"] = "open"

    def intent(self, target: Workload, incident: str = "inc-1") -> PlatformIntent:
        """What an incident wants of the target."""
        return PlatformIntent(
            incident_id=incident,
            target_id=target.workload_id,
            at=datetime.now(UTC),
            lease_seconds=900,
            ends=self.ends,
            aws=self.spec,
        )


def prepare_role(accounts: Accounts, name: str) -> None:
    iam = accounts.client("iam")
    iam.create_role(RoleName=name, Path="/app/", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName=name, PolicyName="app", PolicyDocument=json.dumps(ALLOW))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def look_at_role(accounts: Accounts, name: str) -> State:
    iam = accounts.client("iam")
    policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
    return {
        "trust": iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"],
        **{each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in policies},
    }


def role_open_to(state: State) -> set[str]:
    now = datetime.now(UTC)
    policies = [document for name, document in state.items() if name != "trust"]
    sessions = {"old": judge.session(now - timedelta(hours=1)), "new": judge.session(now + timedelta(minutes=1))}
    passing = {name for name, context in sessions.items() if judge.allowed(policies, READ, context)}
    return passing | ({"assume"} if judge.allowed([state["trust"]], "sts:AssumeRole", {judge.NOW: now}) else set())


def prepare_user(accounts: Accounts, name: str) -> None:
    iam = accounts.client("iam")
    iam.create_user(UserName=name)
    iam.create_login_profile(UserName=name, Password="Correct-Horse-9")
    iam.put_user_policy(UserName=name, PolicyName="app", PolicyDocument=json.dumps(ALLOW))
    iam.create_access_key(UserName=name)
    unused = iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
    iam.update_access_key(UserName=name, AccessKeyId=unused, Status="Inactive")


def look_at_user(accounts: Accounts, name: str) -> State:
    iam = accounts.client("iam")
    policies = iam.list_user_policies(UserName=name)["PolicyNames"]
    keys = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    return {
        "keys": {key["AccessKeyId"]: key["Status"] for key in keys},
        "password": _found(lambda: iam.get_login_profile(UserName=name)) is not None,
        **{each: iam.get_user_policy(UserName=name, PolicyName=each)["PolicyDocument"] for each in policies},
    }


def user_open_to(state: State) -> set[str]:
    policies = [document for name, document in state.items() if name not in ("keys", "password")]
    ways = {key for key, status in state["keys"].items() if status == "Active"}
    ways |= {"console"} if state["password"] else set()
    passes = judge.allowed(policies, READ, {judge.NOW: datetime.now(UTC)})
    # Sessions made with a key that was active once go on without it.
    return ways | {"session"} if passes else set()


def prepare_bucket(accounts: Accounts, name: str) -> None:
    s3 = accounts.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    statement = ALLOW["Statement"] | {"Principal": "*", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2008-10-17", "Statement": statement}))
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=PUBLIC)


def prepare_bare_bucket(accounts: Accounts, name: str) -> None:
    accounts.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def look_at_bucket(accounts: Accounts, name: str) -> State:
    s3 = accounts.client("s3")
    policy = _found(lambda: s3.get_bucket_policy(Bucket=name))
    block = _found(lambda: s3.get_public_access_block(Bucket=name))
    return {
        "policy": json.loads(policy["Policy"]) if policy else None,
        "block": block["PublicAccessBlockConfiguration"] if block else {},
    }


def bucket_open_to(state: State) -> set[str]:
    who = {"a user": "arn:aws:iam::100000000001:user/alice", "the public": None}
    own = {"a user": [ALLOW], "the public": []}
    passing = {w for w, arn in who.items() if judge.allowed([state["policy"], *own[w]], READ, judge.principal(arn))}
    return passing - ({"the public"} if state["block"].get("RestrictPublicBuckets") else set())


def put_bucket_policy_by_hand(accounts: Accounts, name: str) -> None:
    s3 = accounts.client("s3")
    policy = look_at_bucket(accounts, name)["policy"] or {"Version": "2012-10-17", "Statement": []}
    kept = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    added = BY_HAND["Statement"][0] | {"Principal": "*", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy | {"Statement": [*kept, added]}))


def prepare_function(accounts: Accounts, name: str) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def run(event, context): ...")
    functions, queues = accounts.client("lambda"), accounts.client("sqs")
    prepare_role(accounts, f"{name}-role")
    role = accounts.client("iam").get_role(RoleName=f"{name}-role")["Role"]["Arn"]
    functions.create_function(
        FunctionName=name, Runtime="python3.12", Role=role, Handler="app.run", Code={"ZipFile": code.getvalue()}
    )
    queue = queues.create_queue(QueueName=name)["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)


def prepare_limited_function(accounts: Accounts, name: str) -> None:
    prepare_function(accounts, name)
    accounts.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)


def look_at_function(accounts: Accounts, name: str) -> State:
    functions = accounts.client("lambda")
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    mappings = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    return {
        "concurrency": functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
        "tags": functions.list_tags(Resource=arn)["Tags"],
        "mappings": {mapping["UUID"]: mapping["State"] for mapping in mappings},
    }


def function_open_to(state: State) -> set[str]:
    if state["concurrency"] == 0:
        return set()
    return {"invoke"} | {each for each, status in state["mappings"].items() if status == "Enabled"}


def _found(call: Callable[[], State]) -> State | None:
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"].startswith("NoSuch"):
            return None
        raise


SESSIONS = Case(
    "iam-role",
    prepare_role,
    look_at_role,
    role_open_to,
    lambda accounts, name: accounts.client("iam").put_role_policy(
        RoleName=name, PolicyName="firebreak-inc-1", PolicyDocument=json.dumps(BY_HAND)
    ),
)
QUARANTINE = replace(
    SESSIONS,
    spec=AwsSpec(role="quarantine"),
    by_hand=lambda accounts, name: accounts.client("iam").update_assume_role_policy(
        RoleName=name, PolicyDocument=json.dumps(TRUST | {"Id": "by hand"})
    ),
)
USER = Case(
    "iam-user",
    prepare_user,
    look_at_user,
    user_open_to,
    lambda accounts, name: accounts.client("iam").put_user_policy(
        UserName=name, PolicyName="firebreak-inc-1", PolicyDocument=json.dumps(BY_HAND)
    ),
)
BUCKET = Case("s3-bucket", prepare_bucket, look_at_bucket, bucket_open_to, put_bucket_policy_by_hand)
FUNCTION = Case(
    "lambda-function",
    prepare_function,
    look_at_function,
    function_open_to,
    lambda accounts, name: accounts.client("lambda").put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=7
    ),
)
CASES = {
    "role-sessions": SESSIONS,
    "role-quarantine": QUARANTINE,
    "role-quarantine-closed": replace(QUARANTINE, ends="closed"),
    "user": USER,
    "bucket": BUCKET,
    "bare-bucket": replace(BUCKET, prepare=prepare_bare_bucket),
    "function": FUNCTION,
    "limited-function": replace(FUNCTION, prepare=prepare_limited_function),
}
