import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given as examples
from hypothesis import strategies as st

from activities.contracts.evidence import Outcome
from activities.evidence.receive import content_digest
from api.dependencies import ApiDependencies, Limits
from api.ranges import RangeUnsatisfiable, Span, asked_span
from tests.api.keeping import BYTES, ITEM, URL, alter, keep, reads, register, stored_file

Bearer = Callable[..., dict[str, str]]
TAG = f'"{hashlib.sha256(BYTES).hexdigest()}"'
LARGE = BYTES * 20  # five pieces of the vault's


@pytest.fixture
def kept(dependencies: ApiDependencies) -> ApiDependencies:
    keep(dependencies)
    return dependencies


@pytest.fixture
def hashed_while_it_leaves(dependencies: ApiDependencies, application: FastAPI) -> ApiDependencies:
    given = replace(dependencies, limits=Limits(hash_first_bytes=0))
    application.state.dependencies = given
    keep(given, LARGE)
    return given


def ask(who: dict[str, str], **headers: str) -> dict[str, str]:
    return who | {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, 256_000),
        ("bytes=-7", 255_993, 256_000),
        ("bytes=9-999999", 9, 256000),
    ],
)
async def test_a_range_is_answered_with_that_part(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer, asked: str, start: int, end: int
) -> None:
    answer = await http.get(f"{URL}?purpose=court", headers=ask(bearer("responder"), Range=asked))
    assert answer.status_code == 206
    assert answer.content == BYTES[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BYTES)}"
    assert answer.headers["etag"] == TAG
    assert answer.headers["repr-digest"] == content_digest(hashlib.sha256(BYTES).hexdigest())
    assert "content-digest" not in answer.headers
    assert answer.headers["content-disposition"].startswith("attachment")
    assert f"bytes {start} to {end - 1}" in reads(kept)[-1][2]


async def test_a_range_behind_the_end_is_refused_with_the_length(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer
) -> None:
    answer = await http.get(f"{URL}?purpose=court", headers=ask(bearer("responder"), Range="bytes=256000-"))
    assert (answer.status_code, answer.json()["code"]) == (416, "range-unsatisfiable")
    assert answer.headers["content-range"] == "bytes */256000"
    assert reads(kept) == []


@pytest.mark.parametrize("condition", ['"other"', f"W/{TAG}", "Sun, 06 Nov 1994 08:49:37 GMT"])
async def test_a_part_of_another_item_is_not_continued(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer, condition: str
) -> None:
    asked = ask(bearer("responder"), Range="bytes=100-", If_Range=condition)
    answer = await http.get(f"{URL}?purpose=court", headers=asked)
    assert (answer.status_code, answer.content) == (200, BYTES)


async def test_a_download_that_goes_on_is_one_access_and_others_are_their_own(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer
) -> None:
    alice, bob = bearer("responder", name="alice"), bearer("responder", name="bob")
    await http.get(f"{URL}?purpose=court", headers=alice)
    for start in (1_000, 50_000, 200_000):
        answer = await http.get(f"{URL}?purpose=court", headers=ask(alice, Range=f"bytes={start}-", If_Range=TAG))
        assert answer.content == BYTES[start:]
    await http.get(f"{URL}?purpose=court", headers=ask(bob, Range="bytes=5-", If_Range=TAG))
    await http.get(f"{URL}?purpose=appeal", headers=ask(alice, Range="bytes=6-", If_Range=TAG))
    for _ in range(2):
        await http.get(f"{URL}?purpose=court", headers=ask(alice, Range="bytes=0-9"))
    assert reads(kept) == [
        ("access", "user:alice", "court"),
        ("access", "user:alice", "court (continued with bytes 1000 to 255999)"),
        ("access", "user:bob", "court (continued with bytes 5 to 255999)"),
        ("access", "user:alice", "appeal (continued with bytes 6 to 255999)"),
        ("access", "user:alice", "court (bytes 0 to 9)"),
        ("access", "user:alice", "court (bytes 0 to 9)"),
    ]


async def test_one_who_continues_what_was_never_begun_is_told_of_with_every_byte(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer
) -> None:
    """HEAD tells the tag without an event: a part of one byte must not stand for the rest."""
    who = bearer("responder", name="alice")
    for asked in ("bytes=0-0", "bytes=1-", "bytes=1-"):
        await http.get(f"{URL}?purpose=court", headers=ask(who, Range=asked, If_Range=TAG))
    assert [purpose for _, _, purpose in reads(kept)] == [
        "court (continued with bytes 0 to 0)",
        "court (continued with bytes 1 to 255999)",
    ]


async def test_head_tells_length_and_digest_and_reads_nothing(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer
) -> None:
    answer = await http.head(URL, headers=bearer("viewer"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "256000"
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (TAG, "bytes")
    assert reads(kept) == []


async def test_an_encrypted_item_is_handed_out_and_resumed_as_it_was_collected(
    http: httpx.AsyncClient, dependencies: ApiDependencies, application: FastAPI, bearer: Bearer, tmp_path: Path
) -> None:
    key = tmp_path / "vault.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    place = dependencies.vault_place.model_copy(update={"key_file": key})
    encrypted = replace(dependencies, vault_place=place, limits=Limits(hash_first_bytes=0))
    application.state.dependencies = encrypted
    keep(encrypted, LARGE)
    assert LARGE[:64] not in stored_file(encrypted, ITEM).read_bytes()
    who, tag = bearer("responder"), f'"{hashlib.sha256(LARGE).hexdigest()}"'
    part = await http.get(f"{URL}?purpose=court", headers=ask(who, Range="bytes=3000000-", If_Range=tag))
    assert (part.status_code, part.content) == (206, LARGE[3_000_000:])
    assert (await http.get(f"{URL}?purpose=court", headers=who)).content == LARGE


async def test_an_item_without_bytes_says_why(http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer) -> None:
    absent = Outcome(state="missing", reason="the interface was gone")
    register(kept, "web-id-web.capture", sha256=None, storage=None, outcome=absent)
    url = "/v1/incidents/inc-1/evidence/web-id-web.capture?purpose=court"
    answer = await http.get(url, headers=bearer("responder"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "the interface was gone" in answer.json()["detail"]


async def test_a_large_item_is_hashed_while_it_leaves_and_its_end_is_told(
    http: httpx.AsyncClient, hashed_while_it_leaves: ApiDependencies, bearer: Bearer
) -> None:
    answer = await http.get(f"{URL}?purpose=court", headers=bearer("responder", name="alice"))
    assert answer.content == LARGE
    events = hashed_while_it_leaves.ledger.custody.custody("inc-1")[-2:]
    assert [(e.action, e.hash_after) for e in events] == [
        ("access", None),
        ("verify", hashlib.sha256(LARGE).hexdigest()),
    ]
    verdict = (await http.get("/v1/incidents/inc-1/evidence/verification", headers=bearer("admin"))).json()
    assert verdict["ok"], verdict


def test_a_large_item_that_was_altered_breaks_off_before_its_last_piece(
    hashed_while_it_leaves: ApiDependencies, served: str, bearer: Bearer
) -> None:
    alter(hashed_while_it_leaves, at=77)
    came: list[bytes] = []
    with httpx.stream("GET", f"{served}{URL}?purpose=court", headers=bearer("responder")) as answer:
        assert answer.headers["content-length"] == str(len(LARGE))
        with pytest.raises(httpx.RemoteProtocolError, match="closed"):
            came.extend(answer.iter_bytes())
    assert sum(map(len, came)) <= len(LARGE) - len(LARGE) % (1 << 20)
    assert "broken off: the bytes were altered" in reads(hashed_while_it_leaves)[-1][2]


async def test_an_item_of_another_length_is_not_handed_out_in_any_part(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer
) -> None:
    path = stored_file(kept, ITEM)
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(b"x")
    answer = await http.get(f"{URL}?purpose=court", headers=ask(bearer("responder"), Range="bytes=0-9"))
    assert (answer.status_code, answer.json()["code"]) == (409, "evidence-altered")
    assert "refused" in reads(kept)[-1][2]
    events = len(reads(kept))
    assert (await http.head(URL, headers=bearer("viewer"))).status_code == 409
    assert len(reads(kept)) == events


@examples(st.text(alphabet="bytes=0123456789-, BYTES\t", max_size=40), st.integers(0, 300))
def test_whatever_range_is_asked_for_only_what_is_there_is_given(asked: str, size: int) -> None:
    with suppress(RangeUnsatisfiable):
        span = asked_span(asked, None, TAG, size)
        assert 0 <= span.start <= span.start + span.length <= size
        assert span.partial or span == Span(0, size, partial=False)
        assert not span.partial or span.length > 0
