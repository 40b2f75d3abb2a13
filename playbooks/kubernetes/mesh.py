"""Denials in an Istio mesh, beside those of the network: never alone, an intruder can step around its own sidecar.

Owns which AuthorizationPolicies are made. Istio asks CUSTOM first, then DENY, then ALLOW: a DENY holds whatever else is
allowed.
https://istio.io/latest/docs/reference/config/security/authorization-policy/
"""

from collections.abc import Iterable

from pydantic import JsonValue

from playbooks.kubernetes.draft import Draft, beside
from playbooks.kubernetes.marks import marked
from playbooks.kubernetes.mechanisms import Api, api_of
from playbooks.kubernetes.objects import OurObject, Scope
from playbooks.kubernetes.observation import KubernetesObservation, PodSeen
from playbooks.kubernetes.settings import present

ROOT_NAMESPACE = "istio-system"
_SHARED = "default"


def plan_mesh(
    observation: KubernetesObservation, incident_id: str, name: str, scope: Scope, pods: Iterable[PodSeen]
) -> Draft:
    """What a mesh adds: the workload refuses everybody, and its peers refuse its principal."""
    api = api_of(observation.facts, "security.istio.io", "authorizationpolicies")
    if api is None or "istio" not in observation.facts.mesh:
        return beside()
    inbound, cannot = _inbound(api, incident_id, name, scope)
    sources, shared = _sources(scope, pods)
    if shared:
        account = f"{scope.namespace}/{_SHARED}"
        cannot += [f"in the mesh, peers go on accepting {account}: every pod without an account of its own has it"]
    peers = None
    if sources and ROOT_NAMESPACE in observation.namespaces:
        peers = _policy(
            api,
            incident_id,
            (ROOT_NAMESPACE, f"{name}-peers"),
            {"rules": [{"from": [{"source": source}]} for source in sources]},
            f"an AuthorizationPolicy by which every workload of the mesh refuses {_words(sources)}",
        )
    elif sources:
        cannot += [f"in the mesh, peers go on accepting its principal: its root namespace is not {ROOT_NAMESPACE}"]
    objects = [found for found in (inbound, peers) if found is not None]
    cuts = [f"in the mesh, requests of {_words(sources)}, whichever pod sends them"] if peers else []
    return beside([present(found, observation.policies) for found in objects], cannot=cannot, cuts=cuts)


def _inbound(api: Api, incident_id: str, name: str, scope: Scope) -> tuple[OurObject | None, list[str]]:
    if scope.selector.get("matchExpressions"):
        return None, ["in the mesh, requests to it are not denied: Istio selects by matchLabels alone"]
    selector: dict[str, JsonValue] = {"selector": scope.selector} if scope.selector else {}
    words = f"an AuthorizationPolicy by which {scope.words} refuses every request"
    return _policy(api, incident_id, (scope.namespace, name), selector | {"rules": [{}]}, words), []


def _sources(scope: Scope, pods: Iterable[PodSeen]) -> tuple[list[dict[str, JsonValue]], bool]:
    """Whom peers are to refuse, and whether a principal was left out for being shared with others."""
    if not scope.selector:
        return [{"namespaces": [scope.namespace]}], False
    accounts = sorted({pod.service_account for pod in pods})
    # The trust domain is the mesh's own affair: the principal is matched by its end.
    principals: list[JsonValue] = [f"*/ns/{scope.namespace}/sa/{name}" for name in accounts if name != _SHARED]
    return ([{"principals": principals}] if principals else []), _SHARED in accounts


def _policy(api: Api, incident_id: str, place: tuple[str, str], spec: dict[str, JsonValue], words: str) -> OurObject:
    return OurObject(
        api=api,
        kind="AuthorizationPolicy",
        namespace=place[0],
        name=place[1],
        spec={"action": "DENY", **spec},
        labels=marked(incident_id),
        words=words,
        essential=False,
    )


def _words(sources: list[dict[str, JsonValue]]) -> str:
    named = [str(name) for source in sources for names in source.values() if isinstance(names, list) for name in names]
    return ", ".join(named)
