"""The evidence part of an agent, alone in a process inside a network namespace, told what to do in JSON.

Started by `hosts.Host.agent`. Real parts throughout; only the way to the vault is a call instead of HTTP.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from activities.contracts.collecting import CaptureOrder, CollectVolatileOrder, FreezeOrder
from activities.contracts.orders import OrderHeader
from activities.evidence.vault.local import LocalVault
from activities.host.artefacts import EvidenceSender, HostFacts, digest_of
from activities.host.collection import HostEvidence
from activities.host.recorder import FlightRecorder, RecorderSettings
from activities.host.upload import Sent
from activities.host.upload_errors import UploadFailed
from activities.host.volatile import VolatileCollector
from activities.host.volatile_files import ContentLimits


class Vault:
    """The vault of this machine, without HTTP. A file `broken` is what it answers while it exists."""

    def __init__(self, root: Path) -> None:
        self._vault, self._broken = LocalVault(root), root / "broken"

    def send(
        self,
        incident_id: str,
        evidence_id: str,
        name: str,
        path: Path,
        progress: Callable[[int], None] = lambda _: None,
        *,
        once: bool = False,
    ) -> Sent:
        if self._broken.exists():
            raise UploadFailed(self._broken.read_text())
        size, sha256 = path.stat().st_size, digest_of(path)
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(1 << 20), b"")
            storage = self._vault.put_stream(incident_id, evidence_id, name, chunks, sha256=sha256)
        progress(size)
        return Sent(size, sha256, storage)


class Driver:
    def __init__(self, config: dict[str, Any]) -> None:
        settings = RecorderSettings.model_validate(config["recorder"])
        facts = HostFacts.read(config["host_id"], config["host"])
        self.seen = 0
        self.recorder = FlightRecorder(Path(config["state"]), settings, facts.host, self.count)
        limits = ContentLimits.model_validate(config.get("limits", {}))
        sender = EvidenceSender(facts, Vault(Path(config["vault"])))
        self.evidence = HostEvidence(self.recorder, sender, VolatileCollector(facts, limits))

    def count(self, documents: Any) -> None:
        self.seen += len(documents)

    def header(self, incident_id: str, order_id: str) -> OrderHeader:
        expires_at = datetime.now(UTC) + timedelta(minutes=1)
        return OrderHeader(order_id=order_id, host_id="h", incident_id=incident_id, expires_at=expires_at)

    def freeze(self, incident: str, seconds: int, order: str = "freeze") -> Any:
        header = self.header(incident, order)
        return self.evidence.freeze_recorder(FreezeOrder(header=header, capture_seconds=seconds))

    def finish(self, incident: str, seconds: int, order: str = "finish") -> Any:
        header = self.header(incident, order)
        return self.evidence.finish_capture(CaptureOrder(header=header, capture_seconds=seconds))

    def collect(self, incident: str, collectors: list[str], budget: int, order: str = "collect", **more: Any) -> Any:
        order_ = CollectVolatileOrder.model_validate(
            {
                "header": self.header(incident, order).model_dump(),
                "collect": collectors,
                "budget_seconds": budget,
            }
            | more
        )
        return self.evidence.collect_volatile(order_)

    def status(self) -> Any:
        return self.recorder.status()

    def ready(self) -> Any:
        return self.recorder.wait_until_recording(30)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    config = json.loads(sys.argv[1])
    if config.get("tracefs", True):
        subprocess.run(("mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"), check=True)
    driver = Driver(config)
    begun = time.monotonic()
    driver.recorder.start()
    say({"started": time.monotonic() - begun})
    for line in sys.stdin:
        verb, arguments = json.loads(line)
        begun = time.monotonic()
        result = getattr(driver, verb)(**arguments)
        took = time.monotonic() - begun
        say({"took": took, "result": result.model_dump(mode="json")})
    driver.recorder.stop()


if __name__ == "__main__":
    main()
