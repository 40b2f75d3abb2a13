"""Lines of bpftrace as documents, with names that an intruder chose."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.host.dns_messages import read_message
from activities.host.kernel_events import is_attaching, lost, parse

BOOT_NS = 1_795_337_000_000_000_000


def line(data: str) -> bytes:
    return json.dumps({"type": "printf", "data": data + "\n"}).encode()


def test_connection_has_its_ends_state_and_owner() -> None:
    event = parse(
        line("connection 1500000000 ffff88 6 7 2 0 99 ::ffff:10.0.0.1 ::ffff:10.0.0.2 41 0 my shell"), BOOT_NS
    )
    assert event == {
        "at": "2026-11-22T08:43:21.500000+00:00",
        "event": "connection",
        "socket": "ffff88",
        "state": "SYN_SENT",
        "was": "CLOSE",
        "protocol": 6,
        "source": "10.0.0.1",
        "source_port": 0,
        "destination": "10.0.0.2",
        "destination_port": 99,
        "pid": 41,
        "uid": 0,
        "process": "my shell",
    }


def test_process_is_left_out_where_the_kernel_only_interrupted_somebody() -> None:
    event = parse(line("connection 1 ffff88 6 2 1 40000 99 ::1 ::1 41 0 innocent"), BOOT_NS)
    assert event is not None
    assert not {"pid", "uid", "process"} & event.keys()


@pytest.mark.parametrize("name", ["/tmp/a b", "/tmp/9 9 9 /bin/sh", '/tmp/"q"\\', "/tmp/new\nline", "/tmp/\\uffffff80"])
def test_name_of_a_program_can_not_become_another_field(name: str) -> None:
    event = parse(line(f"execution 5 41 40 1000 {name}"), BOOT_NS)
    assert event is not None
    assert (event["pid"], event["ppid"], event["uid"], event["file"]) == (41, 40, 1000, name)


def test_octets_that_are_no_utf8_are_shown_as_octets() -> None:
    raw = rb'{"type": "printf", "data": "execution 5 41 40 0 /tmp/\uffffffc3(\n"}'
    event = parse(raw, BOOT_NS)
    assert event is not None
    assert event["file"] == r"/tmp/\xc3("


def test_denial_has_ports_in_our_order() -> None:
    event = parse(line("denial 5 12 6 10.0.0.1 10.0.0.2 48344 25344"), BOOT_NS)
    assert event is not None
    assert (event["reason"], event["source_port"], event["destination_port"]) == (12, 0xD8BC, 99)


def test_attempt_has_its_process_and_where_it_wanted_to() -> None:
    event = parse(line("attempt 5 41 1000 10.0.0.2 13568 a b"), BOOT_NS)
    assert event is not None
    assert (event["pid"], event["destination_port"], event["process"]) == (41, 53, "a b")


QUERY = "12 34 01 00 00 01 00 00 00 00 00 00 03 65 ff 2e 07 65 78 61 6d 70 6c 65 00 00 10 00 01"


def test_dns_question_has_a_name_that_is_safe_to_show() -> None:
    event = parse(line(f"dns 5 out 41 37 10.0.0.1 10.0.0.2 40000 13568 {QUERY}"), BOOT_NS)
    assert event is not None
    assert (event["name"], event["type"], event["answer"]) == (r"e\255\046.example.", "TXT", False)
    assert (event["pid"], event["size"], event["destination_port"]) == (41, 29, 53)


def test_what_comes_after_the_datagram_is_not_evidence() -> None:
    event = parse(line(f"dns 5 in 0 20 10.0.0.1 10.0.0.2 13568 40000 {QUERY}"), BOOT_NS)
    assert event is not None
    assert event["cut"]
    assert "pid" not in event
    assert "example" not in json.dumps(event)


@given(octets=st.binary(max_size=128))
def test_any_octets_make_a_document(octets: bytes) -> None:
    document = read_message(octets)
    assert json.dumps(document).isprintable()


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b'{"type": "lost_events", "data": {"events": 7}}', 7),
        (line("skipped 5 execution 12"), 12),
        (line("execution 5 1 1 0 /bin/true"), 0),
    ],
)
def test_what_is_missing_is_counted(raw: bytes, count: int) -> None:
    event = parse(raw, BOOT_NS)
    assert event is not None
    assert lost(event) == count


@pytest.mark.parametrize("raw", [b"", b"garbage", b'{"type": "printf", "data": "connection x"}', b"[]"])
def test_line_that_can_not_be_read_is_kept_as_it_came(raw: bytes) -> None:
    event: dict[str, Any] | None = parse(raw, BOOT_NS)
    assert event == {"event": "unreadable", "line": raw.decode()}


def test_what_bpftrace_says_of_itself_is_no_event() -> None:
    ready = b'{"type": "attached_probes", "data": {"probes": 4}}'
    assert is_attaching(ready)
    assert parse(ready, BOOT_NS) is None
