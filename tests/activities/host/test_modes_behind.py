"""What passes through a host, routed, translated or bridged, is cut as the mode says."""

from collections.abc import Iterator

import pytest

from lab.network import Lab
from lab.waiting import wait_until
from playbooks.host_isolation import plan_isolation
from playbooks.isolation_modes import ISOLATE_ALL, BlockPeer, BlockPort, EgressOnly, Mode, Service
from tests.activities.host.agents import Agent
from tests.activities.host.behind import BRIDGED, ROUTED, Held, bridged, held, routed
from tests.activities.host.test_modes import allowing, isolate, networks, open_policy

__all__ = ["open_policy"]
PORT = 9400


@pytest.fixture
def published(lab: Lab) -> Iterator[None]:
    """Port 9500 of web leads to the container behind it."""
    rule = f"add rule ip published prerouting tcp dport 9500 dnat to {ROUTED}:{PORT}"
    chain = "add chain ip published prerouting { type nat hook prerouting priority dstnat; }"
    lab["web"].run(["nft", "-f", "-"], stdin=f"add table ip published\n{chain}\n{rule}\n")
    yield
    lab["web"].run(["nft", "delete", "table", "ip", "published"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("isolate-all", (False, False)),
        ("block-peer", (False, True)),
        ("isolate", (True, False)),
        ("block-port", (False, False)),
        ("other-port", (True, True)),
        ("egress-only", (False, False)),
    ],
)
def test_a_routed_session_is_cut_where_it_is_named_and_alive_elsewhere(
    lab: Lab, web: Agent, kind: str, expected: tuple[bool, bool]
) -> None:
    modes: dict[str, Mode] = {
        "isolate-all": ISOLATE_ALL,
        "block-peer": BlockPeer(peers=networks(lab["app"])),
        "isolate": allowing(lab["app"]),
        "block-port": BlockPort(services=(Service(port=PORT),)),
        "other-port": BlockPort(services=(Service(port=PORT + 1),)),
        "egress-only": EgressOnly(),
    }
    app, db = lab["app"], lab["db"]
    with (
        routed(lab, "web") as inner,
        held(lambda: Held(inner, app.namespace, app.ipv4, PORT)) as to_app,
        held(lambda: Held(db.namespace, inner, ROUTED, PORT)) as from_db,
    ):
        done = isolate(web, modes[kind])
        assert (to_app.passes(), from_db.passes()) == expected
        web.release(done)


def test_egress_only_leaves_a_published_container_reachable(lab: Lab, web: Agent, published: None) -> None:
    app = lab["app"]
    with (
        routed(lab, "web") as inner,
        held(lambda: Held(app.namespace, inner, lab["web"].ipv4, 9500, bound=ROUTED, at=PORT)) as inwards,
        held(lambda: Held(inner, app.namespace, app.ipv4, PORT)) as outwards,
    ):
        done = isolate(web, EgressOnly())
        assert (inwards.passes(), outwards.passes()) == (True, False)
        web.release(done)


def test_bridged_traffic_is_cut_by_isolate_all_and_by_nothing_narrower(lab: Lab, web: Agent) -> None:
    assert web.observe().bridges == ()
    with bridged(lab, "web") as (left, right), held(lambda: Held(left, right, BRIDGED[1], PORT)) as session:
        assert web.observe().bridges == ("br7",)
        narrow = isolate(web, EgressOnly())
        assert session.passes()
        web.release(narrow)
        done = isolate(web, ISOLATE_ALL)
        assert not session.passes()
        assert "drop frames bridged by br7" in done.change.summary
        assert web.release(done).restored
    assert web.observe().bridges == ()


def test_the_bridge_table_cuts_alone_is_renewed_and_lets_go(lab: Lab, web: Agent) -> None:
    with bridged(lab, "web") as (left, right), held(lambda: Held(left, right, BRIDGED[1], PORT)) as session:
        done = web.isolate(web.intent(lease=60))
        assert web.ruleset().holds(done.change)
        web.host.run(["nft", "delete", "table", "netdev", done.change.table])
        web.host.run(["nft", "delete", "table", "inet", done.change.table])
        assert not session.passes()
        renewed = web.renew(done.change, 60)
        assert not renewed.standing
        assert web.ruleset().holds(done.change)
        web.release(done)
        # TCP tries again ever more slowly while nothing gets through.
        wait_until(session.passes, 10, "the session after its release")
        brief = plan_isolation(web.observe(), web.intent(lease=1))
        of_bridge = [c for c in brief.commands if "bridge" in str(c)]
        web.inside(lambda: web.nft.apply(of_bridge))
        assert not session.passes()
        wait_until(session.passes, 10, "the dead-man to let go")
