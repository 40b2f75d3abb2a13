"""What a taken host answers is refused where it is too much or can't be reckoned with; honest answers pass."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from pydantic import ValidationError

from activities.contracts import orders
from activities.contracts.collecting import MAX_ITEMS, Collected
from activities.contracts.evidence import Acquisition, CollectedItem, Gap, Outcome, Source, Storage
from activities.contracts.host import MAX_PROCESSES, DryRun, Intruders, Isolated, Killed, Observed, ProcessRef, Released
from activities.contracts.platform_evidence import PlatformCollected, PodsOfNode
from activities.contracts.probing import Probed
from playbooks.host_isolation import HostObservation, Interface, IsolationIntent, LifelineEndpoint, plan_isolation
from playbooks.proof import MAX_MEASUREMENTS, Measurement
from segmentation.bounds import COMMAND_LENGTH, REASON_LENGTH, cut, few_words, size_of

NOW = datetime(2031, 5, 1, tzinfo=UTC)
GAP = {"started": "2031-05-01T12:00:00Z", "ended": "2031-05-01T12:00:00Z", "reason": ""}
FAR = "9999-12-31T23:59:59Z"
Change = Callable[[dict[str, Any]], None]


def item(label: str = "ring-0001", reason: str = "") -> CollectedItem:
    """As much as an honest collector says of one thing, but for its gaps."""
    long = "the filter of an operator who knows pcap-filter(7) by heart " * 30
    return CollectedItem(
        evidence_id=f"{'h' * 40}-{'0' * 12}.{label}",
        kind="packets",
        name=f"{label}.pcapng",
        media_type="application/x-pcapng",
        size=1 << 40,
        sha256="0" * 64,
        outcome=Outcome(state="truncated", reason=reason),
        source=Source(resource_id="h" * 32, host="h" * 63, boot_id="b" * 36, interface=cut("veth0123456," * 400)),
        acquisition=Acquisition(
            tool="dumpcap",
            tool_sha256="0" * 64,
            command=few_words(("dumpcap", *("-i", "veth0123456", "-f", long) * 200), COMMAND_LENGTH),
            filter=cut(long, COMMAND_LENGTH),
            started=NOW,
            ended=NOW,
            packets_captured=1 << 40,
        ),
        volatility_rank=4,
        storage=Storage(uri="s3://bucket/" + "k" * 300, checksum="0" * 64, version_id="v" * 64, encryption="e" * 128),
    )


def process(pid: int, path: str = "/opt/x") -> ProcessRef:
    return ProcessRef(pid=pid, pgid=pid, start_ticks=1, executable=path, command=("/opt/x", "-q"), user="www")


def measurement() -> Measurement:
    return Measurement(
        aspect="new", result="cut", method="tcp-connect", witness="app", subject="web", measured_at=NOW, detail="quiet"
    )


def isolated(devices: int = 2) -> Isolated:
    observation = HostObservation(
        host_id="web",
        boot_id="boot-1",
        kernel="6.1.0",
        netns_inode=1,
        interfaces=tuple(Interface(name=f"eth{n}", ifindex=n + 2) for n in range(devices)),
        ruleset_digest="sha256:" + "0" * 64,
        base_chains=("inet filter input input 0", "inet a b c input -150"),
    )
    intent = IsolationIntent(
        incident_id="inc-1",
        host_id="web",
        lifeline=(LifelineEndpoint(purpose="temporal", address=ip_address("10.99.0.1"), port=7233),),
        lease_seconds=900,
        ends="open",
    )
    change = plan_isolation(observation, intent)
    return Isolated(observation=observation, change=change, applied_at=NOW, read_back=True, cut_off=(process(4711),))


def how(said: dict[str, Any]) -> dict[str, Any]:
    """How the first item was collected."""
    found: dict[str, Any] = said["items"][0]["acquisition"]
    return found


HONEST: dict[str, orders.Testimony] = {
    "collected": Collected(items=(item(),)),
    "intruders": Intruders(processes=(process(4711),)),
    "probed": Probed(measurements=(measurement(),)),
    "isolated": isolated(),
    "observed": Observed(observation=isolated().observation),
    "released": Released(released_at=NOW, restored=False, was_standing=True, drift=("table inet x is new",)),
    "killed": Killed(ended=(4711,), confirmed=True),
    "dry-run": DryRun(at=NOW, warnings=("the lifeline does not answer now",)),
    "platform": PlatformCollected(items=(item(),), nodes=(PodsOfNode(node="n1", pods=("shop/web-1",)),)),
}
HOSTILE: list[tuple[str, str, Change]] = [
    ("collected", "items", lambda said: said["items"].extend(said["items"] * MAX_ITEMS)),
    ("collected", "items.0.outcome.reason", lambda said: said["items"][0]["outcome"].update(reason="x" * 2001)),
    ("collected", "items.0.outcome.reason", lambda said: said["items"][0]["outcome"].update(reason="\x1b]0;x")),
    ("collected", "items.0.acquisition.command", lambda said: how(said).update(command=["x"] * 5000)),
    ("collected", "items.0.acquisition.command.0", lambda said: how(said).update(command=["x" * 3000])),
    ("collected", "items.0.acquisition.filter", lambda said: how(said).update(filter="x" * 9000)),
    ("collected", "items.0.acquisition.gaps", lambda said: how(said).update(gaps=[GAP] * 1001)),
    ("collected", "items.0.acquisition.started", lambda said: how(said).update(started=FAR)),
    ("collected", "items.0.size", lambda said: said["items"][0].update(size=1 << 60)),
    ("collected", "items.0.source.reference", lambda said: said["items"][0]["source"].update(reference="x" * 2001)),
    ("collected", "items.0.storage.uri", lambda said: said["items"][0]["storage"].update(uri="x" * 2001)),
    ("collected", "items.0.media_type", lambda said: said["items"][0].update(media_type="x" * 300)),
    ("intruders", "processes", lambda said: said["processes"].extend(said["processes"] * MAX_PROCESSES)),
    ("intruders", "processes.0.command", lambda said: said["processes"][0].update(command=["x"] * 100)),
    ("intruders", "processes.0.start_ticks", lambda said: said["processes"][0].update(start_ticks=1 << 53)),
    ("intruders", "processes.0.sockets", lambda said: said["processes"][0].update(sockets=["x"] * 100)),
    ("intruders", "unattributed", lambda said: said.update(unattributed=["x"] * 100)),
    ("probed", "measurements", lambda said: said["measurements"].extend(said["measurements"] * MAX_MEASUREMENTS)),
    ("probed", "measurements.0.detail", lambda said: said["measurements"][0].update(detail="x" * 2001)),
    ("isolated", "applied_at", lambda said: said.update(applied_at="2031-05-01T12:00:00")),
    ("isolated", "lease_until", lambda said: said.update(lease_until="9999-12-31T23:59:59Z")),
    ("isolated", "detail", lambda said: said.update(detail="x" * 2001)),
    ("isolated", "change", lambda said: said["change"]["commands"].append({"add": {"rule": {"expr": [1 << 60]}}})),
    ("isolated", "change", lambda said: said["change"]["undo"].append({"x": float("inf")})),
    ("isolated", "observation.base_chains.0", lambda said: said["observation"].update(base_chains=["one"])),
    ("observed", "observation.base_chains.0", lambda said: said["observation"].update(base_chains=["a b"])),
    ("observed", "observation.kernel", lambda said: said["observation"].update(kernel="x" * 300)),
    ("released", "drift", lambda said: said.update(drift=["x"] * 65)),
    ("killed", "survivors", lambda said: said.update(survivors=list(range(300)))),
    ("killed", "reasons", lambda said: said.update(reasons=["x"] * 65)),
    ("dry-run", "warnings", lambda said: said.update(warnings=["x"] * 65)),
    ("platform", "nodes", lambda said: said["nodes"].extend(said["nodes"] * 64)),
    ("platform", "nodes.0.pods", lambda said: said["nodes"][0].update(pods=["x"] * 65)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "where", "change"), HOSTILE, ids=[f"{k}-{w}-{n}" for n, (k, w, _) in enumerate(HOSTILE)]
)
def test_an_answer_with_one_field_beyond_its_bound_is_refused(kind: str, where: str, change: Change) -> None:
    said = copy.deepcopy(HONEST[kind].model_dump(mode="json"))
    assert type(HONEST[kind]).model_validate(said) == HONEST[kind]
    change(said)

    with pytest.raises(ValidationError) as refused:
        type(HONEST[kind]).model_validate(said)
    assert ".".join(map(str, refused.value.errors()[0]["loc"])) == where


def test_the_longest_honest_collection_is_an_answer() -> None:
    reason = cut("a reason of the tool that goes on and on " * 100, REASON_LENGTH)
    gaps = (Gap(started=NOW, ended=NOW, reason="13 events lost or left out: more came than could be told"),) * 201
    blind = item("events-before").model_copy(
        update={"acquisition": item().acquisition.model_copy(update={"gaps": gaps})}
    )
    rings = (item(f"ring-{number:04d}", reason) for number in range(MAX_ITEMS - 1))

    assert size_of(Collected(items=(*rings, blind))) <= Collected.max_bytes


@pytest.mark.parametrize("letter", ["x", '"', "\N{GRINNING FACE}"])
def test_intruders_of_the_longest_names_are_an_answer(letter: str) -> None:
    # PATH_MAX counts bytes; arguments are cut by letters.
    path = letter * (4095 // len(letter.encode()))
    one = process(4711, path).model_copy(
        update={
            "command": few_words([letter * 256] * 64, COMMAND_LENGTH),
            "sockets": ("[2001:db8:" + "f" * 29 + "]:65535",) * 32,
        }
    )

    assert size_of(Intruders(processes=(one,) * MAX_PROCESSES)) <= Intruders.max_bytes


def test_a_host_of_five_hundred_devices_is_an_answer() -> None:
    assert size_of(isolated(500)) <= Isolated.max_bytes


def test_an_answer_with_as_many_measurements_as_a_witness_makes_fits() -> None:
    one = measurement().model_copy(update={"method": "tcp-connect [2001:db8::1]:65535", "detail": "x" * 300})

    assert size_of(Probed(measurements=(one,) * (128 + 96 + 2))) <= Probed.max_bytes
