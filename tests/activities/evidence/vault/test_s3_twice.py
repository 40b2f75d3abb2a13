"""A bucket in which somebody laid a second object beside an artefact: neither is taken for it."""

from collections.abc import Callable
from typing import Any

import pytest

from activities.evidence.errors import VaultMismatch
from activities.evidence.vault.s3 import S3Vault
from activities.evidence.vault.s3_case import S3Case
from tests.activities.evidence.vault.conftest import BUCKET
from tests.activities.evidence.vault.test_s3 import put


@pytest.mark.parametrize(
    "look", [S3Case.artefacts, lambda case: case.find("e1"), lambda case: b"".join(case.read("e1"))]
)
def test_two_objects_of_one_item_are_named(
    bucket_vault: S3Vault, s3: Any, prefix: str, look: Callable[[S3Case], object]
) -> None:
    put(bucket_vault)
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/case/inc-1/artefacts/e1@0aa.txt", Body=b"forged")
    case = bucket_vault.case("inc-1")
    assert isinstance(case, S3Case)
    with pytest.raises(VaultMismatch, match=r"e1: expected one file, found 2"):
        look(case)
