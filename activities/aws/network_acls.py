"""Entries of network ACLs.

Owns how an entry is read, put and taken away. Never decides which number or what it denies.

    resource "network-acl-entry/acl-1/ingress/90", attribute "entry": {"action": "deny", "protocol": "-1", ...}
"""

from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws.attributes import Account, Attribute
from activities.aws.errors import absent
from activities.killswitch.platform import Moment, PlatformRefused
from playbooks.aws.subnets import READ_ACL, WRITE_ACL


def _acl(account: Account, acl: str) -> dict[str, Any] | None:
    try:
        found = account.client("ec2").describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    except ClientError as error:
        if absent(error):
            return None
        raise
    return found[0] if found else None


def entry_value(entry: dict[str, Any]) -> dict[str, JsonValue]:
    """An entry in the form in which it is planned and restored."""
    return {
        "action": entry["RuleAction"],
        "protocol": str(entry["Protocol"]),
        "cidr": entry.get("CidrBlock") or entry.get("Ipv6CidrBlock") or "",
        **({"ports": [entry["PortRange"]["From"], entry["PortRange"]["To"]]} if entry.get("PortRange") else {}),
        **(
            {"icmp": [entry["IcmpTypeCode"]["Type"], entry["IcmpTypeCode"]["Code"]]}
            if entry.get("IcmpTypeCode")
            else {}
        ),
    }


def _entry(name: str) -> tuple[str, bool, int]:
    acl, side, number = name.split("/")
    return acl, side == "egress", int(number)


def read_entry(account: Account, name: str) -> JsonValue:
    """The entry at a number; None where that is free."""
    acl_id, egress, number = _entry(name)
    acl = _acl(account, acl_id)
    entries = acl["Entries"] if acl else []
    found = next((e for e in entries if e["Egress"] == egress and e["RuleNumber"] == number), None)
    return entry_value(found) if found else None


def write_entry(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Put an entry at its number, or free it."""
    acl, egress, number = _entry(name)
    ec2 = account.client("ec2")
    if value is None:
        try:
            ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=number, Egress=egress)
        except ClientError as error:
            if not absent(error):
                raise
        return
    # Replacing needs an entry that is there, creating one that is not.
    there = read_entry(account, name) is not None
    call = ec2.replace_network_acl_entry if there else ec2.create_network_acl_entry
    call(NetworkAclId=acl, RuleNumber=number, Egress=egress, **_entry_arguments(value))


def _entry_arguments(value: JsonValue) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PlatformRefused(f"{value!r} is no entry of a network ACL.")
    cidr = str(value["cidr"])
    ports, icmp = value.get("ports"), value.get("icmp")
    return {
        "RuleAction": value["action"],
        "Protocol": value["protocol"],
        **({"Ipv6CidrBlock": cidr} if ":" in cidr else {"CidrBlock": cidr}),
        **({"PortRange": {"From": ports[0], "To": ports[1]}} if isinstance(ports, list) else {}),
        **({"IcmpTypeCode": {"Type": icmp[0], "Code": icmp[1]}} if isinstance(icmp, list) else {}),
    }


def refuse_entry(account: Account, name: str, value: JsonValue) -> str:
    """EC2's dry run of the entry."""
    acl, egress, number = _entry(name)
    account.client("ec2").create_network_acl_entry(
        NetworkAclId=acl, RuleNumber=number, Egress=egress, DryRun=True, **_entry_arguments(value)
    )
    return ""


ATTRIBUTES = {
    ("network-acl-entry", "entry"): Attribute(read_entry, write_entry, (*READ_ACL, *WRITE_ACL), refuse_entry),
}
