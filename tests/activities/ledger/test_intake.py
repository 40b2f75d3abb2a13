import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.ledger.ledger import Ledger
from playbooks.alerts import Alert
from tests.activities.ledger.making import alert, at_once, close_incident, received, workload


def test_an_accepted_alert_opens_an_incident_and_waits_in_the_outbox(ledger: Ledger) -> None:
    message = received()
    accepted = ledger.intake.accept(message)
    (batch,) = ledger.intake.pending()
    assert (accepted.known, accepted.count) == (False, 1)
    assert batch.first == message
    assert (batch.incident_id, batch.count, batch.new) == (accepted.incident_id, 1, True)
    snapshot = ledger.incidents.incident(accepted.incident_id)
    assert snapshot is not None
    assert (snapshot.stage, snapshot.status, snapshot.first_alert) == ("detect", "open", message)


def test_the_same_webhook_id_twice_is_known_and_changes_nothing(ledger: Ledger) -> None:
    first = ledger.intake.accept(received(webhook_id="msg_a"))
    again = ledger.intake.accept(received(alert("somebody-else"), webhook_id="msg_a"))
    assert again.known
    assert again.incident_id == first.incident_id
    assert again.count == 1
    assert len(ledger.intake.pending()[0].outbox_ids) == 1
    assert len(ledger.incidents.incidents().items) == 1


def test_the_same_webhook_id_of_another_source_is_another_message(ledger: Ledger) -> None:
    message = received(webhook_id="msg_a")
    ledger.intake.accept(message)
    other = ledger.intake.accept(message.model_copy(update={"source": "another"}))
    assert (other.known, other.count) == (False, 2)


def test_hundreds_of_copies_are_one_incident_that_counted_them_and_one_batch(ledger: Ledger) -> None:
    answers = [ledger.intake.accept(received()) for _ in range(300)]
    assert {answer.incident_id for answer in answers} == {answers[0].incident_id}
    assert answers[-1].count == 300
    (batch,) = ledger.intake.pending()
    assert (batch.count, len(batch.outbox_ids)) == (300, 300)
    ledger.intake.mark_dispatched(batch.outbox_ids)
    assert ledger.intake.pending() == []
    snapshot = ledger.incidents.incident(batch.incident_id)
    assert snapshot is not None
    assert snapshot.alerts == 300


@pytest.mark.parametrize(
    "said",
    [
        {"host": {"name": "WEB"}},
        {"host": {"id": "id-web"}},
        {"host": {"ip": ["10.66.0.2"]}},
        {"host": {"name": "unknown-name", "ip": ["fd66::2"]}},
        {"source": {"ip": "10.66.0.2"}},
    ],
    ids=str,
)
def test_alerts_that_name_one_workload_in_any_way_are_one_incident(ledger: Ledger, said: dict[str, object]) -> None:
    ledger.hosts.join(workload(addresses=("10.66.0.2", "fd66::2")), bytes(32))
    first = ledger.intake.accept(received(alert("web")))
    second = ledger.intake.accept(received(Alert.model_validate({"rule": {"name": "r"}} | said)))
    assert second.incident_id == first.incident_id
    assert ledger.intake.pending()[0].correlation_key == "workload:id-web"


def test_an_unknown_host_is_not_taken_for_whoever_has_the_source_address(ledger: Ledger) -> None:
    ledger.hosts.join(workload(addresses=("10.66.0.2",)), bytes(32))
    ledger.intake.accept(received(alert("ghost", source={"ip": "10.66.0.2"})))
    assert ledger.intake.pending()[0].correlation_key == "host:ghost"


def test_an_alert_that_names_two_workloads_belongs_to_neither(ledger: Ledger) -> None:
    ledger.hosts.join(workload("web", addresses=("10.66.0.2",)), bytes(32))
    ledger.hosts.join(workload("app", addresses=("10.66.0.2",)), bytes(32))
    ledger.intake.accept(received(alert(None, source={"ip": "10.66.0.2"})))
    assert ledger.intake.pending()[0].correlation_key == "address:10.66.0.2"


def test_a_host_that_another_process_let_in_is_known_to_the_next_alert(
    open_ledger: Callable[[], Ledger],
) -> None:
    ours, theirs = open_ledger(), open_ledger()
    ours.intake.accept(received(alert("web")))
    theirs.hosts.join(workload(), bytes(32))
    ours.intake.accept(received(alert("web")))
    assert [batch.correlation_key for batch in ours.intake.pending()] == ["host:web", "workload:id-web"]


def test_alerts_of_one_key_that_arrive_at_once_open_one_incident(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    answers = at_once([partial(ledgers[n % 2].intake.accept, received()) for n in range(8)])
    assert len({answer.incident_id for answer in answers}) == 1
    assert sorted(answer.count for answer in answers) == list(range(1, 9))


def test_one_message_delivered_at_once_by_many_is_accepted_once(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    jobs = [partial(ledgers[n % 2].intake.accept, received(alert(f"host-{n}"), webhook_id="msg_a")) for n in range(8)]
    answers = at_once(jobs)
    assert sorted(answer.known for answer in answers) == [False] + [True] * 7
    assert len(ledgers[0].incidents.incidents().items) == 1


def test_pending_lists_incidents_in_the_order_of_arrival_up_to_a_limit(ledger: Ledger) -> None:
    for host in ("web", "app", "web", "db"):
        ledger.intake.accept(received(alert(host)))
    hosts = [batch.first.alert.host.name for batch in ledger.intake.pending()]
    assert hosts == ["web", "app", "db"]
    limited = ledger.intake.pending(limit=2)
    assert [batch.count for batch in limited] == [2, 1]


def test_an_incident_is_new_until_something_of_it_was_handed_over(ledger: Ledger) -> None:
    ledger.intake.accept(received())
    ledger.intake.mark_dispatched(ledger.intake.pending()[0].outbox_ids)
    ledger.intake.accept(received())
    assert ledger.intake.pending()[0].new is False


def test_an_alert_after_the_close_opens_the_next_incident_of_the_key(ledger: Ledger) -> None:
    first = ledger.intake.accept(received())
    close_incident(ledger, first.incident_id)
    second = ledger.intake.accept(received())
    assert second.incident_id != first.incident_id
    assert second.count == 1


def test_alerts_of_an_ended_workflow_move_to_the_next_incident(ledger: Ledger) -> None:
    first = ledger.intake.accept(received())
    ledger.intake.mark_dispatched(ledger.intake.pending()[0].outbox_ids)
    for _ in range(3):
        ledger.intake.accept(received())
    moved = ledger.intake.recorrelate(ledger.intake.pending()[0].outbox_ids)
    (batch,) = ledger.intake.pending()
    assert (batch.incident_id, batch.count, batch.new) == (moved, 3, True)
    old, new = ledger.incidents.incident(first.incident_id), ledger.incidents.incident(moved)
    assert old is not None
    assert new is not None
    assert (old.status, old.alerts, new.status, new.alerts) == ("closed", 1, "open", 3)


def test_alerts_of_an_ended_workflow_join_an_incident_that_is_open_already(ledger: Ledger) -> None:
    first = ledger.intake.accept(received())
    waiting = ledger.intake.pending()[0].outbox_ids
    close_incident(ledger, first.incident_id)
    second = ledger.intake.accept(received())
    assert ledger.intake.recorrelate(waiting) == second.incident_id
    (batch,) = ledger.intake.pending()
    assert batch.count == 2


def test_the_commit_is_told_after_it_happened_and_not_for_a_repeat(open_ledger: Callable[[], Ledger]) -> None:
    ours, theirs = open_ledger(), open_ledger()
    seen: list[int] = []
    ours.intake.on_commit = lambda: seen.append(len(theirs.intake.pending()))
    message = received()
    ours.intake.accept(message)
    ours.intake.accept(message)
    assert seen == [1]


def test_ids_of_incidents_are_derived_from_their_key(tmp_path: Path) -> None:
    answers = []
    for name in ("one", "two"):
        ledger = Ledger.open(f"sqlite:///{tmp_path / name}.db")
        answers.append(ledger.intake.accept(received()).incident_id)
        ledger.close()
    assert answers[0] == answers[1]
    assert answers[0].startswith("inc-")


def test_an_answered_alert_survives_the_death_of_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    program = (
        "import os, signal, sys\n"
        "from activities.ledger.ledger import Ledger\n"
        "from tests.activities.ledger.making import received\n"
        f"ledger = Ledger.open({url!r})\n"
        "sys.stdout.write(ledger.intake.accept(received()).incident_id)\n"
        "sys.stdout.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    ledger = Ledger.open(url)
    assert [batch.incident_id for batch in ledger.intake.pending()] == [died.stdout]
    ledger.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(min_size=1, max_size=256).filter(lambda t: t.encode(errors="ignore").decode() == t),
    rule=st.text("aß\x00\n%_\\İ🔥", min_size=1, max_size=256),
)
def test_whatever_an_alert_says_is_kept_as_it_was_said(ledger: Ledger, name: str, rule: str) -> None:
    message = received(Alert.model_validate({"rule": {"name": rule}, "host": {"name": name}}))
    accepted = ledger.intake.accept(message)
    found = next(b for b in ledger.intake.pending(limit=10_000) if b.incident_id == accepted.incident_id)
    assert found.first.alert.host.name is not None
    assert ledger.incidents.incident(accepted.incident_id) is not None
