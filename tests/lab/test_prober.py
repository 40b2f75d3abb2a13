import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.errors import LabError
from lab.host import LabHost
from lab.network import Lab
from lab.prober import Cut, Prober
from lab.waiting import wait_until

pytestmark = pytest.mark.lab
PERIOD_NS = 1_000_000


@pytest.fixture(scope="module")
def prober(lab: Lab) -> Iterator[Prober]:
    with Prober(lab) as started:
        yield started


@contextmanager
def _dropping(host: LabHost, rule: str) -> Iterator[tuple[int, int]]:
    """A rule on the host's output; hands out the times before and after it was loaded."""
    table = f"table inet cut {{ chain output {{ type filter hook output priority -10; {rule} drop; }}; }}"
    before = time.time_ns()
    host.run(["nft", "-f", "-"], stdin=table)
    after = time.time_ns()
    try:
        yield before, after
    finally:
        host.run(["nft", "delete", "table", "inet", "cut"])


def _await_flow(prober: Prober) -> None:
    def flows() -> bool:
        return set(prober.report().blocked_since_ns.values()) == {None}

    wait_until(flows, 5, "every stream to flow")


def test_packets_flow_at_their_rate_and_nothing_is_cut(prober: Prober) -> None:
    wait_until(lambda: prober.report().sent >= 500, 5, "some packets")
    report = prober.report()
    assert report.first_blocked_ns is None
    assert report.cut == Cut(new=False, established=False, ipv6=False)
    assert report.rate_per_second >= 500
    assert report.outages == ()


def test_a_cut_is_dated_between_the_moments_before_and_after_it(lab: Lab, prober: Prober) -> None:
    _await_flow(prober)
    with _dropping(lab["web"], 'oifname "eth0"') as (before, after):
        wait_until(lambda: prober.report().cut == Cut(new=True, established=True, ipv6=True), 3, "the cut")
        report = prober.report()
        assert report.first_blocked_ns is not None
        assert before <= report.first_blocked_ns <= after + 3 * PERIOD_NS
        # A sender that had to wait for its turn dates less sharply, and says so; it never claims what it did not see.
        assert report.uncertainty_ns < 500 * PERIOD_NS
        assert prober.first_blocked_ns() == report.first_blocked_ns
        assert prober.first_blocked_ns(until_ns=before) is None


def test_a_release_ends_the_outage(lab: Lab, prober: Prober) -> None:
    _await_flow(prober)
    with _dropping(lab["web"], 'oifname "eth0"') as (before, _):
        wait_until(lambda: prober.first_blocked_ns() is not None, 3, "the cut")
    released = time.time_ns()
    _await_flow(prober)
    outage = prober.report().outages[-1]
    assert prober.first_blocked_ns() is None
    assert before <= outage.first_lost_ns <= outage.last_lost_ns <= released
    assert outage.next_delivered_ns > outage.last_lost_ns


def test_a_cut_of_ipv4_alone_leaves_ipv6_open(lab: Lab, prober: Prober) -> None:
    _await_flow(prober)
    with _dropping(lab["web"], 'meta nfproto ipv4 oifname "eth0"'):
        wait_until(lambda: prober.report().blocked_since_ns["tcp4"] is not None, 3, "TCP on IPv4 to stop")
        assert prober.report().cut == Cut(new=True, established=False, ipv6=False)
        assert prober.report().blocked_since_ns["tcp6"] is None


def test_a_cut_of_new_connections_alone_leaves_established_ones_open(lab: Lab, prober: Prober) -> None:
    _await_flow(prober)
    with _dropping(lab["web"], 'oifname "eth0" ct state new'):
        wait_until(lambda: prober.report().blocked_since_ns["udp6"] is not None, 3, "UDP to stop")
        assert prober.report().cut == Cut(new=True, established=False, ipv6=False)


def test_a_single_lost_packet_is_a_stray(lab: Lab, prober: Prober) -> None:
    _await_flow(prober)
    before = prober.report().stray_losses
    with _dropping(lab["web"], "udp dport 9000 numgen inc mod 100 0"):
        wait_until(lambda: prober.report().stray_losses > before + 2, 3, "stray losses")
        assert prober.first_blocked_ns() is None


def test_a_prober_that_died_is_an_error_and_no_figure(lab: Lab) -> None:
    with pytest.raises(LabError, match="does not run"):
        Prober(lab).first_blocked_ns()
