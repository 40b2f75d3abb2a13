"""What a host tells of itself stays within the bounds of an answer, whatever an intruder has made of it."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.contracts.host import MAX_LINES
from activities.host import processes
from activities.host.probes import summed_up
from activities.host.ruleset import Ruleset
from playbooks.host_isolation import MAX_TABLES, HostObservation
from playbooks.proof import Aspect, Measurement, Result
from segmentation.bounds import few, size_of

NOW = datetime(2031, 5, 1, tzinfo=UTC)


def measured(result: Result, aspect: Aspect = "new", method: str = "m") -> Measurement:
    return Measurement(
        aspect=aspect, result=result, method=method, witness="app", subject="web", measured_at=NOW, detail=method
    )


@pytest.mark.parametrize(
    ("aspect", "results", "worst"),
    [
        ("new", ("cut", "open", "unknown"), "open"),
        ("new", ("cut", "unknown", "cut"), "unknown"),
        ("bystander", ("open", "cut", "open"), "cut"),
    ],
)
def test_measurements_beyond_the_bound_are_one_with_the_worst_of_them(
    aspect: Aspect, results: tuple[Result, ...], worst: Result
) -> None:
    many = [measured("cut" if aspect == "new" else "open", aspect)] * 3 + [measured(one, aspect) for one in results]

    assert summed_up(many, 6) == many
    *kept, last = summed_up(many, 4)
    assert kept == many[:3]
    assert last.result == worst
    assert last.detail.startswith("the worst of 3 that are not told one by one")


def test_a_process_with_long_arguments_and_many_sockets_is_described_within_a_bound() -> None:
    arguments = [letter * 300 for letter in "abcdefghij"] * 10
    with subprocess.Popen((sys.executable, "-c", "input()", *arguments), stdin=subprocess.PIPE) as started:
        found = processes.describe(started.pid, [f"10.0.0.1:{port}" for port in range(1000)])
        started.kill()

    assert found is not None
    assert found.sockets[-1] == "and 969 more"
    assert found.command[-1].endswith("more arguments")
    assert size_of(found) < 4096 + 3000


def chain(table: str, name: str) -> dict[str, Any]:
    return {"chain": {"family": "inet", "table": table, "name": name, "hook": "input", "prio": 0}}


def observation(ruleset: Ruleset) -> HostObservation:
    return HostObservation(
        host_id="web",
        boot_id="b",
        kernel="k",
        netns_inode=1,
        interfaces=(),
        ruleset_digest=ruleset.digest,
        base_chains=ruleset.base_chains,
        ruleset_outline=ruleset.outline,
    )


def test_names_that_nobody_can_take_apart_do_not_keep_a_host_from_being_observed() -> None:
    odd = [chain("a\x1b[2J", "input"), chain("b\nc", "input"), chain("d e", "input"), chain("x" * 255, "y" * 255)]
    ours = chain("firebreak_inc_1", "input")
    seen = observation(Ruleset([*odd, ours]))

    assert seen.base_chains[-1] == "inet firebreak_inc_1 input input 0"
    assert len(seen.base_chains) == 3
    assert len(seen.ruleset_outline) == len(odd)


def test_thousands_of_tables_do_not_keep_a_host_from_being_observed() -> None:
    many = [{"table": {"family": "inet", "name": f"t{number}"}} for number in range(MAX_TABLES + 1)]
    chains = [chain(f"t{number}", "input") for number in range(MAX_TABLES + 1)]
    ours = chain("firebreak_inc_1", "input")
    seen = observation(Ruleset([*many, *chains, ours]))

    assert seen.base_chains[0] == "inet firebreak_inc_1 input input 0"
    assert len(seen.base_chains) == MAX_TABLES
    assert len(seen.ruleset_outline) == 1
    assert Ruleset([*many, *chains[1:]]).digest != seen.ruleset_digest


def test_lines_of_what_differs_are_as_many_as_an_answer_has() -> None:
    assert len(few((f"table inet t{number} is new" for number in range(600)), MAX_LINES)) == MAX_LINES
