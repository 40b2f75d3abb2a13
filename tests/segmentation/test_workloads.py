"""Workloads: found by name, else by address, and never by guessing."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from segmentation.references import resolve_reference
from segmentation.workloads import Inventory, Workload


def workload(name: str, *addresses: str, **more: Any) -> Workload:
    found = tuple(ip_address(address) for address in addresses)
    return Workload(workload_id=more.pop("workload_id", f"id-{name}"), name=name, addresses=found, **more)


WEB = workload("web", "10.77.0.11", "fd77::11")
APP = workload("app", "10.77.0.12")
DB = workload("db", "10.77.0.13", "10.77.0.12")
INVENTORY = Inventory(workloads=(WEB, APP, DB))


@pytest.mark.parametrize("name", ["web", "WEB", "id-web", "ID-WEB"])
def test_a_workload_is_found_by_name_or_id_in_any_case(name: str) -> None:
    assert INVENTORY.resolve((name,), ()) == (WEB,)


def test_a_name_wins_over_an_address_that_somebody_else_has() -> None:
    assert INVENTORY.resolve(("web",), ("10.77.0.13",)) == (WEB,)


@pytest.mark.parametrize("address", ["10.77.0.11", "fd77::11", "fd77:0:0::11"])
def test_without_a_name_an_address_finds_its_bearer(address: str) -> None:
    assert INVENTORY.resolve(("", "unknown"), (address,)) == (WEB,)


def test_a_shared_address_finds_all_who_bear_it() -> None:
    assert INVENTORY.resolve((), ("10.77.0.12",)) == (APP, DB)


@pytest.mark.parametrize(("names", "addresses"), [((), ()), (("",), ()), (("nobody",), ("10.9.9.9",)), (("we",), ())])
def test_nobody_is_found_by_nothing(names: tuple[str, ...], addresses: tuple[str, ...]) -> None:
    assert INVENTORY.resolve(names, addresses) == ()


def test_witnesses_are_the_hosts_that_no_target_is() -> None:
    pod = workload("pod", kind="pod")
    inventory = Inventory(workloads=(WEB, APP, pod))

    assert inventory.witnesses_of((WEB,)) == (APP,)
    assert inventory.witnesses_of((DB,)) == (WEB, APP)
    assert inventory.witnesses_of((WEB, APP)) == ()


def test_a_queue_is_of_the_host_or_of_whoever_holds_the_credentials() -> None:
    assert WEB.queue == "host.id-web"
    assert resolve_reference("k8s:prod/shop/pod/web-1", INVENTORY).queue == "kubernetes.prod"
    assert resolve_reference("aws:123456789012/eu-west-1/role/app", INVENTORY).queue == "aws"


@pytest.mark.parametrize("name", ["", "-web", "web-", "a b", "web/../etc", "web\n", "w" * 254, "wéb"])
def test_a_name_that_could_be_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        workload(name)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValidationError):
        workload("web", tcp_ports=(port,))


def test_a_workload_does_not_change_and_knows_no_other_field() -> None:
    with pytest.raises(ValidationError):
        WEB.name = "app"  # type: ignore[misc]  # that it can't is what is tested
    with pytest.raises(ValidationError):
        Workload.model_validate(WEB.model_dump() | {"colour": "red"})


octets = st.integers(1, 5).map(lambda n: f"10.0.0.{n}")
inventories = st.lists(st.lists(octets, max_size=3), max_size=5).map(
    lambda rows: Inventory(workloads=tuple(workload(f"h{n}", *row) for n, row in enumerate(rows)))
)


@given(inventory=inventories, names=st.lists(st.sampled_from(["h0", "H1", "id-h2", "x"])), addresses=st.lists(octets))
def test_whoever_is_found_was_named_or_bears_an_address(
    inventory: Inventory, names: list[str], addresses: list[str]
) -> None:
    wanted = {name.lower() for name in names}
    wanted_addresses = {ip_address(address) for address in addresses}
    found = inventory.resolve(names, addresses)

    named = [w for w in inventory.workloads if {w.name, w.workload_id} & wanted]
    if named:
        assert list(found) == named
    else:
        assert all(set(w.addresses) & wanted_addresses for w in found)
        assert all(w in found for w in inventory.workloads if set(w.addresses) & wanted_addresses)
