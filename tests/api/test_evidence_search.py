from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from activities.contracts.evidence import Outcome, Source
from activities.ledger.evidence import EvidenceFilter
from activities.ledger.ledger import Ledger
from api.dependencies import ApiDependencies
from tests.activities.ledger.making import START
from tests.api.keeping import register

Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def case(dependencies: ApiDependencies) -> ApiDependencies:
    """Five items of two hosts in two incidents, an hour apart."""
    web, db = Source(resource_id="id-web", host="web"), Source(resource_id="id-db", host="db")
    hours = [START + timedelta(hours=hour) for hour in range(5)]
    register(dependencies, "web.ring-1", source=web, ended=hours[0])
    register(dependencies, "web.sockets", source=web, ended=hours[1], kind="volatile", name="sockets.json")
    missing = Outcome(state="missing", reason="the recorder is off")
    register(dependencies, "db.ring-1", source=db, ended=hours[2], outcome=missing, case_id="inc-2")
    register(dependencies, "db.100_pct", source=db, ended=hours[3], case_id="inc-2", tlp="RED")
    register(dependencies, "db.ring-2", source=db, ended=hours[3], case_id="inc-2")
    return dependencies


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["db.ring-2", "db.100_pct", "db.ring-1", "web.sockets", "web.ring-1"]),
        ("incident=inc-1", ["web.sockets", "web.ring-1"]),
        ("host=WEB", ["web.sockets", "web.ring-1"]),
        ("host=id-db&kind=packets", ["db.ring-2", "db.100_pct", "db.ring-1"]),
        ("kind=volatile", ["web.sockets"]),
        ("outcome=missing", ["db.ring-1"]),
        ("tlp=RED", ["db.100_pct"]),
        ("text=Sockets.json", ["web.sockets"]),
        ("text=100_", ["db.100_pct"]),
        ("text=%25", []),
        ("text=%00", []),
        ("since=2026-03-04T07:06:07.890123", ["db.ring-2", "db.100_pct", "db.ring-1"]),
        ("until=2026-03-04T07:06:07.890123Z&since=2026-03-04T07:06:00%2B01:00", ["web.sockets"]),
        ("host=nobody", []),
    ],
)
async def test_evidence_is_found_across_incidents(
    http: httpx.AsyncClient, case: ApiDependencies, bearer: Bearer, query: str, found: list[str]
) -> None:
    answer = await http.get(f"/v1/evidence?{query}", headers=bearer("viewer"))
    assert answer.status_code == 200, answer.text
    assert [manifest["item"]["evidence_id"] for manifest in answer.json()["items"]] == found


async def test_pages_hold_every_item_once(http: httpx.AsyncClient, case: ApiDependencies, bearer: Bearer) -> None:
    who, seen, cursor = bearer("viewer"), list[str](), ""
    for _ in range(5):
        page = (await http.get(f"/v1/evidence?limit=2{cursor}", headers=who)).json()
        seen += [manifest["item"]["evidence_id"] for manifest in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["db.ring-2", "db.100_pct", "db.ring-1", "web.sockets", "web.ring-1"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "kind=all", "tlp=PINK", "since=yesterday", "outcome=odd"])
async def test_what_can_not_be_is_refused(http: httpx.AsyncClient, bearer: Bearer, query: str) -> None:
    assert (await http.get(f"/v1/evidence?{query}", headers=bearer("viewer"))).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "W10", "W251bGwsICJpbmMtMSIsIDFd", "é"])
async def test_a_cursor_of_somebody_else_is_refused(http: httpx.AsyncClient, bearer: Bearer, cursor: str) -> None:
    answer = await http.get("/v1/evidence", params={"cursor": cursor}, headers=bearer("viewer"))
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


async def test_evidence_is_found_by_nobody_without_a_token(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/evidence")).status_code == 401


def test_an_item_that_is_chained_again_is_found_once(ledger: Ledger, dependencies: ApiDependencies) -> None:
    for _ in range(2):
        register(dependencies, "web.ring-1")
    assert len(ledger.evidence.find(EvidenceFilter()).items) == 1
