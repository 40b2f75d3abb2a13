"""What survives: processes are killed with -9, parts are stopped, and the incident ends the same."""

from lab.prober import Prober
from lab.waiting import wait_until
from tests.end_to_end.world import World, kinds, proven, waits_for_release


def test_worker_killed_between_apply_and_verify_ends_the_same_applied_once(world: World) -> None:
    with Prober(world.lab) as prober:
        incident_id = world.alert("Quick, then the worker dies")
        wait_until(lambda: prober.first_blocked_ns() is not None, 10, "the cut")
        world.control.kill_part("worker")
        assert "target-isolated" not in kinds(world.incident(incident_id))
        incident = world.until(incident_id, lambda i: proven(i) and waits_for_release(i), seconds=60)
        assert incident["targets"][0]["proof"]["verdict"] == "effective"
        assert len(prober.report().outages) == 1
    assert kinds(incident).count("isolation-applied") == 1
    assert _orders_carried_out(world, incident_id, "isolate_host") == 1
    world.release(incident_id)


def _orders_carried_out(world: World, incident_id: str, verb: str) -> int:
    """By the agent's own log: how often it really did it."""
    log = (world.lab["web"].state_dir / "agent.log").read_text(encoding="utf-8")
    lines = [line for line in log.splitlines() if incident_id in line and verb in line]
    return sum("order carried out" in line for line in lines)


def test_alert_that_was_accepted_while_temporal_was_down_runs_when_it_is_back(world: World) -> None:
    world.control.stop()
    with world.control.serve_alone():
        incident_id = world.alert("Quick, with the engine down")
        assert world.incident(incident_id)["stage"] == "detect"
        assert not world.is_cut()
    world.up()
    world.until(incident_id, lambda i: proven(i) and waits_for_release(i), seconds=60)
    world.release(incident_id)


def test_incident_goes_on_after_everything_was_killed_and_started_again(world: World) -> None:
    incident_id = world.alert("Quick, then everything dies")
    world.until(incident_id, waits_for_release)
    world.control.kill()
    assert world.is_cut()
    world.up()
    incident = world.incident(incident_id)
    assert incident["status"] == "open"
    assert world.is_cut()
    world.release(incident_id)
    wait_until(lambda: not world.is_cut(), 10, "traffic after the release")


def test_kernel_lifts_the_isolation_at_its_time_when_nobody_is_alive(world: World) -> None:
    with Prober(world.lab) as prober:
        incident_id = world.alert("Short lease")
        incident = world.until(incident_id, lambda i: bool(i["targets"]) and i["targets"][0]["state"] == "isolated")
        world.control.kill()
        world.control.kill_agents()
        ends = incident["targets"][0]["lease_until"]
        cut_ns = prober.first_blocked_ns()
        assert cut_ns is not None
        wait_until(lambda: prober.first_blocked_ns() is None, 30, "the kernel's dead-man")
        outage = prober.report().outages[-1]
    lasted = (outage.last_lost_ns - outage.first_lost_ns) / 1e9
    # The lease of 10 s may have been renewed once before everything was killed.
    assert 9 < lasted < 21, (lasted, ends)
    world.up()
    world.control.restart_agents()
    world.until(incident_id, waits_for_release, seconds=60)
    world.release(incident_id)


def test_part_that_is_killed_is_started_again(world: World) -> None:
    before = world.control.node()["pids"]["api"]
    world.control.kill_part("api")
    wait_until(lambda: world.control.node()["pids"]["api"] != before, 20, "the API's restart")
    wait_until(world.control.answers, 20, "the API's answer")
