"""Planning for a node: no new pods there, and its own network cut where the CNI holds hosts.

Owns what of a node stays open so that the lease can end: the API server, by which the CNI's agent learns of a release,
and DNS, by which a node may find it. Pods on the node have a network of their own, and are targets of their own.
https://docs.cilium.io/en/latest/security/policy/host/, https://docs.tigera.io/calico/latest/network-policy/hosts/
"""

from collections.abc import Iterator

from pydantic import JsonValue

from playbooks.kubernetes import calico_policies
from playbooks.kubernetes.denials import Making, calico
from playbooks.kubernetes.draft import Draft, beside, named
from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.held import refuse_held_node
from playbooks.kubernetes.marks import INCIDENT, marked, name_of, quarantine
from playbooks.kubernetes.mechanisms import api_of
from playbooks.kubernetes.objects import OurObject
from playbooks.kubernetes.observation import KubernetesObservation, NodeSeen, PolicySeen
from playbooks.kubernetes.readings import title
from playbooks.kubernetes.settings import cordoned, node_labels, present
from playbooks.platform_intent import PlatformIntent

_HOST_NAME = "kubernetes.io/hostname"
_DNS: list[JsonValue] = [{"port": "53", "protocol": "UDP"}, {"port": "53", "protocol": "TCP"}]
_UNPROVEN = "connections of the node that are established may go on: only a probe tells"


def plan_node(observation: KubernetesObservation, intent: PlatformIntent) -> Draft:
    """What cuts a node off.

    Raises:
        TargetGone: there is no such node.
        TargetHeld: another incident holds it.
    """
    node = next((seen for seen in observation.nodes if seen.name == observation.reference.name), None)
    if node is None:
        raise TargetGone(f"Node {observation.reference.name} was not seen.", hint="It has left the cluster.")
    refuse_held_node(observation, intent.incident_id)
    network = _by_cilium(observation, intent, node) or _by_calico(observation, intent, node) or _by_host(node)
    on_host = [pod for pod in observation.pods if pod.host_network]
    others = [pod for pod in observation.pods if not pod.host_network]
    stays = [f"{named(others)} keep their own network: each is a target of its own"] if others else []
    cuts = [f"{named(on_host)}, on the node's own network"] if on_host and network.cuts else []
    return network + beside([cordoned(node, essential=True)], stays=stays, cuts=cuts)


def _by_cilium(observation: KubernetesObservation, intent: PlatformIntent, node: NodeSeen) -> Draft | None:
    facts = observation.facts
    api = api_of(facts, "cilium.io", "ciliumclusterwidenetworkpolicies")
    wanted = intent.kubernetes.mechanism in ("auto", "cilium") and "cilium" in facts.cni
    if api is None or not wanted or "cilium-host-firewall" not in facts.features:
        return None
    # A denial beats every permission, the lifeline's too: so the node is left without permissions instead.
    allowed: list[JsonValue] = [
        {"toEntities": ["kube-apiserver"]},
        {"toEntities": ["all"], "toPorts": [{"ports": _DNS}]},
    ]
    policy = OurObject(
        api=api,
        kind="CiliumClusterwideNetworkPolicy",
        name=name_of(intent),
        spec={
            "nodeSelector": {"matchLabels": {**quarantine(intent.incident_id)}},
            "ingress": [{"fromEntities": ["kube-apiserver"]}],
            "egress": allowed,
        },
        labels=marked(intent.incident_id),
        words=f"a host policy that leaves node {node.name} the API server and DNS",
    )
    # Cilium leaves labels of `kubernetes.io` out of a host's identity: it is selected by one of ours.
    labels = {**node.labels, **quarantine(intent.incident_id)}
    marking = node_labels(node, labels, f"label node {node.name}, so that the host policy selects it")
    return Draft("cilium-host-policy", "Cilium runs with its host firewall on") + beside(
        [present(policy, observation.policies), marking],
        cuts=[f"node {node.name}: everything but the API server and DNS, as far as no other host policy permits it"],
        stays=["the node reaches the API server, and DNS on any address: else it could not learn of its release"],
        cannot=[*_other_host_policies(observation.policies), _UNPROVEN],
    )


def _other_host_policies(policies: tuple[PolicySeen, ...]) -> Iterator[str]:
    others = (p for p in policies if p.resource == "ciliumclusterwidenetworkpolicies" and INCIDENT not in p.labels)
    for policy in others:
        if "nodeSelector" in policy.spec and (policy.spec.get("ingress") or policy.spec.get("egress")):
            yield f"what {title(policy)} permits hosts, where it selects this node: permissions add up"


def _by_calico(observation: KubernetesObservation, intent: PlatformIntent, node: NodeSeen) -> Draft | None:
    if intent.kubernetes.mechanism not in ("auto", "calico") or "calico" not in observation.facts.cni:
        return None
    endpoint = next((policy for policy in observation.policies if _is_endpoint(policy, node)), None)
    groups = (api_of(observation.facts, group, "globalnetworkpolicies") for group in calico_policies.GROUPS)
    api = next((found for found in groups if found is not None), None)
    if endpoint is None or api is None:
        return None
    tiered = api_of(observation.facts, api.group, "tiers") is not None
    selector = f"{_HOST_NAME} == '{endpoint.labels[_HOST_NAME]}' && !has(projectcalico.org/namespace)"
    words = f"the host endpoint of node {node.name}, but for the API server and DNS"
    making = Making(intent.incident_id, name_of(intent), observation.policies, tiered)
    objects = calico(api, selector, words, making, _lifeline())
    return Draft("calico-host-endpoint", f"Calico runs and has {title(endpoint)} for it") + beside(
        [present(object_, observation.policies) for object_ in objects],
        cuts=[f"node {node.name}: everything but the API server, DNS and Calico's fail-safe ports"],
        stays=["the node reaches the API server, and DNS on any address: else it could not learn of its release"],
        cannot=[
            "Calico's fail-safe ports, among them SSH inbound, BGP and etcd: FelixConfiguration has the list",
            _UNPROVEN,
        ],
    )


def _is_endpoint(policy: PolicySeen, node: NodeSeen) -> bool:
    # A policy selects endpoints by their labels: one without the host's name can't be told from the others.
    return policy.resource == "hostendpoints" and policy.spec.get("node") == node.name and _HOST_NAME in policy.labels


def _lifeline() -> Iterator[dict[str, JsonValue]]:
    api_server: JsonValue = {"services": {"name": "kubernetes", "namespace": "default"}}
    yield {"action": "Allow", "destination": api_server, "source": {}}
    for protocol in ("UDP", "TCP"):
        yield {"action": "Allow", "protocol": protocol, "destination": {"ports": [53]}, "source": {}}


def _by_host(node: NodeSeen) -> Draft:
    machine = f"machine id {node.machine_id}" if node.machine_id else "its machine id was not seen"
    return Draft("cordon", "the cluster has no policy that holds a node's own network") + beside(
        cannot=[f"the network of node {node.name}: use the kill-switch of its host, with the agent there ({machine})"]
    )
