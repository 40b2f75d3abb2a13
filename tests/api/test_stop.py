"""The global stop over the API: who may switch it, and that every change of it is kept with its reason."""

from collections.abc import Callable

import httpx
import pytest

from activities.ledger.ledger import Ledger
from playbooks.gates import Role

Bearer = Callable[..., dict[str, str]]
OFF = {"on": False, "since": None, "actor": "", "reason": ""}


async def test_a_responder_sets_the_stop_and_everybody_sees_since_when_by_whom_and_why(
    http: httpx.AsyncClient, ledger: Ledger, bearer: Bearer
) -> None:
    assert (await http.get("/v1/stop", headers=bearer("viewer"))).json() == OFF

    answer = await http.put("/v1/stop", json={"reason": "the SIEM errs"}, headers=bearer("responder", name="ana"))

    assert answer.status_code == 200
    assert (answer.json()["on"], answer.json()["actor"], answer.json()["reason"]) == (True, "user:ana", "the SIEM errs")
    shown = await http.get("/v1/stop", headers=bearer("break-glass"))
    assert shown.json() == answer.json()
    assert ledger.stop.read().restraint.endswith("by user:ana: the SIEM errs")


@pytest.mark.parametrize(
    ("role", "may"), [("responder", False), ("approver", False), ("admin", True), ("break-glass", True)]
)
async def test_an_administrator_or_break_glass_lifts_it(
    http: httpx.AsyncClient, ledger: Ledger, bearer: Bearer, role: Role, may: bool
) -> None:
    await http.put("/v1/stop", json={"reason": "the SIEM errs"}, headers=bearer("responder", name="ana"))

    answer = await http.delete("/v1/stop", params={"reason": "repaired"}, headers=bearer(role, name="who"))

    assert answer.status_code == (200 if may else 403)
    assert ledger.stop.read().on != may
    last = ledger.audit.events()[-1]
    assert (last.kind, last.actor) == (("stop-off", "user:who") if may else ("stop-on", "user:ana"))


@pytest.mark.parametrize("reason", [{}, {"reason": ""}])
async def test_nothing_about_the_stop_changes_without_a_reason(
    http: httpx.AsyncClient, ledger: Ledger, bearer: Bearer, reason: dict[str, str]
) -> None:
    who = bearer("admin")
    assert (await http.put("/v1/stop", json=reason, headers=who)).status_code == 422
    assert not ledger.stop.read().on
    await http.put("/v1/stop", json={"reason": "the SIEM errs"}, headers=who)
    assert (await http.delete("/v1/stop", params=reason, headers=who)).status_code == 422
    assert ledger.stop.read().on
