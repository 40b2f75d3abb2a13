import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st

from activities.ledger.links import EvidenceLink
from api.dependencies import LINK_KEY, ApiDependencies
from api.link_tokens import read, sign
from tests.activities.ledger.making import START
from tests.api.keeping import BYTES, ITEM, URL, alter, keep, reads

Bearer = Callable[..., dict[str, str]]
Make = Callable[..., Any]
KEY = bytes(range(32))
LINK = EvidenceLink(
    link_id="lnk-1",
    case_id="inc-1",
    evidence_id=ITEM,
    made_by="user:alice",
    purpose="court",
    made_at=START,
    expires_at=START + timedelta(minutes=5),
)


@pytest.fixture
def kept(dependencies: ApiDependencies) -> ApiDependencies:
    keep(dependencies)
    return dependencies


@pytest.fixture
def make(http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer) -> Make:
    """Makes a link as alice; what the API answers."""
    who = bearer("responder", name="alice")

    async def made(**body: Any) -> Any:
        answer = await http.post(f"{URL}/links", json={"purpose": "lab, ticket 81"} | body, headers=who)
        assert answer.status_code == 201, answer.text
        return answer.json() | {"path": httpx.URL(answer.json()["url"]).raw_path.decode()}

    return made


async def test_a_link_gives_the_item_to_who_has_no_token_and_says_who_made_it(
    http: httpx.AsyncClient, kept: ApiDependencies, make: Make
) -> None:
    link = await make()
    assert link["url"].startswith("http://10.66.0.1:8080/v1/evidence-links/")
    answer = await http.get(link["path"])
    assert (answer.status_code, answer.content) == (200, BYTES)
    assert answer.headers["content-disposition"] == 'attachment; filename="ring.pcapng"'
    action, actor, purpose = reads(kept)[-1]
    assert (action, actor) == ("access", f"link:{link['link_id']}")
    assert purpose == f"lab, ticket 81 (link {link['link_id']} made by user:alice, used from 127.0.0.1)"


async def test_a_link_serves_parts_too(http: httpx.AsyncClient, make: Make) -> None:
    answer = await http.get((await make())["path"], headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (206, BYTES[5:10])


async def test_a_link_for_one_use_is_used_once_however_many_ask_at_once(http: httpx.AsyncClient, make: Make) -> None:
    link = await make(single_use=True)
    answers = await asyncio.gather(*(http.get(link["path"]) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410, 410]


async def test_a_link_that_was_taken_back_is_over(
    http: httpx.AsyncClient, kept: ApiDependencies, make: Make, bearer: Bearer
) -> None:
    link, who = await make(), bearer("responder", name="bob")
    for _ in range(2):
        assert (await http.delete(f"{URL}/links/{link['link_id']}", headers=who)).status_code == 204
    answer = await http.get(link["path"])
    assert (answer.status_code, answer.json()["code"]) == (410, "link-ended")
    listed = (await http.get(f"{URL}/links", headers=who)).json()["links"]
    assert [(found["link"]["link_id"], found["revoked_at"] is not None) for found in listed] == [
        (link["link_id"], True)
    ]
    kinds = [(event.kind, event.actor) for event in kept.ledger.audit.events() if "link" in event.kind]
    assert kinds == [("evidence-link.made", "user:alice"), ("evidence-link.revoked", "user:bob")]
    assert (await http.delete(f"{URL}/links/lnk-none", headers=who)).status_code == 404


async def test_what_ended_a_link_is_not_told_to_who_holds_it(
    http: httpx.AsyncClient, kept: ApiDependencies, make: Make, bearer: Bearer
) -> None:
    used, revoked = await make(single_use=True), await make()
    await http.get(used["path"])
    await http.delete(f"{URL}/links/{revoked['link_id']}", headers=bearer("admin"))
    expired = LINK.model_copy(update={"expires_at": datetime.now(UTC) - timedelta(seconds=1)})
    kept.ledger.evidence_links.add(expired)
    unknown = LINK.model_copy(update={"link_id": "lnk-2", "expires_at": datetime.now(UTC) + timedelta(hours=1)})
    signed = [f"/v1/evidence-links/{sign(kept.link_key, link)}" for link in (expired, unknown)]
    answers = [await http.get(path) for path in (used["path"], revoked["path"], *signed)]
    assert {answer.status_code for answer in answers} == {410}
    assert len({answer.text for answer in answers}) == 1


async def test_a_token_that_says_more_than_was_kept_is_over(
    http: httpx.AsyncClient, kept: ApiDependencies, make: Make
) -> None:
    link = read(kept.link_key, (await make(minutes=1))["path"].rpartition("/")[2])
    assert link is not None
    longer = link.model_copy(update={"expires_at": link.expires_at + timedelta(days=9)})
    assert (await http.get(f"/v1/evidence-links/{sign(kept.link_key, longer)}")).status_code == 410


@pytest.mark.parametrize("token", ["x", "a.b", "ä.ö", "%00", "%F0%9F%94%91", "e30." + "A" * 43, "A" * 4000])
async def test_a_forged_link_is_refused_alike_and_counted(
    http: httpx.AsyncClient, kept: ApiDependencies, token: str
) -> None:
    answer = await http.get(f"/v1/evidence-links/{token}")
    assert (answer.status_code, answer.json()["code"]) == (403, "link-refused")
    assert answer.json()["detail"] == "This is no link of ours."
    assert [(c.source, c.reason, c.count) for c in kept.ledger.refusals.counts()] == [("(links)", "link-refused", 1)]


async def test_guessing_is_slowed_down_and_costs_nobodys_own_link(http: httpx.AsyncClient, make: Make) -> None:
    link = await make()
    guesses = [(await http.get("/v1/evidence-links/a.b")).status_code for _ in range(60)]
    assert set(guesses) == {403, 429}
    assert (await http.get(link["path"])).status_code == 200


async def test_one_link_is_not_followed_without_end(http: httpx.AsyncClient, make: Make) -> None:
    link = await make()
    answers = [await http.get(link["path"], headers={"Range": "bytes=0-0"}) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {206, 429}
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_a_link_to_altered_bytes_gives_none(http: httpx.AsyncClient, kept: ApiDependencies, make: Make) -> None:
    link = await make()
    alter(kept)
    answer = await http.get(link["path"])
    assert (answer.status_code, answer.json()["code"]) == (409, "evidence-altered")


@pytest.mark.parametrize("body", [{"minutes": 61}, {"minutes": 0}, {"purpose": "x"}, {"view": "all"}, {"more": 1}])
async def test_a_link_that_would_be_too_much_is_not_made(
    http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer, body: dict[str, Any]
) -> None:
    answer = await http.post(f"{URL}/links", json={"purpose": "the lab"} | body, headers=bearer("responder"))
    assert answer.status_code == 422


async def test_a_viewer_makes_no_links(http: httpx.AsyncClient, kept: ApiDependencies, bearer: Bearer) -> None:
    for method, path in (("POST", "/links"), ("GET", "/links"), ("DELETE", "/links/lnk-1")):
        body = {"purpose": "the lab"} if method == "POST" else None
        assert (
            await http.request(method, URL + path, headers=bearer("viewer", name=method), json=body)
        ).status_code == 403


def test_the_key_is_made_once_for_its_owner_alone(kept: ApiDependencies) -> None:
    assert len(kept.link_key) == 32
    path = kept.vault_dir.parent / LINK_KEY
    assert path.read_bytes() == kept.link_key
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_reads_as_what_was_signed() -> None:
    assert read(KEY, sign(KEY, LINK)) == LINK
    assert read(bytes(32), sign(KEY, LINK)) is None


@settings(suppress_health_check=[HealthCheck.too_slow])
@examples(st.data())
def test_a_token_with_anything_changed_is_none_of_ours(data: st.DataObject) -> None:
    token = sign(KEY, LINK)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    # The last character of 32 bytes in base64 has two bits that mean nothing; they are compared all the same.
    assert read(KEY, changed) is None


def test_a_token_can_not_be_extended_by_who_knows_the_form() -> None:
    said, _, signature = sign(KEY, LINK).partition(".")
    body = json.loads(base64.urlsafe_b64decode(said + "=="))
    body["evidence_id"] = "other"
    forged = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    assert read(KEY, f"{forged}.{signature}") is None
