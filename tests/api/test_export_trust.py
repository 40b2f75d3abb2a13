"""What the API hands over of a case whose seals it holds against keys of its own."""

from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from activities.evidence.sealing.trust import Trust
from api.dependencies import ApiDependencies
from tests.activities.evidence.sealed import SealedCase, a_signer
from tests.activities.evidence.sealing.test_planted import signed_anew
from tests.api.test_custody import URL, WHY, Bearer, case

__all__ = ["case"]


@pytest.fixture
def knowing(dependencies: ApiDependencies, application: FastAPI, case: SealedCase) -> SealedCase:
    """The API has the worker's public key."""
    key = case.signer.key
    trust = Trust(keys={key.keyid: key})
    application.state.dependencies = replace(dependencies, seal_trust=lambda: trust)
    return case


async def test_the_fingerprint_is_told_by_who_knows_the_key(
    http: httpx.AsyncClient, knowing: SealedCase, bearer: Bearer
) -> None:
    answer = await http.post(f"{URL}/export", json=WHY, headers=bearer("responder"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["firebreak-seal-keys"] == knowing.signer.key.keyid


@pytest.mark.usefixtures("case")
async def test_without_a_key_of_its_own_the_api_vouches_for_none(http: httpx.AsyncClient, bearer: Bearer) -> None:
    answer = await http.post(f"{URL}/export", json=WHY, headers=bearer("responder"))
    assert (answer.status_code, answer.headers["firebreak-seal-keys"]) == (200, "")


async def test_not_a_byte_leaves_of_a_case_that_another_key_sealed(
    http: httpx.AsyncClient, knowing: SealedCase, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the worker would be fooled."""
    stranger = a_signer()
    knowing.seal()
    monkeypatch.setattr("activities.evidence.sealing.seal.check_standing", lambda *_: None)
    signed_anew(knowing, 2, {}, stranger)
    answer = await http.post(f"{URL}/export", json=WHY, headers=bearer("responder"))
    assert answer.json()["code"] == "export-broken"
    assert f"is signed with the key {stranger.key.keyid}" in answer.text
