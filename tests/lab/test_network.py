import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lab import registry
from lab.errors import LabBusyError, LabCommandError, LabError
from lab.network import Lab
from lab.processes import PROJECT_ROOT, Spawn, alive, identify
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

FULL_LAB = """
import sys, time
from pathlib import Path
from lab import cast
from lab.network import Lab
from lab.prober import Prober
with Lab.create(sys.argv[1], state_dir=Path(sys.argv[2])) as lab:
    cast.start_services(lab)
    cast.start_denials(lab)
    lab.relay.start({7233: ("127.0.0.1", 9)})
    intruder = cast.start_intruder(lab)
    with Prober(lab):
        print(cast.intruder_status(lab)["lateral"]["pid"], flush=True)
        time.sleep(60)
"""


def _start_full_lab(name: str, state_dir: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that owns a lab with everything in it, and the pid of the intruder's child."""
    command = [sys.executable, "-c", FULL_LAB, name, str(state_dir)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert owner.stdout is not None
    line = owner.stdout.readline()
    assert line, "the lab was not built"
    return owner, int(line)


def _mount_lines() -> set[str]:
    """Mount points of this process, without namespaces that others make meanwhile."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return {point for point in points if not point.startswith("/run/netns")}


def test_a_lab_is_built_quickly_and_leaves_nothing(own_name: str, tmp_path: Path) -> None:
    mounts = _mount_lines()
    began = time.monotonic()
    with Lab.create(own_name, state_dir=tmp_path) as lab:
        assert time.monotonic() - began < 1.5
        sleeper = lab["web"].popen(["sleep", "60"])
        assert _mount_lines() == mounts
    assert Lab.leftovers(own_name) == ()
    assert sleeper.poll() == -signal.SIGKILL
    assert _mount_lines() == mounts
    lab.destroy()


def test_a_failure_inside_takes_the_lab_down(own_name: str, tmp_path: Path) -> None:
    with (
        pytest.raises(LabCommandError, match="false on web ended with 1"),
        Lab.create(own_name, state_dir=tmp_path) as lab,
    ):
        lab["web"].run(["false"])
    assert Lab.leftovers(own_name) == ()


def test_a_failure_while_building_takes_the_half_built_lab_down(
    own_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.network.ruleset_for", lambda _host: "this is no ruleset")
    with pytest.raises(LabCommandError, match="nft refused the policy"):
        Lab.create(own_name, state_dir=tmp_path)
    assert Lab.leftovers(own_name) == ()


def test_ctrl_c_again_and_again_takes_the_lab_down(own_name: str, tmp_path: Path) -> None:
    owner, lateral = _start_full_lab(own_name, tmp_path)
    owner.send_signal(signal.SIGINT)
    while owner.poll() is None:  # an impatient user
        owner.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            owner.wait(0.005)
    owner.communicate(timeout=10)
    assert Lab.leftovers(own_name) == ()
    assert not alive(identify(lateral))


def test_a_crashed_lab_is_cleaned_by_the_next_one(own_name: str, tmp_path: Path) -> None:
    owner, lateral = _start_full_lab(own_name, tmp_path)
    orphan = identify(lateral)
    owner.kill()
    owner.communicate(timeout=10)
    assert Lab.leftovers(own_name)
    with Lab.create(own_name, state_dir=tmp_path):
        assert not alive(orphan)
    assert Lab.leftovers(own_name) == ()


def test_processes_of_a_lab_end_with_a_killed_owner(own_name: str, tmp_path: Path) -> None:
    owner, lateral = _start_full_lab(own_name, tmp_path)
    owner.kill()
    owner.communicate(timeout=10)

    def only_the_orphan_lives() -> bool:
        left = [item for item in Lab.leftovers(own_name) if item.startswith("process")]
        return all(str(lateral) in item for item in left)

    wait_until(only_the_orphan_lives, 3, "the lab's processes to end")


def test_an_orphan_in_the_machines_own_namespace_ends_with_the_lab(own_name: str, tmp_path: Path) -> None:
    log = tmp_path / "orphan"
    with Lab.create(own_name, state_dir=tmp_path) as lab:
        lab.processes.spawn(Spawn(["sh", "-c", "sleep 60 & echo $!"], log)).wait(5)
        orphan = identify(int(log.read_text(encoding="ascii")))
        assert alive(orphan)
    assert not alive(orphan)


def test_a_record_of_an_earlier_boot_names_no_processes(own_name: str, tmp_path: Path) -> None:
    with Lab.create(own_name, state_dir=tmp_path) as lab:
        lab["web"].popen(["sleep", "60"])
        path = registry.RUN_DIR / f"{own_name}.json"
        found = registry.read(own_name)
        assert found is not None
        assert len(found.processes) == 1
        path.write_text(found.model_copy(update={"boot_id": "another"}).model_dump_json(), encoding="utf-8")
        found = registry.read(own_name)
        assert found is not None
        assert found.processes == ()


def test_a_name_in_use_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabBusyError, match="in use"):
        Lab.create(lab.name, state_dir=tmp_path)
    assert lab["web"].run(["true"]).returncode == 0


def test_a_name_that_is_no_namespace_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="can't be named"):
        Lab.create("../web", state_dir=tmp_path)


def test_a_process_outlives_the_thread_that_asked_for_it(lab: Lab) -> None:
    started: list[subprocess.Popen[bytes]] = []
    asking = threading.Thread(target=lambda: started.append(lab["batch"].popen(["sleep", "60"])))
    asking.start()
    asking.join()
    with pytest.raises(subprocess.TimeoutExpired):
        started[0].wait(0.2)
    started[0].kill()
    started[0].wait(5)


def test_a_process_sees_its_hosts_name_and_machine_id(lab: Lab) -> None:
    host = lab["db"]
    log = host.state_dir / "identity.log"
    host.popen(["sh", "-c", "hostname; cat /etc/machine-id"], log=log).wait(5)
    assert log.read_text(encoding="utf-8").split() == ["db", host.machine_id]


def test_bpftrace_finds_its_tracepoints_in_a_host(lab: Lab) -> None:
    log = lab["web"].state_dir / "bpftrace.log"
    program = 'tracepoint:sched:sched_process_exec { } interval:ms:50 { printf("traced\\n"); exit(); }'
    assert lab["web"].popen(["bpftrace", "-e", program], log=log).wait(15) == 0
    assert "traced" in log.read_text(encoding="utf-8")
