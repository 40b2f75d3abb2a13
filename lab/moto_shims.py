"""Where moto differs from AWS in something that Firebreak relies on: set right inside the test server.

Owns the differences, each with what AWS does. Never runs inside the product, and adds nothing that AWS does not have.
Which differences remain is in docs/verified-against.md.

    install()
    app = KeysThatAreOff(DomainDispatcherApplication(create_backend_app))
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend
from moto.core.responses import EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.network_acls import NetworkAcl, NetworkAclBackend, NetworkAclEntry
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupBackend
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.network_acls import NetworkACLs
from moto.iam.models import iam_backends

from lab import s3_shims

LAST_RULE, LAST_IPV6_RULE = 32767, 32768
# Amazon VPC quotas: 20 rules a direction, the default denies among them.
RULES_PER_DIRECTION = 20
StartResponse = Callable[..., Any]


def install() -> None:
    """Set everything right; once, before the server answers."""
    s3_shims.install()
    setattr(NetworkInterface, "group_set", property(_own_groups))  # noqa: B010 - a property is no attribute to mypy
    _wrap(NetworkInterfaceBackend, "modify_network_interface_attribute", _known_groups_only)
    _wrap(SecurityGroupBackend, "delete_security_group", _only_unused_groups)
    _wrap(NetworkAclBackend, "create_network_acl", _with_default_denies)
    _wrap(NetworkAclBackend, "create_network_acl_entry", _within_the_quota)
    _wrap(NetworkAclBackend, "delete_network_acl_entry", _only_entries_that_are)
    for operation in ("create_network_acl_entry", "delete_network_acl_entry", "replace_network_acl_entry"):
        _wrap(NetworkACLs, operation, _with_dry_run)
    _wrap(InstanceResponse, "modify_instance_attribute", _with_shutdown_behavior)
    _wrap(AutoScalingBackend, "attach_instances", _within_the_maximum)


def _wrap(owner: type, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(original, self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _own_groups(interface: NetworkInterface) -> list[SecurityGroup]:
    """An interface has the groups that were set on it; moto adds those that its instance was started with."""
    return list(interface._group_set)  # noqa: SLF001 - what moto calls it


def _known_groups_only(original: Any, self: Any, eni_id: str, group_ids: list[str], *args: Any, **kwargs: Any) -> Any:
    """AWS refuses a group that is not there; moto sets nothing in its place."""
    for group_id in group_ids:
        if self.get_security_group_from_id(group_id) is None:
            raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    return original(self, eni_id, group_ids, *args, **kwargs)


def _only_unused_groups(original: Any, self: Any, name: str | None = None, group_id: str | None = None) -> Any:
    """AWS does not delete a group that an interface has; moto does."""
    wanted = group_id or name
    users = [eni.id for eni in self.enis.values() for group in eni.group_set if wanted in (group.id, group.name)]
    if users:
        raise EC2ClientError("DependencyViolation", f"resource {wanted} has a dependent object")
    return original(self, name, group_id)


def _with_default_denies(original: Any, self: Any, vpc_id: str, tags: Any = None, default: bool = False) -> NetworkAcl:
    """Every ACL ends in a deny for each direction and family that nobody can delete; moto's new ones end in nothing."""
    acl: NetworkAcl = original(self, vpc_id, tags, default)
    known = {(entry.egress, entry.rule_number) for entry in acl.network_acl_entries}
    for egress in (False, True):
        if (egress, LAST_RULE) not in known:
            acl.network_acl_entries.append(_last_deny(self, acl.id, egress, ipv6=False))
        if self.get_vpc(vpc_id).get_cidr_block_association_set(ipv6=True):
            acl.network_acl_entries.append(_last_deny(self, acl.id, egress, ipv6=True))
    return acl


def _last_deny(backend: Any, acl_id: str, egress: bool, *, ipv6: bool) -> NetworkAclEntry:
    return NetworkAclEntry(
        backend,
        acl_id,
        rule_number=LAST_IPV6_RULE if ipv6 else LAST_RULE,
        protocol="-1",
        rule_action="deny",
        egress=egress,
        cidr_block="" if ipv6 else "0.0.0.0/0",
        icmp_code=None,
        icmp_type=None,
        port_range_from=None,
        port_range_to=None,
        ipv6_cidr_block="::/0" if ipv6 else None,
    )


def _within_the_quota(original: Any, self: Any, **entry: Any) -> Any:
    """AWS refuses the rule that would be one too many; moto counts nothing."""
    acl = self.get_network_acl(entry["network_acl_id"])
    if sum(known.egress == entry["egress"] for known in acl.network_acl_entries) >= RULES_PER_DIRECTION:
        raise EC2ClientError("NetworkAclEntryLimitExceeded", f"The maximum number of entries for {acl.id} is reached")
    return original(self, **entry)


def _only_entries_that_are(original: Any, self: Any, network_acl_id: str, rule_number: int, egress: bool) -> Any:
    """AWS says that an entry is not there; moto fails inside."""
    acl = self.get_network_acl(network_acl_id)
    if not any((known.egress, known.rule_number) == (egress, rule_number) for known in acl.network_acl_entries):
        raise EC2ClientError("InvalidNetworkAclEntry.NotFound", f"The entry {rule_number} does not exist")
    return original(self, network_acl_id, rule_number, egress)


def _with_dry_run(original: Any, self: Any) -> Any:
    """AWS changes nothing in a dry run; moto does not know that these operations have one."""
    self.error_on_dryrun()
    return original(self)


def _with_shutdown_behavior(original: Any, self: Any) -> Any:
    """AWS sets what a shutdown from inside does; moto takes this for a change to no security groups at all."""
    value = self._get_param("InstanceInitiatedShutdownBehavior.Value")
    if value is None:
        return original(self)
    self.error_on_dryrun()
    attribute = "instance_initiated_shutdown_behavior"
    self.ec2_backend.modify_instance_attribute(self._get_param("InstanceId"), attribute, value)
    return EmptyResult()


def _within_the_maximum(original: Any, self: Any, group_name: str, instance_ids: list[str]) -> Any:
    """AWS refuses for good what would exceed the group's maximum; moto says that trying again could help."""
    group = self.autoscaling_groups[group_name]
    if len(group.instance_states) + len(instance_ids) > group.max_size:
        raise ValidationError(f"The group's size would be above max value {group.max_size} for {group_name}.")
    return original(self, group_name, instance_ids)


class KeysThatAreOff:
    """Refuses requests that are signed with an inactive access key of a user; moto takes any key."""

    def __init__(self, app: Callable[[dict[str, Any], StartResponse], Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the server, or refuse."""
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        _, _, credential = authorization.partition("Credential=")
        scope = credential.partition(",")[0].split("/")
        if scope[0] and _is_off(scope[0]):
            body, kind = _refusal(scope[3] if len(scope) > 3 else "", environ)  # noqa: PLR2004 - key/date/region/service
            start_response("403 Forbidden", [("Content-Type", kind), ("Content-Length", str(len(body)))])
            return [body]
        return self._app(environ, start_response)


def _is_off(key_id: str) -> bool:
    for regions in list(iam_backends.values()):
        for backend in list(regions.values()):
            for user in list(backend.users.values()):
                for key in user.access_keys:
                    if key.access_key_id == key_id:
                        return bool(key.status == "Inactive")
    return False


def _refusal(service: str, environ: dict[str, Any]) -> tuple[bytes, str]:
    """What each protocol answers (AWS General Reference, common errors)."""
    if "json" in environ.get("CONTENT_TYPE", "") or service == "lambda":
        error = {"__type": "UnrecognizedClientException", "message": "The security token included is invalid."}
        return json.dumps(error).encode(), "application/x-amz-json-1.1"
    if service == "ec2":
        return _xml("<Response><Errors><Error>{}</Error></Errors></Response>", "AuthFailure"), "text/xml"
    if service == "s3":
        return _xml("{}", "InvalidAccessKeyId", root="Error"), "application/xml"
    return _xml("<ErrorResponse><Error>{}</Error></ErrorResponse>", "InvalidClientTokenId"), "text/xml"


def _xml(frame: str, code: str, *, root: str = "") -> bytes:
    inner = f"<Code>{code}</Code><Message>The security token included in the request is invalid.</Message>"
    return frame.format(f"<{root}>{inner}</{root}>" if root else inner).encode()
