import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.evidence.preview import choosing, texts
from activities.evidence.preview.choosing import look
from activities.evidence.preview.documents import Preview
from activities.evidence.preview.series import BINS, Counting
from tests.activities.evidence.preview import samples
from tests.activities.evidence.preview.samples import CUT, request, shown


def seen(octets: bytes, kind: str = "files", media_type: str = "", **said: Any) -> Preview:
    return shown(look(io.BytesIO(octets), request(kind, media_type, **said)))


def content(octets: bytes, kind: str = "files", media_type: str = "", **said: Any) -> Any:
    return seen(octets, kind, media_type, **said).content


@pytest.mark.parametrize("octets", [samples.pcapng(comment="of inc-1"), samples.pcap()])
def test_a_capture_is_counted_before_and_after_the_cut(octets: bytes) -> None:
    found = content(octets, "packets", cut_at=CUT)
    assert (found.packets, found.before_cut, found.after_cut) == (46, 41, 5)
    assert found.first == datetime.fromtimestamp(CUT - 10, UTC)
    assert {share.name: share.packets for share in found.protocols} == {"TCP": 45, "UDP": 1}
    assert [(share.name, share.packets) for share in found.names] == [("updates.example", 1)]
    talks = {(talk.client, talk.server, talk.service): talk for talk in found.conversations}
    database = talks[samples.INTRUDER, samples.SERVER, "TCP 5432 PostgreSQL"]
    assert (database.to_server, database.to_client, database.opened, database.after_cut) == (20, 20, 20, 0)
    lifeline = talks[samples.INTRUDER, samples.CONTROL, "TCP 7233 Temporal"]
    assert (lifeline.packets, lifeline.after_cut, lifeline.opened) == (5, 5, 0)
    assert sum(found.series.counts[0]) == 46
    assert found.comment == ("of inc-1" if octets[:1] == b"\n" else "")


def test_each_interface_of_a_capture_has_its_own_clock() -> None:
    found = content(samples.two_interfaces(), "packets")
    assert found.interfaces == ("eth0", "eth1")
    assert abs((found.last - found.first).total_seconds()) < 0.001
    assert found.conversations[0].packets == 2


def test_conversations_are_searched() -> None:
    found = content(samples.pcapng(), "packets", q="postgres")
    assert [talk.server for talk in found.conversations] == [samples.SERVER]


def test_a_capture_that_is_cut_off_tells_what_came_before() -> None:
    octets = samples.pcapng()
    found = seen(octets[:-50], "packets")
    assert found.content.packets == 45  # type: ignore[union-attr]
    assert "cut off" in found.notes[0]


def test_events_make_a_timeline_with_what_was_lost() -> None:
    at = "2026-03-04T05:06:07.000001+00:00"
    flow = {"protocol": 6, "source": "10.66.0.2", "source_port": 4, "destination": "::1", "destination_port": 22}
    octets = samples.events(
        {"event": "segment"},
        {"at": at, "event": "connection", "state": "SYN_SENT", "pid": 7, "process": "ssh"} | flow,
        {"at": at, "event": "execution", "file": "/tmp/\u202egnp.exe\x1b[2J", "pid": 8},
        {"at": at, "event": "skipped", "kind": "denial", "count": 120},
        {"event": "lost", "count": 3},
    )
    found = content(octets + b"{half a li", "ebpf-events", "application/x-ndjson")
    assert [(row.event, row.text) for row in found.rows] == [
        ("connection", "TCP 10.66.0.2:4 → ::1:22 SYN_SENT  pid 7  process ssh"),
        ("execution", "/tmp/\\u{202E}gnp.exe\\u{001B}[2J  pid 8"),
        ("skipped", "kind denial  count 120"),
        ("lost", "count 3"),
        ("unreadable", "{half a li"),
    ]
    assert (found.lost, found.unreadable, found.paged.total) == (123, 1, 5)
    assert [row.event for row in content(octets, "ebpf-events", q="GNP.exe").rows] == ["execution"]


def test_a_document_of_entries_is_a_table_that_is_searched_in_what_it_does_not_show() -> None:
    entries = [{f"c{n}": n for n in range(30)} | {"last": f"needle {row}", "pids": ["1", "2"]} for row in range(3)]
    octets = json.dumps({"host": "web", "entries": entries}).encode()
    found = content(octets, "volatile", "application/json", q="NEEDLE 2")
    assert (found.paged.matching, found.paged.total, len(found.columns)) == (1, 3, 24)
    assert found.facts == (("host", "web"),)


def test_a_document_is_a_tree_in_its_own_order() -> None:
    found = content(b'{"kind": "Pod", "spec": {"ports": [1e400, true, null, 12345678901234567890]}}', "kubernetes")
    assert [(node.depth, node.label, node.value, node.children) for node in found.nodes] == [
        (0, "", "", 2),
        (1, "kind", "Pod", None),
        (1, "spec", "", 1),
        (2, "ports", "", 4),
        (3, "0", "1e400", None),
        (3, "1", "true", None),
        (3, "2", "null", None),
        (3, "3", "12345678901234567890", None),
    ]
    matching = content(b'{"a": {"b": ["x", "needle"]}, "needle": {"c": 1}}', "aws", q="needle")
    assert [(node.label, node.value) for node in matching.nodes] == [("a / b / 1", "needle"), ("needle / c", "1")]


@pytest.mark.parametrize("octets", [b'{"n": ' + b"9" * 100_000 + b"}", b"[" * 100_000, b'{"a":' * 50_000 + b"1"])
def test_a_document_that_is_made_to_choke_on_is_shown_all_the_same(octets: bytes) -> None:
    found = seen(octets, "kubernetes", "application/json")
    assert found.content.form in ("tree", "text")
    assert len(found.model_dump_json()) < 50_000


def test_depth_below_the_shown_one_is_said() -> None:
    found = content(b"[" * 200 + b"]" * 200, "aws")
    assert max(node.depth for node in found.nodes) == 60
    assert "nested deeper" in found.nodes[-1].value


def test_text_is_paged_and_searched() -> None:
    octets = "".join(f"line {number}\n" for number in range(1_200)).encode()
    assert [line.number for line in content(octets, "logs", page=3).lines] == list(range(1_001, 1_201))
    found = content(octets, "logs", q="LINE 11")
    assert (found.paged.matching, found.paged.total) == (111, 1_200)
    assert content(octets, "logs", page=99).lines == ()


def test_a_line_without_an_end_costs_a_bounded_part_of_it() -> None:
    found = seen(b"A" * (5 << 20) + b"\nnext\x00\n", "logs")
    assert [line.number for line in found.content.lines] == [1, 2]  # type: ignore[union-attr]
    assert "more characters" in found.content.lines[0].text  # type: ignore[union-attr]
    assert "longer than" in found.notes[0]


def test_a_packed_log_is_unpacked_as_far_as_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert content(gzip.compress(b"hello\n"), "logs").lines[0].text == "hello"
    # The real bound is 256 MiB, which would cost the tests a second each.
    monkeypatch.setattr(texts, "UNPACKED_BYTES", 1 << 20)
    found = seen(gzip.compress(bytes(50 << 20)), "logs")
    assert any("unpacks to more than" in note for note in found.notes)
    assert len(found.model_dump_json()) < 20_000
    assert found.content.form == "text"


def test_unknown_bytes_are_shown_as_bytes_with_what_can_be_read() -> None:
    found = content(b"\x7fELF\0\1" * 4 + b"GET /beacon HTTP/1.1\0", "memory")
    assert found.head[0].octets.startswith("7f 45 4c 46 00 01")
    assert [(line.number, line.text) for line in found.strings] == [(24, "GET /beacon HTTP/1.1")]
    assert content(b"\0" * 8 + b"secret-1\0secret-2", "files", q="SECRET-2").matching == 1


def test_only_so_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real bound is a GiB.
    monkeypatch.setattr(choosing, "INPUT_BYTES", 1_000)
    found = seen(b"x\n" * 5_000, "logs")
    assert found.octets_read == 1_000
    assert "first 1,000 bytes" in found.notes[-1]


def test_counting_over_time_stays_bounded_whatever_the_clocks_say() -> None:
    counting = Counting(("packets",))
    for at in (0.0, 1.5e9, 1.5e9 + 1, 2.0**63, -5.0, 1.5e9):
        counting.at(at)[0] += 1
    found = counting.result()
    assert found is not None
    assert len(found.counts[0]) <= BINS
    assert sum(found.counts[0]) == 6
