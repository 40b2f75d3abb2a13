"""A platform in memory, under the product's own engine and planners: its attributes are kept in a dictionary.

The real platforms have their own tests against real servers. Here it is what workflows do with the verbs.
"""

import threading
from collections import Counter

from pydantic import JsonValue
from temporalio import activity

from activities.contracts.evidence import Acquisition, CollectedItem, Outcome, Source
from activities.contracts.killswitch import PlatformObservation
from activities.contracts.platform_evidence import CollectPlatformOrder, PlatformCollected, PodsOfNode
from activities.killswitch.platform import Moment
from playbooks.change import LET_GO, Setting
from playbooks.kubernetes.observation import ClusterFacts, KubernetesObservation, PodSeen
from playbooks.platform_intent import PlatformIntent
from segmentation.errors import FirebreakError
from segmentation.references import pod
from segmentation.workloads import Workload

LABELS = {"app": "shop"}


class FakeCluster:
    """One cluster without any policy; `values` are the attributes of its objects as somebody has set them."""

    def __init__(self, mark: str, **labels: str) -> None:
        self.name = f"lab-{mark}"
        self.labels = LABELS | labels
        self.values: dict[tuple[str, str], JsonValue] = {}
        self.troubles: dict[str, FirebreakError] = {}
        # By the beginning of a resource: what becomes of a write to it.
        self.refuses: dict[str, FirebreakError] = {}
        self.writes = 0
        self.ordered: list[CollectPlatformOrder] = []
        self.nodes: tuple[PodsOfNode, ...] = ()
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def pod(self, name: str) -> Workload:
        """A pod of it, as an alert names it."""
        return pod(self.name, "shop", name)

    @property
    def isolated(self) -> bool:
        """Whether anything of ours stands."""
        return any(value is not None for (resource, _), value in self.values.items() if resource.startswith("object/"))

    def open(self, target: Workload, incident_id: str) -> "FakeCluster":
        """It has one set of credentials for all."""
        return self

    def observe(self, target: Workload, intent: PlatformIntent) -> PlatformObservation:
        """The pod, with nothing around it."""
        self._called("observe")
        assert target.kubernetes is not None
        name = target.kubernetes.name
        labels = self.values.get((f"pod/shop/{name}", "labels"), self.labels)
        assert isinstance(labels, dict)
        plain = {key: str(value) for key, value in labels.items()}
        return KubernetesObservation(
            target_id=target.workload_id,
            reference=target.kubernetes,
            facts=ClusterFacts(version="v1.34.4", apis=("networking.k8s.io/v1/networkpolicies",)),
            labels=plain,
            uid=f"uid-{name}",
            pods=(PodSeen(namespace="shop", name=name, uid=f"uid-{name}", labels=plain),),
            namespaces={"shop": {"kubernetes.io/metadata.name": "shop"}},
        )

    def read(self, setting: Setting) -> JsonValue:
        """What somebody has set, else what was planned from."""
        self._called("read")
        return self.values.get(setting.place, setting.before)

    def write(self, setting: Setting, value: JsonValue, moment: Moment) -> None:
        """Keep it; what is shared is held by nobody else here, so that there is nothing to let go beside its value."""
        self._called("write")
        if setting.shared and (value == LET_GO or value == self.values.get(setting.place, setting.before)):
            return
        for beginning, error in self.refuses.items():
            if setting.resource.startswith(beginning):
                raise error
        with self._lock:
            self.values[setting.place] = value
            self.writes += 1

    def refusal(self, setting: Setting, value: JsonValue) -> str:
        """It says nothing against anything."""
        self._called("refusal")
        return ""

    @activity.defn(name="collect_from_platform")
    def collect_from_platform(self, order: CollectPlatformOrder) -> PlatformCollected:
        """One item for each collector, and the nodes on which its pods run."""
        self.ordered.append(order)
        self._called("collect")
        return PlatformCollected(
            items=tuple(_item(order, name) for name in order.kubernetes),
            nodes=self.nodes if "node-capture" in order.kubernetes else (),
        )

    def _called(self, verb: str) -> None:
        with self._lock:
            self.calls[verb] += 1
        if verb in self.troubles:
            raise self.troubles[verb]


def _item(order: CollectPlatformOrder, collector: str) -> CollectedItem:
    return CollectedItem(
        evidence_id=f"worker-tests.{order.target.name}.{collector}",
        kind="kubernetes",
        name=f"{collector}.json",
        media_type="application/json",
        outcome=Outcome(state="empty"),
        source=Source(kind="kubernetes", resource_id=order.target.workload_id, host=order.target.name),
        acquisition=Acquisition(tool="tests", started=order.since, ended=order.since),
        volatility_rank=3,
    )
