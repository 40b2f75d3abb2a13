"""The closed list of verbs, as a Temporal worker sees it."""

from temporalio import activity
from temporalio.testing import ActivityEnvironment

from activities.contracts.host import Observed, ObserveOrder, SnapshotOrder
from activities.host.killswitch import HostKillswitch
from tests.activities.host.agents import Agent

VERBS = {
    "observe_host",
    "isolate_host",
    "dry_run_host",
    "renew_lease",
    "release_host",
    "probe_peers",
    "probe_lifeline",
    "find_intruders",
    "kill_process_groups",
    "snapshot_ruleset",
}


def test_the_verbs_are_registered_under_their_names_and_declare_their_permissions(web: Agent) -> None:
    names = [activity._Definition.must_from_callable(verb).name for verb in web.killswitch.activities]
    assert set(names) == VERBS == set(HostKillswitch.PERMISSIONS)
    assert all(right.startswith("CAP_") for rights in HostKillswitch.PERMISSIONS.values() for right in rights)


def test_a_verb_runs_as_an_activity(web: Agent) -> None:
    order = ObserveOrder(header=web.header())
    observed = web.inside(lambda: ActivityEnvironment().run(web.killswitch.observe_host, order))
    assert isinstance(observed, Observed)
    assert observed.observation.host_id == web.host_id


def test_a_snapshot_has_the_digest_of_an_observation_and_names_our_tables(web: Agent) -> None:
    order = SnapshotOrder(header=web.header())
    done = web.isolate()
    snapshot = web.inside(lambda: web.killswitch.snapshot_ruleset(order))
    assert snapshot.ruleset_digest == done.observation.ruleset_digest
    assert snapshot.firebreak_tables == (done.change.table,)
