import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from activities.contracts.incident import TargetStatus
from activities.evidence.preview import process
from activities.evidence.preview.errors import PreviewUnconfined
from api.dependencies import ApiDependencies
from tests.activities.evidence.preview import samples
from tests.activities.evidence.preview.samples import CUT
from tests.activities.ledger.making import record, workload
from tests.api.keeping import ITEM, URL, alter, keep, reads, stored_file

Bearer = Callable[..., dict[str, str]]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' \u202egnp.exe\x1b[2J"


@pytest.fixture
def cut(dependencies: ApiDependencies) -> ApiDependencies:
    """A capture, and an incident whose target was contained while it ran."""
    applied = datetime.fromtimestamp(CUT, UTC)
    target = TargetStatus(workload=workload(), state="isolated", applied_at=applied)
    dependencies.ledger.incidents.record(record("inc-1", 1, "isolated", targets=(target,)))
    keep(dependencies, samples.pcapng(), media_type="application/x-pcapng")
    return dependencies


async def test_a_capture_is_shown_with_the_moment_of_the_cut(
    http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer
) -> None:
    who = bearer("responder", name="alice")
    answer = await http.get(f"{URL}/preview?purpose=what+happened", headers=who)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "contained 05:06:40.000" in answer.text
    assert "TCP 5432 PostgreSQL" in answer.text
    assert "digest is the manifest" in answer.text
    assert reads(cut) == [("access", "user:alice", "preview: what happened")]


async def test_the_page_loads_and_runs_nothing(http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer) -> None:
    answer = await http.get(f"{URL}/preview?purpose=look", headers=bearer("responder"))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-forms" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|<link|<img|<iframe|<object|\ssrc=|\sstyle=|\son[a-z]+=|url\(|@import", answer.text)


@pytest.mark.parametrize(
    ("kind", "content", "q"),
    [
        ("logs", HOSTILE.encode(), HOSTILE),
        ("ebpf-events", json.dumps({"event": HOSTILE, "at": HOSTILE, HOSTILE: HOSTILE}).encode(), ""),
        ("kubernetes", json.dumps({HOSTILE: {HOSTILE: [HOSTILE]}}).encode(), HOSTILE),
        ("volatile", json.dumps({"entries": [{HOSTILE: HOSTILE}], HOSTILE: HOSTILE}).encode(), ""),
        ("packets", samples.pcapng([(CUT, samples.query(HOSTILE[:40]))], comment=HOSTILE), ""),
        ("memory", b"\0" + HOSTILE.encode(), ""),
    ],
)
async def test_hostile_content_is_inert(
    http: httpx.AsyncClient, dependencies: ApiDependencies, bearer: Bearer, kind: str, content: bytes, q: str
) -> None:
    keep(dependencies, content, kind=kind)
    query = {"purpose": HOSTILE, "q": q}
    page = await http.get(f"{URL}/preview", params=query, headers=bearer("responder"))
    assert page.status_code == 200, page.text
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert not re.search("[\u202e\x1b]", page.text)
    document = await http.get(f"{URL}/preview", params=query | {"format": "json"}, headers=bearer("admin"))
    assert not re.search("[\u202e\x1b]", document.text + repr(document.json()["preview"]["content"]))


async def test_a_preview_is_found_and_paged(
    http: httpx.AsyncClient, dependencies: ApiDependencies, bearer: Bearer
) -> None:
    keep(dependencies, "".join(f"line {n}\n" for n in range(1_200)).encode(), kind="logs")
    who = bearer("responder")
    page = (await http.get(f"{URL}/preview?purpose=a%26b&q=line&page=2", headers=who)).text
    assert 'href="?purpose=a%26b&amp;q=line&amp;page=3"' in page
    assert '<input type="hidden" name="purpose" value="a&amp;b">' in page
    query = {"purpose": "look", "q": "LINE 11", "format": "json"}
    found = (await http.get(f"{URL}/preview", params=query, headers=who)).json()
    assert found["preview"]["content"]["paged"] == {"total": 1_200, "matching": 111, "page": 1, "pages": 1}
    assert found["verified"]


async def test_altered_bytes_are_not_shown(http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer) -> None:
    alter(cut, at=400)
    answer = await http.get(f"{URL}/preview?purpose=look", headers=bearer("responder"))
    assert (answer.status_code, answer.json()["code"]) == (409, "evidence-altered")
    assert "refused: the bytes were altered" in reads(cut)[-1][2]


async def test_a_preview_that_was_made_is_an_event_each_time_it_is_shown(
    http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = bearer("responder")
    first = await http.get(f"{URL}/preview?purpose=look&format=json", headers=who)
    # Whatever is made anew from now on is refused.
    monkeypatch.setattr(process, "ANSWER_BYTES", 0)
    again = await http.get(f"{URL}/preview?purpose=look&format=json", headers=who)
    assert again.json() == first.json()
    assert len(reads(cut)) == 2


async def test_without_confinement_there_is_no_preview(
    http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PreviewUnconfined("unshare: Operation not permitted.", hint="Run it as root.")

    # A kernel that refuses namespaces can't be had here.
    monkeypatch.setattr("api.previews.preview_item", refuse)
    answer = await http.get(f"{URL}/preview?purpose=look", headers=bearer("responder"))
    assert (answer.status_code, answer.json()["code"]) == (501, "preview-unconfined")


async def test_a_link_to_a_preview_shows_it_and_searches_in_it(
    http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer, application: FastAPI
) -> None:
    body = {"purpose": "for the board", "view": "preview"}
    made = (await http.post(f"{URL}/links", json=body, headers=bearer("responder", name="alice"))).json()
    answer = await http.get(httpx.URL(made["url"]).raw_path.decode() + "?q=temporal")
    assert answer.status_code == 200, answer.text
    assert "TCP 7233 Temporal" in answer.text
    assert "TCP 5432" not in answer.text
    assert reads(cut)[-1][2].startswith(f"preview: for the board (link {made['link_id']} made by user:alice")


async def test_a_viewer_sees_no_content(http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer) -> None:
    assert (await http.get(f"{URL}/preview?purpose=look", headers=bearer("viewer"))).status_code == 403
    assert reads(cut) == []


async def test_no_preview_is_made_of_an_item_of_another_length(
    http: httpx.AsyncClient, cut: ApiDependencies, bearer: Bearer
) -> None:
    path = stored_file(cut, ITEM)
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(bytes(100))
    answer = await http.get(f"{URL}/preview?purpose=look", headers=bearer("responder"))
    assert (answer.status_code, answer.json()["code"]) == (409, "evidence-altered")
    assert "refused" in reads(cut)[-1][2]
