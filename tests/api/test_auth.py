from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import get_args

import httpx
import pytest

from api.dependencies import ApiDependencies
from api.errors import Conflict, NotFound, Unauthenticated
from api.tokens import Tokens, included
from playbooks.gates import Role

Bearer = Callable[..., dict[str, str]]
# Every route behind a token, and the lowest role of the ladder that opens it.
DOORS: list[tuple[str, str, Role]] = [
    ("GET", "/v1/incidents", "viewer"),
    ("GET", "/v1/incidents/inc-0", "viewer"),
    ("POST", "/v1/incidents/inc-0/decisions", "viewer"),
    ("POST", "/v1/incidents/inc-0/close", "responder"),
    ("POST", "/v1/incidents/inc-0/release", "approver"),
    ("GET", "/v1/incidents/inc-0/report", "viewer"),
    ("GET", "/v1/incidents/inc-0/evidence", "viewer"),
    ("GET", "/v1/incidents/inc-0/evidence/verification", "responder"),
    ("GET", "/v1/incidents/inc-0/evidence/item-1", "responder"),
    ("GET", "/v1/evidence", "viewer"),
    ("HEAD", "/v1/incidents/inc-0/evidence/item-1", "viewer"),
    ("GET", "/v1/incidents/inc-0/evidence/item-1/preview", "responder"),
    ("GET", "/v1/incidents/inc-0/evidence/item-1/links", "responder"),
    ("POST", "/v1/incidents/inc-0/evidence/item-1/links", "responder"),
    ("DELETE", "/v1/incidents/inc-0/evidence/item-1/links/link-0", "responder"),
    ("POST", "/v1/incidents/inc-0/evidence/seal", "responder"),
    ("GET", "/v1/incidents/inc-0/evidence/seals/1/timestamp", "viewer"),
    ("POST", "/v1/incidents/inc-0/evidence/hold", "responder"),
    ("POST", "/v1/incidents/inc-0/evidence/release", "approver"),
    ("POST", "/v1/incidents/inc-0/evidence/export", "responder"),
    ("GET", "/v1/hosts", "viewer"),
    ("DELETE", "/v1/hosts/host-0", "admin"),
    ("POST", "/v1/join-tokens", "admin"),
    ("GET", "/v1/audit", "responder"),
    ("GET", "/v1/audit/verification", "responder"),
    ("GET", "/v1/refusals", "viewer"),
    ("POST", "/v1/plans", "responder"),
    ("POST", "/v1/containments", "responder"),
    ("POST", "/v1/containments/release", "approver"),
    ("GET", "/v1/stop", "viewer"),
    ("PUT", "/v1/stop", "responder"),
    ("DELETE", "/v1/stop", "admin"),
]
# Break-glass stands beside the ladder: what it has to read, and what it may do.
BREAK_GLASS = {
    ("GET", "/v1/incidents"),
    ("GET", "/v1/incidents/inc-0"),
    ("POST", "/v1/incidents/inc-0/decisions"),
    ("GET", "/v1/stop"),
    ("DELETE", "/v1/stop"),
}
OPEN = {"/healthz", "/readyz", "/openapi.json"}
OTHERWISE_PROVEN = {
    "/v1/alerts/{source}",
    "/v1/vault/{incident_id}/{evidence_id}",
    "/v1/hosts/join",
    "/v1/hosts/{host_id}/refusals",
    "/v1/evidence-links/{token}",
}


@pytest.mark.parametrize(("method", "path", "role"), DOORS)
async def test_a_door_opens_from_its_role_upwards_and_to_nobody_else(
    http: httpx.AsyncClient, bearer: Bearer, method: str, path: str, role: Role
) -> None:
    ladder: list[Role] = ["viewer", "responder", "approver", "admin"]
    assert (await http.request(method, path)).status_code == 401
    glass = await http.request(method, path, headers=bearer("break-glass"))
    assert (glass.status_code == 403) == ((method, path) not in BREAK_GLASS)
    for held in ladder:
        answer = await http.request(method, path, headers=bearer(held))
        assert (answer.status_code == 403) == (ladder.index(held) < ladder.index(role)), held
        assert answer.status_code != 401


async def test_no_route_is_missing_from_the_list_of_doors(http: httpx.AsyncClient, bearer: Bearer) -> None:
    paths = set((await http.get("/openapi.json")).json()["paths"]) - OPEN - OTHERWISE_PROVEN
    concrete = {"{incident_id}": "inc-0", "{evidence_id}": "item-1", "{host_id}": "host-0", "{link_id}": "link-0"}
    concrete |= {"{number}": "1"}
    for template, value in concrete.items():
        paths = {path.replace(template, value) for path in paths}
    assert paths == {path for _, path, _ in DOORS}


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic dXNlcjpwYXNz", "fb_x"])
async def test_who_can_not_say_who_they_are_is_asked_to(http: httpx.AsyncClient, authorization: str) -> None:
    answer = await http.get("/v1/hosts", headers={"Authorization": authorization} if authorization else {})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_token_ends_with_the_next_request(
    http: httpx.AsyncClient, dependencies: ApiDependencies, bearer: Bearer
) -> None:
    who = bearer("viewer", name="alice")
    assert (await http.get("/v1/hosts", headers=who)).status_code == 200
    Tokens(dependencies.tokens._file._path.parent).revoke("alice")  # as another process does
    assert (await http.get("/v1/hosts", headers=who)).status_code == 401


def test_roles_include_those_below_and_break_glass_includes_none() -> None:
    assert included(("admin",)) == ("viewer", "responder", "approver", "admin")
    assert included(("viewer",)) == ("viewer",)
    assert included(("break-glass",)) == ("break-glass",)
    assert set(included(("admin", "break-glass"))) == set(get_args(Role))


def test_a_token_is_hashed_at_rest_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    made = Tokens(tmp_path).create("alice", ("viewer",))
    path = tmp_path / "tokens.json"
    assert made.token not in path.read_text()
    assert made.token.removeprefix("fb_") not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    fresh = tokens.create("fresh", ("viewer",), timedelta(hours=1)).token
    stale = tokens.create("stale", ("viewer",), timedelta(seconds=-1)).token
    assert tokens.authenticate(fresh).actor == "user:fresh"
    with pytest.raises(Unauthenticated):
        tokens.authenticate(stale)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create("alice", ("viewer",))
    with pytest.raises(Conflict):
        tokens.create("alice", ("admin",))
    with pytest.raises(NotFound):
        tokens.revoke("bob")
