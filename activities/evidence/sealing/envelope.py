"""A seal as a file: the statement in a DSSE envelope with one signature.

Owns its bytes: canonical JSON outside, canonical JSON inside, base64 in its one form, so that no byte can change
without a difference. What is signed is DSSE's pre-authentication encoding (secure-systems-lab/dsse, protocol.md).

    content = sign_statement(statement, signer)
    opened = open_envelope(content)
    check_signature(opened, key)
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Signature, Signer

from activities.contracts.evidence import Sha256
from activities.evidence.errors import SealBroken
from activities.evidence.sealing.keys import SealKey
from activities.evidence.sealing.statement import Statement
from playbooks.canonical import canonical
from segmentation.workloads import Frozen

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class _Signature(Frozen):
    keyid: Sha256
    sig: str


class _Envelope(Frozen):
    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]  # noqa: N815  as DSSE spells it
    signatures: tuple[_Signature, ...] = Field(min_length=1, max_length=1)


@dataclass(frozen=True)
class OpenedSeal:
    """What an envelope holds; whether it is genuine is another question."""

    statement: Statement
    keyid: str
    envelope: Envelope


def sign_statement(statement: Statement, signer: Signer) -> bytes:
    """The envelope's bytes."""
    envelope = Envelope(canonical(statement), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return canonical(envelope.to_dict())


def open_envelope(content: bytes) -> OpenedSeal:
    """What the bytes hold.

    Raises:
        SealBroken: they are no envelope of ours, or not in the one form that it has. Its text is a clause.
    """
    try:
        shape = _Envelope.model_validate_json(content)
        payload = base64.b64decode(shape.payload, validate=True)
        signature = base64.b64decode(shape.signatures[0].sig, validate=True)
        statement = Statement.model_validate_json(payload)
    except (ValidationError, binascii.Error) as error:
        raise SealBroken(f"can't be read as an envelope: {str(error).splitlines()[0]}") from error
    keyid = shape.signatures[0].keyid
    envelope = Envelope(payload, shape.payloadType, {keyid: Signature(keyid, signature.hex())})
    if canonical(envelope.to_dict()) != content or canonical(statement) != payload:
        raise SealBroken("is not in the canonical form in which it was signed")
    return OpenedSeal(statement, keyid, envelope)


def check_signature(opened: OpenedSeal, key: SealKey) -> None:
    """Raise SealBroken unless the key made the signature."""
    try:
        opened.envelope.verify([key.key], 1)
    except VerificationError as error:
        raise SealBroken(f"its signature is not of the key {key.keyid} over what it holds") from error
