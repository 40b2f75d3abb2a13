"""A small time-stamping authority (RFC 3161) on loopback: a root, a certificate for stamping, and HTTP in front."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICY = "1.3.6.1.4.1.13762.3"  # any policy identifier; nobody here looks it up
DIGEST = algos.DigestAlgorithm({"algorithm": "sha256"})


@dataclass
class StampingAuthority:
    """Stamps what it is asked to; `away` answers 503, `clock` is added to its time."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    away: bool = False
    clock: timedelta = timedelta()
    asked: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.root = _certificate("Test root", "Test root", self.root_key, self.root_key, stamping=False)
        self.certificate = _certificate("Test TSA", "Test root", self.key, self.root_key, stamping=True)

    def answer(self, request: bytes) -> bytes:
        """A TimeStampResp."""
        self.asked += 1
        query = tsp.TimeStampReq.load(request)
        info = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": POLICY,
                "message_imprint": query["message_imprint"],
                "serial_number": self.asked,
                "gen_time": datetime.now(UTC).replace(microsecond=0) + self.clock,
                "nonce": query["nonce"],
            }
        )
        response = tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": self._token(info)})
        return bytes(response.dump())

    def _token(self, info: tsp.TSTInfo) -> cms.ContentInfo:
        content = cms.EncapsulatedContentInfo({"content_type": "tst_info", "content": info})
        mine = asn1_x509.Certificate.load(self.certificate.public_bytes(Encoding.DER))
        signed = cms.CMSAttributes(self._attributes(info, mine))
        signature = self.key.sign(signed.dump(), ec.ECDSA(hashes.SHA256()))
        signer = cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier(
                    {
                        "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                            {"issuer": mine.issuer, "serial_number": mine.serial_number}
                        )
                    }
                ),
                "digest_algorithm": DIGEST,
                "signed_attrs": signed,
                "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
                "signature": signature,
            }
        )
        data = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [DIGEST],
                "encap_content_info": content,
                "certificates": [mine],
                "signer_infos": [signer],
            }
        )
        return cms.ContentInfo({"content_type": "signed_data", "content": data})

    def _attributes(self, info: tsp.TSTInfo, mine: asn1_x509.Certificate) -> list[cms.CMSAttribute]:
        digest = sha256(info.dump()).digest()
        ess = tsp.SigningCertificateV2({"certs": [tsp.ESSCertIDv2({"cert_hash": sha256(mine.dump()).digest()})]})
        return [
            cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [core.OctetString(digest)]}),
            cms.CMSAttribute({"type": "signing_certificate_v2", "values": [ess]}),
        ]


@contextmanager
def serving(authority: StampingAuthority) -> Iterator[StampingAuthority]:
    """The authority on a port of loopback."""
    server = HTTPServer(("127.0.0.1", 0), partial(_Handler, authority))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    authority.url = f"http://127.0.0.1:{server.server_port}/tsr"
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, authority: StampingAuthority, *args: object) -> None:
        self._authority = authority
        super().__init__(*args)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if self._authority.away else 200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.end_headers()
        if not self._authority.away:
            self.wfile.write(self._authority.answer(request))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Tests stay quiet."""


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    stamping: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=not stamping, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(stamping=stamping), critical=True)
    )
    if stamping:
        # RFC 3161, 2.3: this purpose alone, and critical.
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(purposes, critical=True)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, stamping: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=stamping,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not stamping,
        crl_sign=not stamping,
        encipher_only=False,
        decipher_only=False,
    )
