"""AWS as the kill-switch's platform: one account and region, opened for one incident.

Owns the look-up of who reads and writes an attribute, and the translation of errors. Never knows an attribute itself:
those are in `network`, `instances`, `identities` and `resources`.

    platform = AwsPlatform(account)
    platform.read(setting)   # -> ["sg-1"]
"""

from collections.abc import Callable, Mapping

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws import identities, instances, network, resources
from activities.aws.attributes import Account, Attribute, Attributes
from activities.aws.errors import code_of, translate, translated
from activities.killswitch.platform import Moment, PlatformRefused, TargetUnknown
from playbooks.aws.observation import AwsObservation
from playbooks.change import Setting
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload

Observer = Callable[[Account, Workload, PlatformIntent], AwsObservation]

ATTRIBUTES: Attributes = {
    **network.ATTRIBUTES,
    **instances.ATTRIBUTES,
    **identities.ATTRIBUTES,
    **resources.ATTRIBUTES,
}
OBSERVERS: Mapping[str, Observer] = {
    **network.OBSERVERS,
    **instances.OBSERVERS,
    **identities.OBSERVERS,
    **resources.OBSERVERS,
}


class AwsPlatform:
    """Reads and writes attributes with one incident's session."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def observe(self, target: Workload, intent: PlatformIntent) -> AwsObservation:
        """The target as it is now, with everything that a change could touch."""
        observer = OBSERVERS.get(target.kind)
        if observer is None:
            raise TargetUnknown(f"{target.name} is a {target.kind}: that is no target in AWS.")
        with translated(_where(target)):
            return observer(self.account, target, intent)

    def read(self, setting: Setting) -> JsonValue:
        """The attribute as it is now."""
        attribute, name = look_up(setting)
        with translated(setting.resource):
            return attribute.read(self.account, name)

    def write(self, setting: Setting, value: JsonValue, moment: Moment) -> None:
        """Set the attribute."""
        attribute, name = look_up(setting)
        with translated(setting.resource):
            attribute.write(self.account, name, value, moment)

    def refusal(self, setting: Setting, value: JsonValue) -> str:
        """What EC2's own dry run says against it; nothing where the API has none."""
        attribute, name = look_up(setting)
        if attribute.refusal is None:
            return ""
        try:
            return attribute.refusal(self.account, name, value)
        except ClientError as error:
            # EC2 answers a dry run with an error either way; this one means that it would have done it.
            if code_of(error) == "DryRunOperation":
                return ""
            said = translate(error, setting.resource)
            if said.retryable:
                raise said from error
            return said.summary


def look_up(setting: Setting) -> tuple[Attribute, str]:
    """Who reads and writes a setting, and the resource without its kind.

    Raises:
        PlatformRefused: nobody does.
    """
    kind, _, name = setting.resource.partition("/")
    stem, _, rest = setting.attribute.partition(".")
    attribute = ATTRIBUTES.get((kind, stem))
    if attribute is None:
        raise PlatformRefused(
            f"{setting.resource}: nothing here sets the attribute {setting.attribute}.",
            hint="The plan was made by another version; plan again.",
        )
    return attribute, f"{name}/{rest}" if rest else name


def _where(target: Workload) -> str:
    return f"{target.kind}/{target.aws.name if target.aws else target.name}"
