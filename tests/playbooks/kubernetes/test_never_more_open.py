"""Whatever policies a cluster has, containing a pod opens nothing, at no step, and doing it again changes nothing."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from playbooks.kubernetes.observation import KubernetesObservation, PodSeen, PolicySeen, SelectorSeen
from playbooks.kubernetes.reach import Policies
from tests.playbooks.kubernetes.cluster import applied, network_policy, plan, pod, seen, service
from tests.playbooks.kubernetes.flows import Flow, flows

SPACES = {"shop": {"team": "web"}, "data": {"team": "db"}}
KEYS = st.sampled_from(["app", "tier", "zone"])
VALUES = st.sampled_from(["web", "db"])
SELECTORS = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(KEYS, VALUES, max_size=2),
        "matchExpressions": st.lists(
            st.fixed_dictionaries(
                {
                    "key": KEYS,
                    "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
                    "values": st.lists(VALUES, min_size=1, max_size=2),
                }
            ),
            max_size=2,
        ),
    },
)
PEER: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"podSelector": SELECTORS}, optional={"namespaceSelector": st.sampled_from([{}])}
)
RULE = {"ports": st.lists(st.fixed_dictionaries({"port": st.sampled_from([80, 443])}), max_size=1)}
INGRESS = st.lists(st.fixed_dictionaries({"from": st.lists(PEER, max_size=2)}, optional=RULE), max_size=2)
EGRESS = st.lists(st.fixed_dictionaries({"to": st.lists(PEER, max_size=2)}, optional=RULE), max_size=2)
SPECS = st.fixed_dictionaries(
    {
        "podSelector": SELECTORS,
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        "ingress": INGRESS,
        "egress": EGRESS,
    }
)
POLICIES = st.lists(st.tuples(st.sampled_from(sorted(SPACES)), SPECS), max_size=5)
PODS = st.dictionaries(KEYS, VALUES, max_size=3)
LISTS = st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=2), max_size=2)


def in_cluster(target: dict[str, str], policies: list[Any], services: list[Any]) -> KubernetesObservation:
    return seen(
        pods=(pod(labels=target),),
        namespaces=SPACES,
        policies=tuple(network_policy(f"p{n}", space, **spec) for n, (space, spec) in enumerate(policies)),
        selectors=tuple(service(f"s{n}", **labels) for n, labels in enumerate(services)),
    )


def peers_of(labels: list[dict[str, str]]) -> list[PodSeen]:
    return [pod(f"peer-{n}", sorted(SPACES)[n % 2], labels=found) for n, found in enumerate(labels)]


def let_through(observation: KubernetesObservation, peers: list[PodSeen]) -> set[Flow]:
    return flows(observation.pods[0], peers, observation.policies, SPACES)


# Leaving `app=web` would bring the pod in where a peer takes in all but `app=web`, on the way that a policy of every
# pod keeps open.
BY_EXCLUSION = [
    ("shop", {"podSelector": {}, "policyTypes": ["Egress"], "ingress": [], "egress": [{"to": []}]}),
    (
        "data",
        {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "egress": [],
            "ingress": [
                {
                    "from": [
                        {
                            "namespaceSelector": {},
                            "podSelector": {
                                "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]
                            },
                        }
                    ]
                }
            ],
        },
    ),
]


@settings(max_examples=100)
@given(PODS, st.lists(PODS, min_size=1, max_size=4), POLICIES, LISTS)
@example({"app": "web"}, [{"app": "db"}], BY_EXCLUSION, [{"app": "web"}])
def test_no_setting_lets_a_flow_through_that_was_not_before(
    target: dict[str, str], labels: list[dict[str, str]], policies: list[Any], services: list[dict[str, str]]
) -> None:
    observation, peers = in_cluster(target, policies, services), peers_of(labels)
    before = let_through(observation, peers)
    for setting in plan(observation).settings:
        observation = applied(observation, setting)
        now = let_through(observation, peers)
        assert now <= before, setting.words
        before = now


@settings(max_examples=100)
@given(PODS, st.lists(PODS, min_size=1, max_size=4), POLICIES, LISTS)
def test_what_the_plan_does_not_name_as_left_open_is_cut(
    target: dict[str, str], labels: list[dict[str, str]], policies: list[Any], services: list[dict[str, str]]
) -> None:
    observation = in_cluster(target, policies, services)
    change = plan(observation)
    contained = applied(observation, *change.settings)
    named = {policy.name for policy in contained.policies if any(f"/{policy.name} lets" in w for w in change.cannot)}
    unnamed = tuple(policy for policy in contained.policies if policy.name not in named)
    assert let_through(contained.model_copy(update={"policies": unnamed}), peers_of(labels)) == set()


@settings(max_examples=100)
@given(PODS, POLICIES, LISTS)
def test_a_second_plan_is_empty(target: dict[str, str], policies: list[Any], services: list[dict[str, str]]) -> None:
    observation = in_cluster(target, policies, services)
    change = plan(observation)
    assert not change.empty
    assert plan(applied(observation, *change.settings)).empty


@settings(max_examples=60)
@given(PODS, POLICIES, LISTS)
def test_the_way_back_ends_where_it_began(
    target: dict[str, str], policies: list[Any], services: list[dict[str, str]]
) -> None:
    observation = in_cluster(target, policies, services)
    change = plan(observation)
    back = applied(applied(observation, *change.settings), *change.inverse().settings)
    assert back == observation


@settings(max_examples=100)
@given(PODS, st.lists(PODS, min_size=1, max_size=4), POLICIES)
def test_reach_leaves_out_nothing_that_gets_through(
    target: dict[str, str], labels: list[dict[str, str]], policies: list[Any]
) -> None:
    observation = in_cluster(target, policies, [])
    reach = Policies(observation.policies, SPACES).reach(observation.pods[0])
    through = let_through(observation, peers_of(labels))
    assert not reach.ingress.closed or not {flow for flow in through if flow.destination == "web-1"}
    assert not reach.egress.closed or not {flow for flow in through if flow.source == "web-1"}


def test_labels_that_nobody_selects_by_are_kept() -> None:
    observation = in_cluster({"app": "web", "zone": "a"}, [], [{"app": "web"}])
    [*_, labels] = plan(observation).settings
    assert labels.after == {"zone": "a", "firebreak.dev/quarantine": "inc-4f1e"}


def test_a_label_is_kept_whose_loss_would_bring_the_pod_into_a_policy() -> None:
    everybody_else = network_policy(
        "all-but-web",
        podSelector={"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
        policyTypes=["Ingress"],
        ingress=[{}],
    )
    web: SelectorSeen = service("web", app="web")
    policies: tuple[PolicySeen, ...] = (everybody_else,)
    change = plan(seen(pods=(pod(labels={"app": "web"}),), policies=policies, selectors=(web,)))
    assert change.settings[-1].after == {"app": "web", "firebreak.dev/quarantine": "inc-4f1e"}
    assert any("Service shop/web goes on listing" in words for words in change.stays)
