"""On which nodes the pods run, and by which addresses: whose packets a node's agent can capture.

Owns the collector `node-capture`. Never captures: the workflow gives the order to the node's agent, if it has one.
"""

from collections import defaultdict
from collections.abc import Iterator

from activities.contracts.platform_evidence import PodsOfNode
from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Scene, name_of
from activities.kubernetes.seen import pod_seen

PERMISSIONS: tuple[str, ...] = ()


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document; the nodes beside it are what the workflow goes by."""
    draft = Draft()
    nodes = tuple(draft.part("nodes", lambda: _nodes(scene.pods(draft))) or ())
    if scene.reference.resource == "Node" and not nodes:
        nodes = (PodsOfNode(node=scene.reference.name, pods=()),)
    draft.parts["nodes"] = [node.model_dump(mode="json") for node in nodes]
    if not nodes:
        draft.missing = "no pod of it runs on a node"
    task.tell(f"{len(nodes)} nodes")
    yield draft.found("node-capture", scene.asked, nodes=nodes)


def _nodes(pods: list[Raw]) -> list[PodsOfNode]:
    by_node: dict[str, list[Raw]] = defaultdict(list)
    for pod in pods:
        if node := pod["spec"].get("nodeName"):
            by_node[node].append(pod)
    return [
        PodsOfNode(
            node=node,
            pods=tuple(name_of(pod) for pod in there),
            addresses=tuple(address for pod in there for address in pod_seen(pod).addresses),
        )
        for node, there in sorted(by_node.items())
    ]
