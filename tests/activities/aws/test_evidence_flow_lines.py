"""What a file of flow logs may be: whole, or whatever somebody put in its place."""

import gzip
import io
import time
import tracemalloc
import zlib

import pytest

from activities.aws.evidence_flow_lines import FIRST_BYTES, LONGEST_LINE, Allowance, Sifted, sift
from tests.activities.aws.delivered import HEADER, line, packed

MINE = frozenset({b"eni-1"})


def sifted(content: bytes, allowance: Allowance | None = None) -> Sifted:
    return sift(io.BytesIO(content), MINE, allowance or Allowance(), lambda: False)


def test_only_lines_of_the_interfaces_are_kept_and_the_others_are_counted() -> None:
    found = sifted(packed(line("eni-1"), line("eni-12"), line("eni-2"), line("eni-1", 22)))

    assert (found.header, found.lines) == (HEADER, [line("eni-1"), line("eni-1", 22)])
    assert (found.left_out, found.problem, found.spent) == (2, "", "")


def test_an_interface_in_another_column_is_none_of_ours() -> None:
    found = sifted(packed("eni-2 eni-1", "eni-1 eni-2", header="interface-id note"))

    assert (found.lines, found.left_out) == (["eni-1 eni-2"], 1)


def test_a_line_that_is_too_short_to_tell_its_interface_is_kept() -> None:
    assert sifted(packed("2 1")).lines == ["2 1"]


def test_a_file_of_several_gzip_members_is_read_to_its_end() -> None:
    found = sifted(packed(line("eni-1")) + gzip.compress(f"{line('eni-1', 22)}\n".encode()))

    assert (len(found.lines), found.problem) == (2, "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(line("eni-1"))[:-9], "not whole"),
        (b"no gzip at all", "no gzip"),
        (packed(line("eni-1")) + b"and more", "no gzip"),
        (gzip.compress(HEADER.encode() + b"\n" + b"x" * (LONGEST_LINE + 1)), "has a line of more than"),
        (packed()[:20] + b"\xff" * 9, "not whole"),
    ],
)
def test_what_aws_does_not_write_is_said(content: bytes, words: str) -> None:
    found = sifted(content)

    assert words in found.problem
    assert found.sha256 == "", "a digest of what was not read to its end would be none"


def _bomb(of: bytes, mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(HEADER.encode() + b"\n"), *(packer.compress(of) for _ in range(mebibytes))]) + (
        packer.flush()
    )


@pytest.mark.parametrize("of", [b"\0", b"\n", b"2 1 eni-2 a b\n"])
def test_a_decompression_bomb_costs_neither_memory_nor_time(of: bytes) -> None:
    bomb = _bomb(of * ((1 << 20) // len(of)), 64)
    tracemalloc.start()
    started = time.process_time()
    found = sifted(bomb)
    taken = time.process_time() - started
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "unpacks to more than" in found.problem or "has a line of more than" in found.problem
    assert most < 4 * FIRST_BYTES
    assert taken < 3


def test_a_file_that_is_larger_than_aws_writes_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.aws.evidence_flow_lines.LARGEST_FILE", 1 << 20)
    stored = gzip.compress(b"".join(line("eni-2", port).encode() + b"\n" for port in range(60_000)), 0)
    source = io.BytesIO(stored)
    found = sift(source, MINE, Allowance(), lambda: False)

    assert "is larger than the 1 MiB" in found.problem
    assert source.tell() < 2 << 20 < len(stored), "the rest is not even fetched"


@pytest.mark.parametrize(
    ("allowance", "words"),
    [
        (Allowance(packed=10), "bytes in files"),
        (Allowance(plain=3 * 64), "unpacked bytes"),
        (Allowance(kept=300), "lines than may be kept"),
    ],
)
def test_what_is_spent_is_spent_for_every_file_that_comes(allowance: Allowance, words: str) -> None:
    content = packed(*[line("eni-1")] * 5)
    first, second = sifted(content, allowance), sifted(content, allowance)

    assert words in first.spent
    assert len(first.lines) < 5
    assert (second.lines, second.problem) == ([], "")
    assert words in second.spent


def test_what_is_kept_is_counted_as_it_will_be_written() -> None:
    allowance = Allowance(kept=5000)
    found = sifted(packed(f"2 1 eni-1 {chr(1) * 1000}"), allowance)

    assert "lines than may be kept" in found.spent, "each of these characters takes six in JSON"


def test_bytes_that_are_no_text_are_kept_as_escapes() -> None:
    found = sifted(gzip.compress(HEADER.encode() + b"\n2 1 eni-1 \xff\n"))

    assert found.lines == ["2 1 eni-1 \\xff"]


def test_nothing_more_is_fetched_once_the_time_is_spent() -> None:
    source = io.BytesIO(packed(line("eni-1")))
    found = sift(source, MINE, Allowance(), lambda: True)

    assert (found.spent, found.lines, source.tell()) == ("the time budget was spent", [], 0)
