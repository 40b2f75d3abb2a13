"""On which nodes the pods run, and by which addresses: whose packets a node's agent can capture.

Owns the collector `node-capture`. Never captures: the workflow gives the order to the node's agent, if it has one.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from activities.contracts.platform_evidence import MAX_NODES, MAX_PODS, PodsOfNode
from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Scene, name_of
from activities.kubernetes.seen import pod_seen
from segmentation.bounds import few

PERMISSIONS: tuple[str, ...] = ()


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document; the nodes beside it are what the workflow goes by."""
    draft = Draft()
    nodes = tuple(draft.part("nodes", lambda: _nodes(scene.pods(draft))) or ())
    if scene.reference.resource == "Node" and not nodes:
        nodes = (_Node(scene.reference.name),)
    draft.parts["nodes"] = [node.document for node in nodes]
    if not nodes:
        draft.missing = "no pod of it runs on a node"
    task.tell(f"{len(nodes)} nodes")
    if len(nodes) > MAX_NODES:
        draft.cut.append(f"of {len(nodes)} nodes the first {MAX_NODES} can be captured")
    yield draft.found("node-capture", scene.asked, nodes=tuple(map(_told, nodes[:MAX_NODES])))


@dataclass(frozen=True)
class _Node:
    """Every pod of a target on one node."""

    name: str
    pods: tuple[str, ...] = ()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()

    @property
    def document(self) -> Raw:
        return {"node": self.name, "pods": list(self.pods), "addresses": list(map(str, self.addresses))}


def _told(node: _Node) -> PodsOfNode:
    return PodsOfNode(node=node.name, pods=few(node.pods, MAX_PODS), addresses=node.addresses[:MAX_PODS])


def _nodes(pods: list[Raw]) -> list[_Node]:
    by_node: dict[str, list[Raw]] = defaultdict(list)
    for pod in pods:
        if node := pod["spec"].get("nodeName"):
            by_node[node].append(pod)
    return [
        _Node(
            name=node,
            pods=tuple(name_of(pod) for pod in there),
            addresses=tuple(address for pod in there for address in pod_seen(pod).addresses),
        )
        for node, there in sorted(by_node.items())
    ]
