"""The AWS that the tests talk to behaves as AWS does where moto alone does not."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.activities.aws.accounts import Accounts, session_of
from tests.activities.aws.estate import Estate, build


@pytest.fixture
def estate(accounts: Accounts) -> Estate:
    return build(accounts, interfaces=2)


def code(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_an_attached_interface_has_its_own_groups_only(estate: Estate) -> None:
    web, admin, backup = estate.groups
    estate.put(estate.interfaces[0], backup)
    assert estate.groups_of() == {estate.interfaces[0]: [backup], estate.interfaces[1]: sorted([web, admin])}


def test_a_group_that_is_not_there_is_refused_and_one_in_use_is_not_deleted(estate: Estate) -> None:
    switch = estate.ec2.modify_network_interface_attribute
    assert code(switch, NetworkInterfaceId=estate.interfaces[0], Groups=["sg-0000"]) == "InvalidGroup.NotFound"
    assert code(estate.ec2.delete_security_group, GroupId=estate.groups[0]) == "DependencyViolation"


def test_a_new_acl_ends_in_denies_counts_its_entries_and_knows_dry_runs(estate: Estate) -> None:
    acl = estate.ec2.create_network_acl(VpcId=estate.vpc)["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "Protocol": "-1", "RuleAction": "deny", "Egress": False, "CidrBlock": "192.0.2.0/24"}
    (seen,) = estate.ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    assert sorted((e["Egress"], e["RuleNumber"], e["RuleAction"]) for e in seen["Entries"]) == [
        (egress, number, "deny") for egress in (False, True) for number in (32767, 32768)
    ]
    assert code(estate.ec2.create_network_acl_entry, RuleNumber=1, DryRun=True, **entry) == "DryRunOperation"
    for number in range(1, 19):
        estate.ec2.create_network_acl_entry(RuleNumber=number, **entry)
    assert code(estate.ec2.create_network_acl_entry, RuleNumber=19, **entry) == "NetworkAclEntryLimitExceeded"
    gone = {"NetworkAclId": acl, "RuleNumber": 19, "Egress": False}
    assert code(estate.ec2.delete_network_acl_entry, **gone) == "InvalidNetworkAclEntry.NotFound"


def test_shutdown_behavior_is_set_and_leaves_groups_alone(estate: Estate) -> None:
    before = estate.groups_of()
    estate.ec2.modify_instance_attribute(
        InstanceId=estate.instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    answer = estate.ec2.describe_instance_attribute(
        InstanceId=estate.instance, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert answer["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    assert estate.groups_of() == before


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("iam", "list_users", "InvalidClientTokenId"),
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("lambda", "list_functions", "UnrecognizedClientException"),
    ],
)
def test_an_inactive_key_does_not_work(accounts: Accounts, service: str, operation: str, expected: str) -> None:
    iam = accounts.client("iam")
    iam.create_user(UserName="mallory")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]
    client = _with_key(session_of("nobody"), key, service, accounts.url)
    getattr(client, operation)()
    iam.update_access_key(UserName="mallory", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert code(getattr(client, operation)) == expected


def _with_key(session: boto3.Session, key: dict[str, str], service: str, url: str) -> Any:
    return session.client(
        service,
        endpoint_url=url,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
