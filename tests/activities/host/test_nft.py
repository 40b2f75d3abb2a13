"""nft processes that wait for their batch: all or nothing, and never in the way twice."""

import os
import signal
from collections.abc import Iterator

import pytest

from activities.host.nft import Nft, NftRefused, NftUnavailable
from lab.network import Lab
from playbooks.nftables import NftCommand

GOOD: NftCommand = {"add": {"table": {"family": "inet", "name": "t"}}}
BAD: NftCommand = {"add": {"chain": {"family": "inet", "table": "missing", "name": "c"}}}


class Inside:
    """nft in a host of the lab."""

    def __init__(self, lab: Lab, nft: Nft) -> None:
        self.lab, self.nft = lab, nft

    def apply(self, *commands: NftCommand) -> None:
        self.lab["batch"].call(lambda: self.nft.apply(commands))

    def tables(self) -> set[str]:
        objects = self.lab["batch"].call(self.nft.list_ruleset)
        return {entry["table"]["name"] for entry in objects if "table" in entry}

    def waiting(self) -> list[int]:
        self.lab["batch"].call(self.nft.start)
        return [process.pid for process in self.nft._waiting]


@pytest.fixture
def inside(lab: Lab) -> Iterator[Inside]:
    nft = Nft(timeout_seconds=1)
    yield Inside(lab, nft)
    nft.close()
    lab["batch"].run(["nft", "delete", "table", "inet", "t"], check=False)


def test_a_batch_with_one_bad_command_changes_nothing(inside: Inside) -> None:
    with pytest.raises(NftRefused, match="No such file"):
        inside.apply(GOOD, BAD)
    assert inside.tables() == {"segmentation"}


def test_what_others_change_is_seen_by_the_next_listing(inside: Inside) -> None:
    assert inside.tables() == {"segmentation"}
    inside.lab["batch"].run(["nft", "add", "table", "inet", "t"])
    assert inside.tables() == {"segmentation", "t"}


def test_a_process_that_was_killed_is_replaced(inside: Inside) -> None:
    for pid in inside.waiting():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    inside.apply(GOOD)
    assert inside.tables() == {"segmentation", "t"}


def test_a_process_that_hangs_is_given_up_and_replaced(inside: Inside) -> None:
    for pid in inside.waiting():
        os.kill(pid, signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(NftUnavailable, match="hung"):
            inside.tables()
    inside.apply(GOOD)
    assert inside.tables() == {"segmentation", "t"}


def test_two_processes_wait_for_the_next_batch(inside: Inside) -> None:
    assert len(set(inside.waiting())) == 2
    inside.apply(GOOD)
    assert len(set(inside.waiting())) == 2


def test_a_batch_larger_than_a_pipe_is_applied_as_a_whole(inside: Inside) -> None:
    chains: list[NftCommand] = [
        {"add": {"chain": {"family": "inet", "table": "t", "name": f"chain_{number}_{'x' * 80}"}}}
        for number in range(1000)
    ]
    inside.apply(GOOD, *chains)
    listed = inside.lab["batch"].call(inside.nft.list_ruleset)
    assert sum("chain" in entry and entry["chain"]["table"] == "t" for entry in listed) == 1000
