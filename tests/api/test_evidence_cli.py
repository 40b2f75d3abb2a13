"""Finding, fetching in several goes, looking at and lending evidence from the command line."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import Result

from activities.evidence.receive import content_digest
from api.cli import evidence_downloads
from api.cli.client import ApiClient
from api.cli.evidence_checks import EvidenceBroken
from api.cli.evidence_downloads import download
from api.dependencies import ApiDependencies
from tests.api.keeping import BYTES, ITEM, URL, alter, keep, reads
from tests.api.test_cli import asked, run

__all__ = ["asked", "run"]
Run = Callable[..., Result]
DIGEST = hashlib.sha256(BYTES).hexdigest()
PARTIAL = f"ring.pcapng.{DIGEST[:12]}.partial"


@pytest.fixture
def kept(dependencies: ApiDependencies) -> ApiDependencies:
    keep(dependencies)
    return dependencies


def fetch(asked: Run, *more: str) -> Result:
    return asked("evidence", "get", "inc-1", ITEM, "--purpose", "court", *more)


def test_a_download_goes_on_where_it_broke_off(asked: Run, kept: ApiDependencies, tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(BYTES[:100_000])
    done = fetch(asked)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "ring.pcapng").read_bytes() == BYTES
    assert not (tmp_path / PARTIAL).exists()
    assert [purpose for _, _, purpose in reads(kept)] == ["court (continued with bytes 100000 to 255999)"]


def test_a_part_that_is_something_else_is_found_out(asked: Run, kept: ApiDependencies, tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(os.urandom(1_000))
    done = fetch(asked)
    assert done.exit_code == 1
    assert "announced" in done.stderr
    assert list(tmp_path.glob("ring*")) == []
    assert fetch(asked).exit_code == 0


def test_a_part_that_is_too_long_is_begun_anew(asked: Run, kept: ApiDependencies, tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(bytes(len(BYTES) + 1))
    assert fetch(asked).exit_code == 0
    assert (tmp_path / "ring.pcapng").read_bytes() == BYTES


def test_an_empty_item_is_fetched_too(asked: Run, kept: ApiDependencies, tmp_path: Path) -> None:
    keep(kept, b"", "web-id-web.none")
    done = asked(
        "evidence", "get", "inc-1", "web-id-web.none", "--purpose", "court", "--output", str(tmp_path / "none")
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "none").read_bytes() == b""


@pytest.mark.usefixtures("served")
def test_a_connection_that_breaks_again_and_again_is_taken_up_again(
    kept: ApiDependencies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_downloads, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(evidence_downloads, "_CHUNK_BYTES", 1_000)
    ranges: list[str] = []

    class Breaking(httpx.SyncByteStream):
        def __init__(self, octets: bytes) -> None:
            self._octets = octets

        def __iter__(self) -> Iterator[bytes]:
            yield self._octets[:60_000]
            if len(self._octets) > 60_000:
                raise httpx.RemoteProtocolError("peer closed connection")

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"ETag": f'"{DIGEST}"', "Repr-Digest": content_digest(DIGEST)}
        headers["Content-Length"] = str(len(BYTES))
        if request.method == "HEAD":
            return httpx.Response(200, headers=headers)
        ranges.append(request.headers.get("range", ""))
        start = int(ranges[-1].removeprefix("bytes=").rstrip("-") or 0)
        assert not start or request.headers["if-range"] == f'"{DIGEST}"'
        return httpx.Response(206 if start else 200, stream=Breaking(BYTES[start:]))

    # A server that breaks off at a chosen byte, again and again, is not to be had.
    client = ApiClient(httpx.Client(transport=httpx.MockTransport(answer), base_url="http://api"))
    target = download(client, URL, "court", tmp_path / "out")
    assert target.read_bytes() == BYTES
    assert ranges == ["", "bytes=60000-", "bytes=120000-", "bytes=180000-", "bytes=240000-"]
    with pytest.raises(EvidenceBroken, match="already"):
        download(client, URL, "court", tmp_path / "out")


def test_altered_bytes_do_not_get_a_name(asked: Run, kept: ApiDependencies, tmp_path: Path) -> None:
    alter(kept, at=200_000)
    (tmp_path / PARTIAL).write_bytes(BYTES[:1_000])
    assert fetch(asked).exit_code == 1
    assert list(tmp_path.glob("ring*")) == []


def test_evidence_is_found_across_incidents(asked: Run, kept: ApiDependencies) -> None:
    found = asked("evidence", "list", "--host", "web", "--kind", "packets", "--json")
    assert [m["item"]["evidence_id"] for m in json.loads(found.stdout)["items"]] == [ITEM]
    assert "inc-1" in asked("evidence", "list").stdout
    assert "Nothing is like that" in asked("evidence", "list", "inc-1", "--text", "nowhere").stderr
    assert asked("evidence", "list", "--kind", "odd").exit_code == 1


def test_a_page_is_written_and_a_link_lent_and_taken_back(
    asked: Run, dependencies: ApiDependencies, tmp_path: Path, served: str
) -> None:
    keep(dependencies, b"a line\n" * 10, kind="logs")
    page = tmp_path / "page.html"
    done = asked("evidence", "preview", "inc-1", ITEM, "--purpose", "look", "--output", str(page))
    assert done.exit_code == 0, done.output
    assert "a line" in page.read_text()
    assert asked("evidence", "preview", "inc-1", ITEM, "--purpose", "look", "--output", str(page)).exit_code == 1
    shown = asked("evidence", "preview", "inc-1", ITEM, "--purpose", "look", "--search", "line", "--json")
    assert json.loads(shown.stdout)["preview"]["content"]["paged"]["matching"] == 10
    made = json.loads(asked("evidence", "link", "inc-1", ITEM, "--purpose", "the lab", "--json").stdout)
    path = httpx.URL(made["url"]).raw_path.decode()
    assert httpx.get(served + path).content == b"a line\n" * 10
    assert asked("evidence", "unlink", "inc-1", ITEM, made["link_id"]).exit_code == 0
    assert httpx.get(served + path).status_code == 410
