"""A vault that takes its time, and uploads on their way into it."""

import hashlib
import threading
from pathlib import Path

from activities.contracts.evidence import Storage
from activities.evidence.vault.arriving import Place
from activities.evidence.vault.incoming import Incoming
from activities.evidence.vault.local import LocalVault
from activities.evidence.vault.spool import Part

CONTENT = b"evidence" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLACE = Place(host_id="id-web", case_id="inc-1", evidence_id="e1", name="a.bin", size=len(CONTENT))


class SlowVault(LocalVault):
    """A vault that waits before it takes a file, as one does whose disk has much to sync."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.go = threading.Event(), threading.Event()
        self.refusal: Exception | None = None

    def put_file(self, case_id: str, evidence_id: str, name: str, path: Path, *, sha256: str) -> Storage:
        self.asked.set()
        assert self.go.wait(20)
        if self.refusal:
            raise self.refusal
        return super().put_file(case_id, evidence_id, name, path, sha256=sha256)


def begun(incoming: Incoming, offset: int = 0, digest: str = DIGEST, place: Place = PLACE) -> Part:
    part = incoming.begin(place, offset, digest)
    assert isinstance(part, Part)
    return part


def whole(incoming: Incoming, place: Place = PLACE) -> Part:
    part = begun(incoming, place=place)
    incoming.write(place, part, [CONTENT])
    incoming.finish(place, part, DIGEST)
    return part
