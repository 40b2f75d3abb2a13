"""Evidence of targets on a platform: by its own worker, and by the agents of the nodes that its pods run on."""

from ipaddress import ip_address

import pytest

from activities.contracts.incident import IncidentSnapshot
from activities.contracts.platform_evidence import PodsOfNode
from playbooks.forensics import ForensicsSpec
from segmentation.errors import FirebreakError
from tests.workflows.case import Case
from tests.workflows.cast import playbook
from tests.workflows.platforms import FakeCluster

FORENSICS = {"capture_seconds": 1, "collect": ["sockets"], "budget_seconds": 7, "tlp": "RED"}


@pytest.fixture
def cluster(case: Case) -> FakeCluster:
    return FakeCluster(case.incident_id)


def on(node: str) -> tuple[PodsOfNode, ...]:
    return (PodsOfNode(node=node, pods=("shop/web-1",), addresses=(ip_address("10.1.0.7"),)),)


async def collected(case: Case, cluster: FakeCluster, *hosts: str) -> IncidentSnapshot:
    targets = (*(case.hosts[name] for name in hosts), cluster.pod("web-1"))
    await case.serve(cluster)
    await case.play(targets=targets, playbook=playbook(forensics=FORENSICS, contain={"max_targets": 2}))
    await case.desk.until(lambda _: "evidence-collected" in case.desk.kinds)
    return case.desk.snapshot


async def test_a_pods_worker_is_asked_for_every_collector_of_the_playbook(case: Case, cluster: FakeCluster) -> None:
    snapshot = await collected(case, cluster)

    asked = {name for order in cluster.ordered for name in order.kubernetes}
    assert asked == set(ForensicsSpec().kubernetes)
    assert {order.budget_seconds for order in cluster.ordered} == {7}
    assert {item.source.kind for item in snapshot.evidence} == {"kubernetes"}
    registered = [one for one in case.desk.registered if one.collector.startswith("worker:")]
    assert {one.collector for one in registered} == {f"worker:{cluster.pod('web-1').queue}"}
    assert {one.tlp for one in registered} == {"RED"}


async def test_packets_of_a_pod_are_captured_by_the_agent_of_its_node(case: Case, cluster: FakeCluster) -> None:
    cluster.nodes = on(case.hosts["app"].name)
    await collected(case, cluster)

    collectors = {one.collector for one in case.desk.registered}
    assert f"agent:{case.hosts['app'].name}" in collectors
    assert not [item for one in case.desk.registered for item in one.items if item.outcome.state == "missing"]


async def test_a_node_without_an_agent_leaves_an_item_that_says_what_is_missing(
    case: Case, cluster: FakeCluster
) -> None:
    cluster.nodes = on("n1")
    snapshot = await collected(case, cluster)

    (missing,) = [item for item in snapshot.evidence if item.kind == "packets"]
    assert missing.outcome.state == "missing"
    assert missing.outcome.reason.startswith("packets of shop/web-1 (10.1.0.7) on node n1: no host with an agent")


async def test_a_platform_that_refuses_costs_the_host_beside_it_nothing(case: Case, cluster: FakeCluster) -> None:
    cluster.troubles["collect"] = FirebreakError("no cluster of that name is served here")
    snapshot = await collected(case, cluster, "web")

    assert {item.source.kind for item in snapshot.evidence} == {"host"}
    assert any("no cluster of that name" in said for said in case.desk.said("forensics-problem"))
