"""Entries of network ACLs.

Owns how an entry is read, put and taken away. Never decides which number or what it denies.

An entry is shared by those who hold it. Ours is marked first and set then, and on the way back let go first: of two
who let go at once the last one sees that nobody is left. What is nobody's is taken away, and put back if somebody came.

    resource "network-acl-entry/acl-1/ingress/90", attribute "entry.<holder>": {"action": "deny", "protocol": "-1", ...}
"""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws import holds
from activities.aws.attributes import Account, Attribute
from activities.aws.errors import absent, code_of
from activities.killswitch.platform import Moment, PlanStale, PlatformRefused, StillHeld
from playbooks.aws.subnets import READ_ACL, WRITE_ACL
from playbooks.change import LET_GO
from segmentation.errors import FirebreakError


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


@dataclass(frozen=True)
class _Slot:
    """One number of one direction of an ACL, for one who may hold what is there."""

    account: Account
    acl: str
    side: str
    number: int
    holder: str

    @property
    def key(self) -> str:
        return f"{self.side}/{self.number}"

    @property
    def arguments(self) -> dict[str, Any]:
        return {"NetworkAclId": self.acl, "RuleNumber": self.number, "Egress": self.side == "egress"}

    def look(self) -> tuple[JsonValue, list[str]]:
        """What is there, and who holds it."""
        acl = _acl(self.account, self.acl)
        if acl is None:
            return None, []
        egress = self.side == "egress"
        found = next((e for e in acl["Entries"] if e["Egress"] == egress and e["RuleNumber"] == self.number), None)
        return entry_value(found) if found else None, holds.holders_of(acl, self.key)

    def others(self, holders: list[str]) -> list[str]:
        return [name for name in holders if name != self.holder]


def _slot(account: Account, name: str) -> _Slot:
    acl, side, number, holder = name.split("/")
    return _Slot(account, acl, side, int(number), holder)


def read_entry(account: Account, name: str) -> JsonValue:
    """The entry at a number; None where that is free, or holds what others alone have put there."""
    slot = _slot(account, name)
    value, holders = slot.look()
    return None if holders and slot.holder not in holders else value


def write_entry(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Hold an entry at its number, or let it go; the last one frees the number.

    Raises:
        PlanStale: others hold another entry there.
        StillHeld: others hold the entry that we let go.
    """
    slot = _slot(account, name)
    if value is None or value == LET_GO:
        _let_go(slot, frees=value is None)
    else:
        _hold(slot, value)


def _hold(slot: _Slot, value: JsonValue) -> None:
    there, holders = slot.look()
    if there not in (None, value) and slot.others(holders):
        raise PlanStale(
            f"network-acl/{slot.acl}: {', '.join(slot.others(holders))} has put another entry at {slot.key}.",
            hint="Plan again.",
        )
    if slot.holder not in holders:
        holds.hold(slot.account, slot.acl, slot.key, slot.holder)
    try:
        _put(slot, there, value)
    except (ClientError, FirebreakError):
        if slot.holder not in holders:
            holds.let_go(slot.account, slot.acl, slot.key, slot.holder)
        raise


def _put(slot: _Slot, there: JsonValue, value: JsonValue) -> None:
    ec2 = slot.account.client("ec2")
    if there == value:
        return
    # Replacing needs an entry that is there, creating one that is not.
    call = ec2.create_network_acl_entry if there is None else ec2.replace_network_acl_entry
    try:
        call(**slot.arguments, **_entry_arguments(value))
    except ClientError as error:
        # Somebody was there in the same moment: another target of the same incident wants the very same.
        if code_of(error) != "NetworkAclEntryAlreadyExists":
            raise
        if slot.look()[0] != value:
            raise PlanStale(
                f"network-acl/{slot.acl}: somebody has just put another entry at {slot.key}.", hint="Plan again."
            ) from error


def _let_go(slot: _Slot, *, frees: bool) -> None:
    there, holders = slot.look()
    if slot.holder in holders:
        holds.let_go(slot.account, slot.acl, slot.key, slot.holder)
        there, holders = slot.look()
    if not frees:
        return
    if not slot.others(holders) and there is not None:
        _free(slot)
        holders = slot.look()[1]
        if slot.others(holders):
            _put(slot, None, there)
    if slot.others(holders):
        raise StillHeld(
            f"network-acl/{slot.acl}: entry {slot.key} stays, {', '.join(slot.others(holders))} holds it too."
        )


def _free(slot: _Slot) -> None:
    try:
        slot.account.client("ec2").delete_network_acl_entry(**slot.arguments)
    except ClientError as error:
        if not absent(error):
            raise


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
    slot = _slot(account, name)
    account.client("ec2").create_network_acl_entry(**slot.arguments, DryRun=True, **_entry_arguments(value))
    return ""


ATTRIBUTES = {
    ("network-acl-entry", "entry"): Attribute(read_entry, write_entry, (*READ_ACL, *WRITE_ACL), refuse_entry),
}
