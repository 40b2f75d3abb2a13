"""What S3 refuses for now: nothing is given up for it, and nothing is told of that was not written.

No server here answers so by itself: its answers are changed on their way, as those of AWS would come.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from activities.evidence.errors import VaultDenied, VaultMissing, VaultUnavailable
from activities.evidence.vault.multipart import PART_BYTES
from activities.evidence.vault.s3 import S3Vault
from tests.activities.evidence.vault.conftest import MakeVault
from tests.activities.evidence.vault.test_s3 import put


def answering(vault: S3Vault, operation: str, status: int, code: str) -> None:
    """The next answers to an operation, whatever the server would say."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    class Raw:
        def stream(self, *_: Any, **__: Any) -> list[bytes]:
            return [body]

    def answer(**_: Any) -> AWSResponse:
        return AWSResponse("http://s3", status, {"content-type": "application/xml"}, Raw())

    vault._bucket._client.meta.events.register(f"before-send.s3.{operation}", answer)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (409, "ConditionalRequestConflict", VaultUnavailable),
        (409, "OperationAborted", VaultUnavailable),
        (400, "ExpiredToken", VaultDenied),
        (403, "RequestTimeTooSkewed", VaultDenied),
        (403, "AccessDenied", VaultDenied),
    ],
)
def test_refusal_that_may_pass_is_none_of_the_artefact(
    make_vault: MakeVault, status: int, code: str, error: type[Exception]
) -> None:
    vault = make_vault()
    answering(vault, "PutObject", status, code)
    with pytest.raises(error):
        put(vault)
    with pytest.raises(VaultMissing):
        make_vault().find("inc-1", "e1")


@pytest.mark.parametrize(("status", "code"), [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")])
def test_document_that_was_not_written_is_not_told_of(make_vault: MakeVault, status: int, code: str) -> None:
    vault = make_vault()
    answering(vault, "PutObject", status, code)
    with pytest.raises(VaultUnavailable):
        vault.put_document("inc-1", "seals", "000001.json", b"{}")


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(PART_BYTES + 1000))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_completion_whose_answer_was_lost_is_found_out(make_vault: MakeVault, large: tuple[Path, str]) -> None:
    vault = make_vault()
    complete = vault._bucket._client.complete_multipart_upload

    def twice(**arguments: Any) -> Any:
        complete(**arguments)
        answering(vault, "CompleteMultipartUpload", 404, "NoSuchUpload")
        return complete(**arguments)

    vault._bucket._client.complete_multipart_upload = twice
    storage = vault.put_file("inc-1", "e1", "a.bin", large[0], sha256=large[1])
    assert (storage.checksum, storage.lock_mode) == (large[1], "governance")


def test_upload_that_is_swept_in_the_middle_begins_anew(make_vault: MakeVault, large: tuple[Path, str]) -> None:
    vault = make_vault()
    answering(vault, "UploadPart", 404, "NoSuchUpload")
    with pytest.raises(VaultUnavailable):
        vault.put_file("inc-1", "e1", "a.bin", large[0], sha256=large[1])
    assert list(vault._artefacts._notes.iterdir()) == []
    assert make_vault().put_file("inc-1", "e1", "a.bin", large[0], sha256=large[1]).checksum == large[1]
