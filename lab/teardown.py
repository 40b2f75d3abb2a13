"""Taking a lab down: the one that just ran, or what a crashed one left.

Owns the order of killing, removing and forgetting; every step can be repeated. Never builds anything.

    clean("fb")        # nothing of it is left afterwards
    leftovers("fb")    # -> ()
"""

from lab import namespaces, registry
from lab.processes import kill_inside, kill_sessions, session_members
from lab.topology import namespaces_of


def clean(name: str) -> None:
    """Kill the lab's processes, remove its namespaces and forget it. The caller holds the lab's lock."""
    record = registry.read(name)
    kill_sessions(record.processes if record else ())
    for namespace in namespaces_of(name):
        kill_inside(namespace)
        namespaces.remove(namespace)
    if record and record.mounted_run_dir:
        namespaces.unmount_run_dir()
    registry.forget(name)


def leftovers(name: str) -> tuple[str, ...]:
    """What still exists of a lab, in words; empty when nothing does."""
    record = registry.read(name)
    inside = [(namespace, pid) for namespace in namespaces_of(name) for pid in namespaces.pids(namespace)]
    processes = record.processes if record else ()
    found = [f"namespace {namespace}" for namespace in namespaces_of(name) if namespaces.exists(namespace)]
    found += [f"mount {point}" for point in namespaces.mounts(namespaces_of(name))]
    found += [f"process {pid} in {namespace}" for namespace, pid in inside]
    found += [f"process {process.pid}" for process in session_members(processes)]
    return tuple(found + ([f"record of lab {name}"] if record else []))
