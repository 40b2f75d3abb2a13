"""Our own objects, as they are planned, set and observed, and the pods that one of them is about.

What they say is in `playbooks.kubernetes.denials` and `playbooks.kubernetes.mesh`.
"""

from pydantic import Field, JsonValue

from playbooks.kubernetes.mechanisms import Api
from playbooks.kubernetes.observation import PolicySeen
from playbooks.kubernetes.selectors import in_words, is_everything
from segmentation.workloads import Frozen


class Scope(Frozen):
    """The pods of one namespace that a selector matches; an empty one matches all of them."""

    namespace: str
    selector: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def words(self) -> str:
        """For people."""
        where = f"namespace {self.namespace}"
        return f"every pod of {where}" if is_everything(self.selector) else f"pods {in_words(self.selector)} of {where}"


class OurObject(Frozen):
    """An object that we make."""

    api: Api
    kind: str
    namespace: str = ""
    name: str
    spec: dict[str, JsonValue]
    labels: dict[str, str]
    words: str
    essential: bool = True

    @property
    def resource(self) -> str:
        """As settings name it."""
        api = self.api
        return f"object/{api.group}/{api.version}/{api.plural}/{self.namespace or '-'}/{self.name}"

    @property
    def value(self) -> dict[str, JsonValue]:
        """As settings have it."""
        return {"kind": self.kind, "spec": self.spec, "labels": {**self.labels}}

    @property
    def seen(self) -> PolicySeen:
        """As it is observed once it is there."""
        return PolicySeen(
            group=self.api.group,
            version=self.api.version,
            resource=self.api.plural,
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            labels=self.labels,
            spec=self.spec,
        )

    def is_at(self, policy: PolicySeen) -> bool:
        """Whether that is this object, as it is or as somebody has edited it."""
        place = (policy.group, policy.resource, policy.namespace, policy.name)
        return place == (self.api.group, self.api.plural, self.namespace, self.name)
