"""Every history that was committed still replays: open incidents survive a new version of the workflows.

A change that breaks one needs a patch marker. `python -m tests.histories.record` writes them anew, where an old kind
of history is really no longer out there.
"""

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from activities.orders.codec import Seal, control_converter
from api.processes.sandbox import workflow_runner
from api.processes.worker import WORKFLOWS
from tests.histories.keys import CONTROL, SEAL, public_host_key

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
ROOT = str(Path(__file__).parents[2])
# Where programs, homes and checkouts are: a history has none of it, whatever the machine was that recorded it.
LOCAL_PATH = re.compile(r"/(home|root|tmp|usr|var|work|workspace|builds?)/")


def history(path: Path) -> WorkflowHistory:
    document = json.loads(path.read_text())
    return WorkflowHistory.from_json(document["workflow_id"], document["history"])


def replayer(seal: Seal = SEAL) -> Replayer:
    return Replayer(
        workflows=WORKFLOWS,
        data_converter=control_converter(seal, CONTROL, public_host_key),
        workflow_runner=workflow_runner(),
        build_id="tests",
    )


def named(name: str) -> Path:
    return next(path for path in GOLDEN if path.name == name)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_a_committed_history_replays(path: Path) -> None:
    await replayer().replay_workflow(history(path))


def test_every_workflow_has_a_history() -> None:
    kinds = {path.name.split(".")[1] for path in GOLDEN}

    assert kinds == {workflow.__name__ for workflow in WORKFLOWS}


async def test_a_history_in_which_something_else_was_ordered_does_not_replay() -> None:
    document = json.loads(named("contained_at_once.IncidentWorkflow.json").read_text())
    first = next(e for e in document["history"]["events"] if "activityTaskScheduledEventAttributes" in e)
    assert first["activityTaskScheduledEventAttributes"]["activityType"]["name"] == "isolate_host"
    first["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "observe_host"

    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json(document["workflow_id"], document["history"]))


async def test_a_history_of_another_control_plane_does_not_replay() -> None:
    result = await replayer(Seal(b"another")).replay_workflow(
        history(named("ping.PingHostWorkflow.json")), raise_on_replay_failure=False
    )

    assert result.replay_failure is not None


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_history_tells_nothing_of_the_machine_that_recorded_it(path: Path) -> None:
    said = [path.read_text(), *payloads(json.loads(path.read_text()))]

    for text in said:
        assert ROOT not in text
        assert f"@{socket.gethostname()}" not in text  # as in the SDK's own identity, pid@host
        assert not LOCAL_PATH.search(text)


def payloads(part: Any) -> Iterator[str]:
    """Every payload of a history, decoded."""
    if isinstance(part, dict):
        if "metadata" in part and isinstance(part.get("data"), str):
            yield base64.b64decode(part["data"]).decode()
        for inner in part.values():
            yield from payloads(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from payloads(inner)
