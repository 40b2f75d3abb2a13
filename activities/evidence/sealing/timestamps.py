"""Time-stamps (RFC 3161) over seals: asking an authority, and checking what it answered.

Owns the request and the check of an answer against the envelope's digest and root certificates. The answer is kept
as it came, as a TimeStampResp, which `openssl ts -verify` reads too. Revocation is not asked about: checking is
offline.

    answer = TimestampAuthority("https://tsa.example/tsr").stamp(envelope)
    stamped = check_timestamp(answer, envelope, roots)
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import httpx
from cryptography import x509
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerificationError, VerifierBuilder
from rfc3161_client import decode_timestamp_response as decode
from rfc3161_client.tsp import PKIStatus, TimeStampResponse

from activities.evidence.errors import SealBroken, TimestampAway

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
MAX_ANSWER_BYTES = 64 * 1024
_SHA256 = "2.16.840.1.101.3.4.2.1"


class TimestampAuthority:
    """One authority; it learns the digest of an envelope and nothing of the case."""

    def __init__(self, url: str, roots: Sequence[x509.Certificate] = ()) -> None:
        self.url, self.roots = url, tuple(roots)

    def stamp(self, envelope: bytes) -> bytes:
        """Its answer about these bytes, checked.

        Raises:
            TimestampAway: it does not answer, or with no timestamp for these bytes; retryable.
        """
        request = (
            TimestampRequestBuilder()
            .data(envelope)
            .hash_algorithm(HashAlgorithm.SHA256)
            .cert_request(cert_request=True)
            .nonce(nonce=True)
            .build()
        )
        answer = self._post(request.as_bytes())
        try:
            check_timestamp(answer, envelope, self.roots)
            answered = decode(answer).tst_info.nonce
        except SealBroken as error:
            raise TimestampAway(f"{self.url} gave no good timestamp: {error.summary}.", hint="Look at it.") from error
        if answered != request.nonce:
            raise TimestampAway(f"{self.url} answered another request than ours.", hint="Look at the way to it.")
        return answer

    def _post(self, request: bytes) -> bytes:
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            with (
                httpx.Client(timeout=TIMEOUT) as http,
                http.stream("POST", self.url, content=request, headers=headers) as response,
            ):
                response.raise_for_status()
                answer = b""
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > MAX_ANSWER_BYTES:
                        raise TimestampAway(f"{self.url} answers endlessly.", hint="Look at it.")
        except httpx.HTTPError as error:
            raise TimestampAway(
                f"The time-stamping authority {self.url} does not answer: {str(error) or type(error).__name__}.",
                hint="The seal is kept; the timestamp is tried again for days.",
            ) from error
        return answer


def check_timestamp(answer: bytes, envelope: bytes, roots: Sequence[x509.Certificate]) -> datetime:
    """When the authority saw these bytes.

    Without roots only what it says is read; with them the signature and the chain, at the time that it says.

    Raises:
        SealBroken: it is no timestamp, of other bytes, or by nobody whom a root vouches for. Its text is a clause.
    """
    found = _decode(answer)
    if found.as_bytes() != answer:
        raise SealBroken("is not in the one form (DER) that it has")
    imprint = found.tst_info.message_imprint
    digest = sha256(envelope).digest()
    if imprint.hash_algorithm.dotted_string != _SHA256 or imprint.message != digest:
        raise SealBroken(f"expected a timestamp of sha256 {digest.hex()}, found one of {imprint.message.hex()}")
    if roots:
        _check_chain(found, digest, roots)
    return found.tst_info.gen_time


def is_about(answer: bytes, envelope: bytes) -> bool:
    """Whether it is a timestamp of these bytes, by its own words; nothing else of it is checked."""
    try:
        return _decode(answer).tst_info.message_imprint.message == sha256(envelope).digest()
    except SealBroken:
        return False


def _decode(answer: bytes) -> TimeStampResponse:
    try:
        found = decode(answer)
        granted = PKIStatus(found.status) is PKIStatus.GRANTED
        found.tst_info.gen_time  # noqa: B018  decoded when asked for
    except ValueError as error:
        raise SealBroken(f"can't be read as a timestamp: {str(error)[:200]}") from error
    if not granted:
        raise SealBroken("is a refusal, no timestamp")
    return found


def _check_chain(found: TimeStampResponse, digest: bytes, roots: Sequence[x509.Certificate]) -> None:
    builder = VerifierBuilder(roots=list(roots))
    try:
        builder.build().verify(found, digest)
    except (VerificationError, ValueError) as error:
        raise SealBroken(f"is not signed by an authority that a root vouches for: {error}") from error
