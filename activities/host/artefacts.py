"""From a file on this host to an item of evidence: facts, upload, and the digest that comes of it.

Owns the ids of items, the facts that every item of a host shares, and the rule that an item never fails its
neighbours: whatever goes wrong with one becomes its outcome. Never collects.

    sender = EvidenceSender(HostFacts.read(host_id, "web"), uploader)
    sender.hand_over("inc-1", Artefact(label="ring-0001", ...))    # -> CollectedItem
"""

import hashlib
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Self

from temporalio import activity

from activities.contracts.evidence import Acquisition, CollectedItem, EvidenceKind, Outcome, Source, Storage
from activities.evidence.vault.layout import host_prefix
from activities.host.interfaces import read_interfaces
from activities.host.namespaces import Link
from activities.host.observe import own_netns
from activities.host.upload import Uploader
from activities.host.upload_errors import UploadFailed
from playbooks.host_isolation import Interface
from segmentation.bounds import cut
from segmentation.workloads import Frozen, Name

PACKETS_MEDIA_TYPE = "application/x-pcapng"
EVENTS_MEDIA_TYPE = "application/x-ndjson"
PCAP_MEDIA_TYPE = "application/vnd.tcpdump.pcap"
JSON_MEDIA_TYPE = "application/json"
OURSELVES = "firebreak"
_VERSION = re.compile(r"\d+\.\d+(\.\d+)*")


class HostFacts(Frozen):
    """What every item of this host says of its source."""

    host_id: Name
    host: Name
    boot_id: str
    netns_inode: int

    @classmethod
    def read(cls, host_id: Name, host: Name) -> Self:
        """As it is now, in the calling thread's network namespace."""
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return cls(host_id=host_id, host=host, boot_id=boot_id, netns_inode=own_netns())

    def source(self, interfaces: tuple[str, ...] = (), links: tuple[Link, ...] = (), netns_inode: int = 0) -> Source:
        """The source of an item from these interfaces: `links` as they were when it began, in which namespace."""
        found: Sequence[Link | Interface] = links or [i for i in read_interfaces() if i.name in interfaces]
        return Source(
            resource_id=self.host_id,
            host=self.host,
            boot_id=self.boot_id,
            netns_inode=netns_inode or self.netns_inode,
            interface=cut(",".join(interfaces)),
            ifindex=found[0].ifindex if found else 0,
            mac=found[0].mac if found else "",
        )

    def evidence_id(self, label: str) -> str:
        """The id of an item in its case: readable, and no other host's."""
        return host_prefix(self.host, self.host_id) + label


@dataclass(frozen=True)
class Artefact:
    """One thing that was to be collected. Without a path there is nothing, and the outcome says why."""

    label: str
    kind: EvidenceKind
    name: str
    media_type: str
    outcome: Outcome
    acquisition: Acquisition
    volatility_rank: int
    path: Path | None = None
    interfaces: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    netns_inode: int = 0


class EvidenceSender:
    """Hands artefacts over to the vault; safe for threads."""

    def __init__(self, facts: HostFacts, uploader: Uploader) -> None:
        self.facts, self._uploader = facts, uploader

    def hand_over(self, incident_id: Name, artefact: Artefact, *, once: bool = False) -> CollectedItem:
        """The item, in the vault or with the reason why it never will be; `once` without patience.

        Raises:
            UploadFailed: the vault is away; another try can help.
        """
        if artefact.path is None:
            return self._item(artefact, artefact.outcome)
        evidence_id = self.facts.evidence_id(artefact.label)
        try:
            sent = self._uploader.send(incident_id, evidence_id, artefact.name, artefact.path, _heartbeat, once=once)
        except (OSError, UploadFailed) as error:
            if isinstance(error, UploadFailed) and error.retryable:
                raise
            return self.lost(artefact, error)
        return self._item(artefact, artefact.outcome, sent.size, sent.sha256, sent.storage)

    def lost(self, artefact: Artefact, error: Exception) -> CollectedItem:
        """The item of what did not get through, and why."""
        outcome = Outcome(state="failed", reason=cut(f"collected, but not in the vault: {error}"))
        size, sha256 = _measure(artefact.path) if artefact.path else (0, None)
        return self._item(artefact, outcome, size, sha256)

    def _item(
        self,
        artefact: Artefact,
        outcome: Outcome,
        size: int = 0,
        sha256: str | None = None,
        storage: Storage | None = None,
    ) -> CollectedItem:
        return CollectedItem(
            evidence_id=self.facts.evidence_id(artefact.label),
            kind=artefact.kind,
            name=artefact.name,
            media_type=artefact.media_type,
            size=size,
            sha256=sha256,
            outcome=outcome,
            source=self.facts.source(artefact.interfaces, artefact.links, artefact.netns_inode),
            acquisition=artefact.acquisition,
            volatility_rank=artefact.volatility_rank,
            storage=storage,
        )


def _measure(path: Path) -> tuple[int, str | None]:
    """What there is of an artefact that did not get through."""
    try:
        return path.stat().st_size, digest_of(path)
    except OSError:
        return 0, None


def _heartbeat(sent: int) -> None:
    if activity.in_activity():
        activity.heartbeat(sent)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Tool:
    """A program as it is installed here."""

    name: str
    version: str = ""
    sha256: str = ""
    kernel: str = platform.release()


@cache
def tool(name: str) -> Tool:
    """Version and digest of a program on the PATH; empty where it is not installed."""
    if name == OURSELVES:
        return Tool(name, _own_version())
    path = shutil.which(name)
    if path is None:
        return Tool(name)
    said = subprocess.run((path, "--version"), capture_output=True, text=True, timeout=10, check=False)
    version = _VERSION.search(said.stdout + said.stderr)
    return Tool(name, version[0] if version else "", digest_of(Path(path)))


def _own_version() -> str:
    try:
        return metadata.version(OURSELVES)
    except metadata.PackageNotFoundError:
        return ""  # run from a source tree that was never installed
