"""Records the golden histories anew: `python -m tests.histories.record`.

Plays every scenario on real Temporal servers with the keys of keys.json, and writes the history of each workflow
run to this folder. Needed when a workflow was changed on purpose and no installation has open incidents of the old
kind; otherwise a change keeps replaying the old ones, by a patch marker.
"""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities.orders.codec import control_converter
from api.processes.embedded import find_program
from tests.histories.continuing import CONTINUING
from tests.histories.keys import CONTROL, SEAL, public_host_key
from tests.histories.scenarios import LONG_SCENARIOS, SCENARIOS, Scenario, agent_away, contained_at_once
from tests.workflows.case import Case, LongCase
from tests.workflows.platforms import FakeCluster
from tests.workflows.servers import development_server

FOLDER = Path(__file__).parent / "golden"
IDENTITY = "recorder"
SUFFIXES = ("", ".contain.web", ".remediate.web", ".ping", ".detect", ".plan", ".seal", ".timestamp.1")
# These go the same way in every incident that went well: twice is enough of them.
SELDOM = (".collect.web", ".learn")
SELDOM_IN = (contained_at_once, agent_away)


def main() -> None:
    """Replace every history."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder, development_server(Path(folder)) as address:
        asyncio.run(_record(address, Path(folder)))


async def _record(address: str, folder: Path) -> None:
    for scenario in (*SCENARIOS, *CONTINUING):
        client = await Client.connect(address, identity=IDENTITY)
        async with Case(client, folder, scenario.__name__.replace("_", "-")) as case:
            await _play(scenario, case)
    for scenario in LONG_SCENARIOS:
        environment = await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=find_program("temporal-test-server"),
            data_converter=control_converter(SEAL, CONTROL, public_host_key),
            identity=IDENTITY,
        )
        async with environment, LongCase(environment, folder / scenario.__name__) as case:
            await _play(scenario, case)


async def _play(scenario: Scenario, case: Case) -> None:
    await scenario(case)
    pod = FakeCluster(case.incident_id).pod("web-1")
    for suffix in (*SUFFIXES, f".contain.{pod.workload_id}", *(SELDOM if scenario in SELDOM_IN else ())):
        with contextlib.suppress(RPCError):  # not every scenario has every child
            _write(scenario.__name__, await case.handle(suffix).fetch_history())


def _write(scenario: str, history: WorkflowHistory) -> None:
    document = json.loads(history.to_json())
    for failure in _failures(document):
        failure.pop("stackTrace", None)  # lines of this machine's files; a replay does not need them
    kind = document["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
    of_pod = ".of-pod" if ".contain.k8s." in history.workflow_id else ""
    path = FOLDER / f"{scenario}.{kind}{of_pod}.json"
    golden = {"workflow_id": history.workflow_id, "history": document}
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{path.name}: {len(document['events'])} events")  # noqa: T201 - a command says what it did


def _failures(part: Any) -> Iterator[dict[str, Any]]:
    """Every object of a history that could be a failure."""
    if isinstance(part, dict):
        yield part
        for inner in part.values():
            yield from _failures(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _failures(inner)


if __name__ == "__main__":
    main()
