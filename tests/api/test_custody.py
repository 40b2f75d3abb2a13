"""Sealing, holding, releasing and exporting over the API, with a real vault, ledger and signer behind it."""

import asyncio
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from activities.contracts.custody import CustodyEvent
from activities.evidence.export.checking import verify_bag
from activities.evidence.export.unpack import unpack_bag
from activities.evidence.register import EvidenceRegistry
from activities.evidence.sealing.seal import Sealing
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.interface import AT_WILL
from api.dependencies import ApiDependencies
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase, a_signer
from tests.activities.ledger.making import record
from tests.api.temporal import FakeTemporal

Bearer = Callable[..., dict[str, str]]
URL = f"/v1/incidents/{CASE}/evidence"
WHY = {"purpose": "court order 7"}


@pytest.fixture
def case(dependencies: ApiDependencies, temporal: FakeTemporal) -> SealedCase:
    """An incident with two items, and a worker that seals."""
    given, signer = dependencies, a_signer()
    registry = EvidenceRegistry(given.ledger.custody, given.vault)
    sealing = Sealing(registry, given.ledger.custody, given.vault, lambda: signer)
    temporal.answers["SealCaseWorkflow"] = sealing.seal_case
    given.ledger.incidents.record(record(CASE, 1, "isolated"))
    made = SealedCase(given.ledger, given.vault, registry, sealing, signer)  # type: ignore[arg-type]
    made.register(*(make_item(made.vault, label) for label in ("sockets", "routes")))
    return made


def told(case: SealedCase, *actions: str) -> list[CustodyEvent]:
    return [event for event in case.ledger.custody.custody(CASE) if event.action in actions]


async def unpacked(answer: httpx.Response, into: Path) -> Path:
    return await asyncio.to_thread(unpack_bag, [answer.content], into)


async def test_an_export_is_a_bag_that_checks_out_and_tells_of_itself(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer, tmp_path: Path
) -> None:
    answer = await http.post(f"{URL}/export", json=WHY, headers=bearer("responder", name="alice"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["content-disposition"] == 'attachment; filename="firebreak-inc-1-000001.tar"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    bag = await unpacked(answer, tmp_path / "out")
    verdict = verify_bag(bag, Trust(fingerprints=frozenset([case.signer.key.keyid])))
    assert (verdict.ok, verdict.verified, verdict.unsealed) == (True, 2, 0)
    (event,) = told(case, "export")
    assert (event.actor, event.purpose) == ("user:alice", "court order 7")
    assert [e.purpose for e in told(case, "seal")] == ["export: court order 7"]


async def test_an_export_breaks_off_where_an_item_was_altered_and_says_so(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer
) -> None:
    path = case.vault.case(CASE).path("web-1.sockets")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"s", b"S", 1))
    with pytest.raises(ConnectionAbortedError, match=r"web-1\.sockets.*broken off"):
        await _whole(http, bearer("responder"))
    begun, noted = told(case, "export")
    assert begun.purpose == "court order 7"
    assert noted.purpose.startswith("broken off: data/artefacts/web-1.sockets@sockets.json")


async def _whole(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """As a server would: an error of the stream is one of the connection."""
    transport = httpx.ASGITransport(http._transport.app, raise_app_exceptions=True)  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=transport, base_url="http://firebreak") as client:
        await client.post(f"{URL}/export", json=WHY, headers=headers)


async def test_a_case_of_which_a_link_is_missing_is_not_exported(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer
) -> None:
    case.seal()
    next((case.folder / "manifests").glob("000001*")).rename(case.folder / "aside")
    (case.folder / "manifests" / "000001@web-1.other.json").write_bytes(b"{}")
    answer = await http.post(f"{URL}/export", json=WHY, headers=bearer("responder"))
    assert answer.status_code == 409
    assert answer.json()["code"] == "export-broken"


async def test_sealing_again_without_anything_new_is_the_same_seal(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer
) -> None:
    who = bearer("responder")
    answers = [await http.post(f"{URL}/seal", json=WHY, headers=who) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["keyid"] == case.signer.key.keyid


async def test_a_worker_that_can_not_sign_is_told_of(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer, temporal: FakeTemporal
) -> None:
    who = bearer("responder")
    temporal.refuses["SealCaseWorkflow"] = ("signer-unusable", "KMS refused sign.")
    refused = await http.post(f"{URL}/export", json=WHY, headers=who)
    assert (refused.status_code, refused.json()["code"]) == (409, "signer-unusable")
    temporal.refuses["SealCaseWorkflow"] = None
    assert (await http.post(f"{URL}/export", json=WHY, headers=who)).status_code == 503
    temporal.down = True
    assert (await http.post(f"{URL}/seal", json=WHY, headers=who)).status_code == 503


async def test_a_hold_is_lifted_by_another_person_with_a_higher_role(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer
) -> None:
    ada, ben = bearer("approver", name="ada"), bearer("approver", name="ben")
    body = WHY | {"evidence_id": "web-1.sockets"}
    held = await http.post(f"{URL}/hold", json=body, headers=ada)
    assert held.json() == {"case": [], "items": {"web-1.sockets": ["user:ada"]}}
    assert case.vault.retain(CASE, "web-1.sockets", AT_WILL).legal_hold
    refused = await http.post(f"{URL}/release", json=body, headers=ada)
    assert (refused.status_code, refused.json()["code"]) == (409, "hold-refused")
    released = await http.post(f"{URL}/release", json=body, headers=ben)
    assert released.json() == {"case": [], "items": {}}
    assert not case.vault.retain(CASE, "web-1.sockets", AT_WILL).legal_hold
    assert [(e.action, e.actor) for e in told(case, "hold", "release")] == [
        ("hold", "user:ada"),
        ("release", "user:ben"),
    ]


async def test_a_hold_on_the_case_covers_what_comes_later_and_outlives_no_hold_on_an_item(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer
) -> None:
    ada, ben = bearer("responder", name="ada"), bearer("approver", name="ben")
    await http.post(f"{URL}/hold", json=WHY, headers=ada)
    await http.post(f"{URL}/hold", json=WHY | {"evidence_id": "web-1.routes"}, headers=ada)
    case.register(make_item(case.vault, "late"))
    assert case.vault.retain(CASE, "web-1.late", AT_WILL).legal_hold
    await http.post(f"{URL}/release", json=WHY, headers=ben)
    holds = {item: case.vault.retain(CASE, item, AT_WILL).legal_hold for item in ("web-1.late", "web-1.routes")}
    assert holds == {"web-1.late": False, "web-1.routes": True}


@pytest.mark.parametrize(
    ("route", "role", "status"),
    [
        ("seal", "viewer", 403),
        ("hold", "viewer", 403),
        ("release", "responder", 403),
        ("export", "viewer", 403),
        ("export", "responder", 200),
    ],
)
async def test_roles_stand_at_the_door(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer, route: str, role: str, status: int
) -> None:
    answer = await http.post(f"{URL}/{route}", json=WHY, headers=bearer(role))
    assert answer.status_code == status


@pytest.mark.parametrize("route", ["seal", "hold", "release", "export"])
@pytest.mark.parametrize("body", [{}, {"purpose": ""}, {"purpose": "x" * 501}])
async def test_nothing_is_done_without_a_purpose(
    http: httpx.AsyncClient, case: SealedCase, bearer: Bearer, route: str, body: dict[str, str]
) -> None:
    assert (await http.post(f"{URL}/{route}", json=body, headers=bearer("admin"))).status_code == 422
    assert not told(case, "seal", "hold", "release", "export")


async def test_what_is_not_there_can_not_be_held(http: httpx.AsyncClient, case: SealedCase, bearer: Bearer) -> None:
    body, who = WHY | {"evidence_id": "web-1.nothing"}, bearer("responder")
    assert (await http.post(f"{URL}/hold", json=body, headers=who)).status_code == 409
    missing = await http.post("/v1/incidents/inc-9/evidence/hold", json=WHY, headers=who)
    assert missing.status_code == 404


async def test_a_tar_holds_nothing_but_plain_files(http: httpx.AsyncClient, case: SealedCase, bearer: Bearer) -> None:
    answer = await http.post(f"{URL}/export", json=WHY, headers=bearer("responder"))
    with tarfile.open(fileobj=BytesIO(answer.content)) as archive:
        assert all(member.isreg() for member in archive)
