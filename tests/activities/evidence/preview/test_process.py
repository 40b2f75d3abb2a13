import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.evidence.errors import VaultMismatch
from activities.evidence.preview import process
from activities.evidence.preview.choosing import look
from activities.evidence.preview.documents import Preview, Refusal
from activities.evidence.preview.errors import PreviewBusy, PreviewFailed, PreviewUnconfined
from activities.evidence.preview.process import preview_item
from tests.activities.evidence.preview import samples
from tests.activities.evidence.preview.samples import request

ROOT = Path(process.__file__).parents[3]
# What a process that was confined can still do, tried by itself.
TRY = """
import os, socket, sys
from activities.evidence.preview.confinement import confine
confine()
def tried(what):
    try:
        what()
    except OSError as error:
        return error.errno is not None
    return False
print(tried(lambda: open("/etc/hostname")), tried(socket.socket), tried(os.fork),
      tried(lambda: os.setuid(0)), os.getuid(), open("/proc/self/status").read() if 0 else "")
"""


def test_the_process_has_no_network_no_files_no_children_and_no_rights() -> None:
    done = subprocess.run([sys.executable, "-c", TRY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", "True", "65534"]


@pytest.mark.parametrize("unable", ["_leave_network", "_drop_rights"])
def test_nothing_is_read_where_the_process_can_not_be_confined(unable: str) -> None:
    # A kernel that refuses namespaces can't be had here: the refusal is put in its place.
    run = f"""
import sys
from activities.evidence.preview import __main__, confinement
def refuse(*_):
    raise confinement.PreviewUnconfined("not on this machine")
confinement.{unable} = refuse
sys.exit(__main__.main())
"""
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, input=b"", capture_output=True, check=False)
    assert done.returncode == 3
    assert Refusal.model_validate_json(done.stdout).problem == "not on this machine"


def test_a_preview_comes_with_the_digest_of_what_was_fed() -> None:
    octets = samples.pcapng()
    found = preview_item([octets[:100], octets[100:]], request())
    assert found.complete
    assert found.preview.content.packets == 46  # type: ignore[union-attr]
    assert found.preview == look(open_bytes(octets), request())


def test_what_the_process_did_not_read_is_hashed_all_the_same(program: Callable[[str], None]) -> None:
    paged = '"paged": {"total": 0, "matching": 0, "page": 1, "pages": 1}'
    answer = f'{{"content": {{"form": "text", "lines": [], {paged}}}, "octets_read": 0}}'
    program(f"import os; os.close(0); print({answer!r})")
    pieces = [bytes([number]) * (1 << 20) for number in range(8)]
    found = preview_item(iter(pieces), request("logs"))
    assert (found.sha256, found.complete) == (hashlib.sha256(b"".join(pieces)).hexdigest(), True)


def open_bytes(octets: bytes) -> Any:
    import io

    return io.BytesIO(octets)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Puts a program of the test in the place of the one that looks: one that was taken over by what it read."""

    def put(text: str) -> None:
        folder = tmp_path / "activities" / "evidence"
        folder.mkdir(parents=True)
        # A package wherever it stands in the path goes before a folder that is none.
        for package in (folder.parent, folder):
            (package / "__init__.py").touch()
        (folder / "preview.py").write_text(text)
        monkeypatch.setattr(process, "_ROOT", tmp_path)

    return put


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "too much time or memory"),
        ("import sys; sys.exit(7)", "ended with 7"),
        ("print('no document')", "ended with 0"),
        ("""print('{"content": {"form": "text", "lines": [], "paged": {}}, "octets_read": 0}')""", "ended with 0"),
        ("while True: print('x' * 65536)", "longer than"),
        ("import sys\nwhile True: sys.stderr.write('x' * 65536)", "longer than 2 s"),
        ("import time; time.sleep(60)", "longer than 2 s"),
    ],
)
def test_whatever_the_process_does_the_caller_gets_an_error_in_time(
    program: Callable[[str], None], text: str, why: str
) -> None:
    program(text)
    began = time.monotonic()
    with pytest.raises(PreviewFailed, match=why):
        preview_item(iter([bytes(1 << 20)] * 20), request(), seconds=2)
    assert time.monotonic() - began < 20


def test_what_the_vault_raises_reaches_the_caller() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        raise VaultMismatch("the key is another")

    with pytest.raises(VaultMismatch):
        preview_item(chunks(), request("logs"))


def test_there_are_only_so_many_at_once(program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    program("import time; time.sleep(60)")
    monkeypatch.setattr(process, "WAIT_SECONDS", 0.2)
    started = threading.Barrier(process.AT_ONCE + 1)

    def chunks() -> Iterator[bytes]:
        started.wait(10)
        yield b""

    def one() -> None:
        with pytest.raises(PreviewFailed):
            preview_item(chunks(), request(), seconds=3)

    threads = [threading.Thread(target=one) for _ in range(process.AT_ONCE)]
    for thread in threads:
        thread.start()
    started.wait(10)
    with pytest.raises(PreviewBusy):
        preview_item([], request())
    for thread in threads:
        thread.join()


def test_a_refusal_to_be_confined_is_told_apart(program: Callable[[str], None]) -> None:
    program('import sys; print(\'{"problem": "not here"}\'); sys.exit(3)')
    with pytest.raises(PreviewUnconfined, match="not here"):
        preview_item([], request())


SEEDS = [
    ("packets", samples.pcapng()),
    ("packets", samples.pcap()),
    ("packets", samples.two_interfaces()),
    ("ebpf-events", samples.events({"event": "lost", "count": 3, "at": "2026-01-01T00:00:00Z"}, {"event": "dns"})),
    ("kubernetes", b'{"kind": "Pod", "spec": {"n": [1, 2.5e9, null, "x\\u202e"]}}'),
    ("volatile", b'{"entries": [{"pid": 1, "args": ["a", "b"]}, {"pid": 2}]}'),
]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sample with bytes changed, dropped, repeated or put in."""
    kind, octets = draw(st.sampled_from(SEEDS))
    changed = bytearray(octets)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(changed)))
        gone = draw(st.integers(0, 12))
        put = draw(
            st.binary(max_size=12) | st.sampled_from([b"\xff" * 4, bytes(4), b"[" * 50, b'"', b"\x1b[2J", octets])
        )
        changed[at : at + gone] = put
    return kind, bytes(changed)


@settings(max_examples=300)
@given(mutated(), st.sampled_from(["", "p", "10.66", "\0"]), st.integers(1, 3))
def test_whatever_the_bytes_are_there_is_a_document_or_a_refusal(sample: tuple[str, bytes], q: str, page: int) -> None:
    kind, octets = sample
    found = look(open_bytes(octets), request(kind, q=q, page=page, cut_at=samples.CUT))
    assert isinstance(found, Preview | Refusal)
    assert type(found).model_validate_json(found.model_dump_json()) == found


@settings(max_examples=8)
@given(mutated())
def test_and_so_there_is_one_out_of_the_process(sample: tuple[str, bytes]) -> None:
    kind, octets = sample
    try:
        found = preview_item([octets], request(kind))
    except PreviewFailed as error:
        assert error.hint  # noqa: PT017 - either outcome is right
    else:
        assert found.preview.octets_read <= len(octets)


def test_no_process_is_left_behind() -> None:
    before = set(children())
    preview_item([b"text\n"], request("logs"))
    assert set(children()) <= before


def children() -> list[int]:
    found = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [int(pid) for pid in found]
