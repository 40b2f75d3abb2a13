"""Whether a pod is really cut, by np-guard's analyzer over the cluster's objects: it shares no line with us."""

import pytest

from activities.contracts.killswitch import Applied
from activities.killswitch import engine
from activities.kubernetes.platform import KubernetesPlatform
from playbooks.change import PlatformChange
from playbooks.kubernetes.plan import plan_kubernetes
from tests.activities.kubernetes.making import MOMENT, POLICIES, Ground, intent, workload
from tests.judge import connects, of_cluster


@pytest.fixture
def shop(ground: Ground) -> Ground:
    """Two pods that may talk because a policy of the shop's own allows it, and a third."""
    for name in ("web", "client", "db"):
        ground.pod(name, {"app": name})
    web = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"]}
    client = {"podSelector": {"matchLabels": {"app": "client"}}}
    ground.policy("allow-web", {**web, "ingress": [{"from": [client]}], "egress": [{"to": [client]}]})
    return ground


def contained(platform: KubernetesPlatform, ground: Ground) -> tuple[PlatformChange, Applied]:
    target = workload("Pod", "web", ground.name)
    wanted = intent(target, mechanism="network-policy")
    change = plan_kubernetes(platform.observe(target, wanted), wanted)
    return change, engine.apply(platform, change, MOMENT)


def test_a_denial_alone_cuts_nothing_that_another_policy_allows_and_our_change_cuts_it(
    platform: KubernetesPlatform, shop: Ground
) -> None:
    web, client, db = (f"{shop.name}/{name}" for name in ("web", "client", "db"))
    before = of_cluster(shop.cluster, shop.name)
    shop.policy("naive-denial", {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"]})
    naive = of_cluster(shop.cluster, shop.name)
    assert connects(naive, client, web)
    assert connects(naive, web, client)
    shop.delete("networkpolicies", "naive-denial", POLICIES)
    change, _ = contained(platform, shop)
    cut = of_cluster(shop.cluster, shop.name)
    assert not [one for one in cut if web in (one.source, one.destination) and one.source != one.destination]
    assert connects(cut, client, db)
    assert engine.release(platform, change, MOMENT, overwrite=False).restored
    assert of_cluster(shop.cluster, shop.name) == before


def test_a_pod_whose_labels_somebody_holds_on_to_stays_cut_until_people_decide(
    platform: KubernetesPlatform, shop: Ground
) -> None:
    web, client = f"{shop.name}/web", f"{shop.name}/client"
    change, _ = contained(platform, shop)
    shop.edit("pods", "web", {"metadata": {"labels": {"debug": "yes"}}})
    let_go = engine.release(platform, change, MOMENT, overwrite=False)
    assert [drift.resource.partition("/")[0] for drift in let_go.drift] == ["pod", "object"]
    assert "stays" in let_go.drift[1].words
    assert not connects(of_cluster(shop.cluster, shop.name), web, f"{shop.name}/db")
    assert engine.release(platform, change, MOMENT, overwrite=True).restored
    assert connects(of_cluster(shop.cluster, shop.name), client, web)


def test_what_is_left_of_a_pod_that_is_gone_is_taken_away(platform: KubernetesPlatform, shop: Ground) -> None:
    change, _ = contained(platform, shop)
    shop.delete("pods", "web")
    let_go = engine.release(platform, change, MOMENT, overwrite=True)
    assert ["is gone" in drift.words for drift in let_go.drift] == [True]
    assert shop.names("networkpolicies", POLICIES) == {"allow-web"}
