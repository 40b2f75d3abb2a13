"""What a witness is asked in each mode, and what its answer may count for."""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import get_args

from activities.contracts.host import IsolateOrder
from playbooks.isolation_modes import (
    ISOLATE_ALL,
    BlockPeer,
    BlockPort,
    EgressOnly,
    Isolate,
    Mode,
    Reach,
    Service,
)
from playbooks.proof import Aspect, Measurement, conclude
from segmentation.workloads import Workload
from tests.workflows.case import Case
from tests.workflows.cast import playbook
from workflows.proving import View, as_viewed, view_of


def host(name: str, number: int, *ports: int) -> Workload:
    addresses = (ip_address(f"10.77.0.{number}"), ip_address(f"fd77::{number}"))
    return Workload(workload_id=name, name=name, addresses=addresses, tcp_ports=ports)


WEB, APP, DB = host("web", 11, 22, 8000), host("app", 12, 8080), host("db", 13, 5432)
BLOCKED = BlockPeer(peers=(ip_network("10.77.0.12"), ip_network("fd77::12")))
ALLOWED = Isolate(allow=(Reach(peers=ip_network("10.77.0.12")), Reach(peers=ip_network("fd77::12"))))


def ports(view: View) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], bool]:
    return [t.tcp_ports for t in view.cut], [t.tcp_ports for t in view.stays], view.silent


def test_isolate_all_is_asked_of_every_witness_as_ever() -> None:
    assert ports(view_of(ISOLATE_ALL, WEB, APP)) == ([(22, 8000)] * 2, [], True)


def test_a_blocked_peer_measures_the_cut_and_others_that_they_still_get_through() -> None:
    assert ports(view_of(BLOCKED, WEB, APP)) == ([(22, 8000)] * 2, [], True)
    assert ports(view_of(BLOCKED, WEB, DB)) == ([], [(22, 8000)] * 2, True)


def test_a_peer_that_is_blocked_over_one_family_measures_that_one_alone() -> None:
    view = view_of(BlockPeer(peers=(ip_network("10.77.0.12"),)), WEB, APP)
    assert [str(t.address) for t in view.cut] == ["10.77.0.11"]
    assert [str(t.address) for t in view.stays] == ["fd77::11"]
    assert view.silent


def test_an_allowed_peer_measures_no_cut() -> None:
    assert ports(view_of(ALLOWED, WEB, APP)) == ([], [(22, 8000)] * 2, True)
    assert ports(view_of(ALLOWED, WEB, DB)) == ([(22, 8000)] * 2, [], True)


def test_where_some_ports_stay_silence_is_not_expected() -> None:
    ssh = Service(port=22, direction="in")
    narrow = Isolate(allow=(Reach(peers=ip_network("10.77.0.12"), service=ssh),))
    assert ports(view_of(BlockPort(services=(ssh,)), WEB, APP)) == ([(22,)] * 2, [(8000,)] * 2, False)
    assert ports(view_of(narrow, WEB, APP)) == ([(8000,), (22, 8000)], [(22,)], False)
    assert ports(view_of(EgressOnly(), WEB, APP)) == ([], [(22, 8000)] * 2, True)


def measured(aspect: Aspect) -> Measurement:
    return Measurement(
        aspect=aspect, result="cut", method="m", witness="app", subject="web", measured_at=datetime.now(UTC)
    )


def test_no_aspect_counts_that_the_view_can_not_tell() -> None:
    answers = tuple(measured(aspect) for aspect in get_args(Aspect))
    modes: list[tuple[Mode, set[str]]] = [
        (BLOCKED, set(get_args(Aspect))),
        (BlockPort(services=(Service(port=22),)), {"new", "bystander"}),
        (EgressOnly(), {"bystander"}),
        (ALLOWED, {"bystander"}),
    ]
    for mode, counted in modes:
        seen = as_viewed(answers, view_of(mode, WEB, APP))
        assert {m.aspect for m in seen} == counted
        if counted == {"bystander"}:
            assert conclude(seen).verdict == "unproven"


async def test_a_playbook_that_blocks_the_alerted_peer_orders_that_and_proves_it_from_there(case: Case) -> None:
    await case.play(playbook=playbook(contain={"mode": {"kind": "block-alerted-peer"}}))
    status = await case.target("isolated", proven=True)

    (order,) = [o for o in case.web.orders if isinstance(o, IsolateOrder)]
    peers = tuple(ip_network(address) for address in case.hosts["db"].addresses)
    assert order.intent.mode == BlockPeer(peers=peers)
    assert status.proof is not None
    cut = {m.witness for m in status.proof.measurements if m.aspect == "new"}
    assert cut == {case.hosts["db"].workload_id}
