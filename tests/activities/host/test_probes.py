"""A witness says cut, open or unknown, and each for its reason."""

import time
from ipaddress import ip_address

import pytest

from activities.contracts.probing import LifelineOrder, ProbeTarget
from lab.network import Lab
from lab.topology import APP_PORT, DB_PORT, HEALTH_PORT
from playbooks.host_isolation import LifelineEndpoint
from playbooks.proof import Aspect, Measurement, conclude
from tests.activities.host.agents import LIFELINE, PROBE_MS, Agent, Agents, target
from tests.activities.host.traffic import sessions

NOBODY = ProbeTarget(host_id="nobody", address=ip_address("10.77.0.99"), tcp_ports=(80,))


def results(measurements: tuple[Measurement, ...], aspect: Aspect) -> list[str]:
    return [m.result for m in measurements if m.aspect == aspect]


def test_an_open_host_is_found_open_in_every_aspect(lab: Lab, app: Agent) -> None:
    with sessions(lab["app"], lab["web"], HEALTH_PORT):
        measured = app.probe(*target(lab["web"], HEALTH_PORT), bystanders=target(lab["db"], DB_PORT)).measurements
    assert results(measured, "new") == ["open", "open"]
    assert results(measured, "established") == ["open"]
    assert results(measured, "ipv6") == ["open"]
    assert results(measured, "bystander") == ["open", "open"]
    assert conclude(measured).verdict == "unproven"


def test_an_isolated_host_is_found_cut_in_every_aspect(lab: Lab, web: Agent, app: Agent) -> None:
    with sessions(lab["app"], lab["web"], HEALTH_PORT):
        done = web.isolate()
        begun = time.monotonic()
        measured = app.probe(*target(lab["web"], HEALTH_PORT), bystanders=target(lab["db"], DB_PORT)).measurements
        took = time.monotonic() - begun
    assert results(measured, "new") == ["cut", "cut"]
    assert results(measured, "established") == ["cut"]
    assert results(measured, "ipv6") == ["cut"]
    assert results(measured, "bystander") == ["open", "open"]
    assert {m.witness for m in measured} == {app.host_id}
    subjects = {m.aspect == "bystander": m.subject for m in measured}
    assert subjects == {False: web.host_id, True: lab["db"].machine_id}
    assert conclude((*measured, *done.lifeline)).verdict == "effective"
    assert took < 1.9 * PROBE_MS / 1000  # connecting and listening at once


def test_a_refusal_is_an_answer(lab: Lab, web: Agent) -> None:
    measured = web.probe(*target(lab["web"], 7999)).measurements
    assert results(measured, "new") == ["open", "open"]
    assert "refused" in measured[0].detail


def test_a_witness_whose_control_fails_too_knows_nothing(lab: Lab, web: Agent, app: Agent) -> None:
    web.isolate()
    measured = app.probe(*target(lab["web"], HEALTH_PORT), bystanders=(NOBODY,)).measurements
    assert results(measured, "new") == ["unknown", "cut"]  # the control is of IPv4 only
    assert results(measured, "bystander") == ["cut"]
    assert "10.77.0.99" in measured[0].detail


def test_an_isolated_witness_knows_nothing(lab: Lab, web: Agent, app: Agent) -> None:
    app.isolate()
    measured = app.probe(*target(lab["web"], HEALTH_PORT), bystanders=target(lab["db"], DB_PORT)).measurements
    assert results(measured, "new") == ["unknown", "unknown"]
    assert results(measured, "ipv6") == ["unknown"]
    assert conclude(measured).verdict == "unproven"


def test_silence_without_a_session_proves_nothing(lab: Lab, agents: Agents) -> None:
    lab["db"].run(["ss", "-K", "state", "established"])  # what an earlier test cut may still stand on this side
    agents["web"].isolate()
    measured = agents["db"].probe(*target(lab["web"], HEALTH_PORT)).measurements
    assert results(measured, "established") == ["unknown"]
    assert "no established session to judge by" in next(m.detail for m in measured if m.aspect == "established")


def test_a_host_without_ipv6_can_be_proven_cut_without_it(lab: Lab, web: Agent, app: Agent) -> None:
    ipv4, _ = target(lab["web"], HEALTH_PORT)
    with sessions(lab["app"], lab["web"], HEALTH_PORT):
        done = web.isolate()
        measured = app.probe(ipv4, bystanders=target(lab["db"], DB_PORT)).measurements
    assert results(measured, "ipv6") == ["unknown"]
    proof = conclude((*measured, *done.lifeline))
    assert (proof.verdict, proof.ipv6) == ("effective", "unknown")
    assert "ipv6 traffic is unknown" in " ".join(proof.reasons)


def test_a_host_without_known_ports_is_judged_by_its_silence_alone(lab: Lab, web: Agent, app: Agent) -> None:
    with sessions(lab["app"], lab["web"], HEALTH_PORT):
        web.isolate()
        measured = app.probe(*target(lab["web"])).measurements
    assert results(measured, "new") == ["unknown"]
    assert results(measured, "established") == ["cut"]
    assert results(measured, "ipv6") == ["unknown"]


@pytest.mark.parametrize(("port", "result"), [(LIFELINE[0].port, "open"), (7999, "cut")])
def test_a_host_measures_each_endpoint_of_its_own_lifeline(web: Agent, port: int, result: str) -> None:
    endpoint = LifelineEndpoint(purpose="temporal", address=LIFELINE[0].address, port=port)
    order = LifelineOrder(header=web.header(), intent=web.intent(lifeline=(endpoint, LIFELINE[1])))
    measured = web.inside(lambda: web.killswitch.probe_lifeline(order)).measurements
    assert [m.result for m in measured] == [result, "open"]
    assert not any(m.independent for m in measured)


def test_the_control_plane_as_witness_does_not_take_the_lifeline_for_a_breach(lab: Lab, web: Agent, app: Agent) -> None:
    lifeline = LifelineEndpoint(purpose="api", address=ip_address(lab["app"].ipv4), port=APP_PORT)
    with sessions(lab["app"], lab["web"], HEALTH_PORT), sessions(lab["web"], lab["app"], APP_PORT) as kept:
        web.isolate(web.intent(lifeline=(*LIFELINE, lifeline)))
        ipv4, _ = target(lab["web"], HEALTH_PORT)
        with_lifeline = app.probe(ipv4, lifeline=(lifeline,), while_doing=kept[0].answers).measurements
        without = app.probe(ipv4, while_doing=kept[0].answers).measurements
    assert results(with_lifeline, "established") == ["cut"]
    assert results(without, "established") == ["open"]
