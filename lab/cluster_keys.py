"""The keys of one short-lived cluster: its own authority, the server's certificate, the key of service account tokens.

Owns making them and writing them down. Never signs for anything but a server on loopback, nor for longer than a day.

    keys = write_keys(folder)
    keys.ca, keys.certificate, keys.private_key, keys.tokens
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=1)
_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Keys:
    """PEM files: the authority, the server's certificate and key, the key that signs service accounts' tokens."""

    ca: Path
    certificate: Path
    private_key: Path
    tokens: Path


def write_keys(folder: Path) -> Keys:
    """Make everything anew; the authority's own key is not kept, so nobody can sign another certificate."""
    keys = Keys(folder / "ca.crt", folder / "server.crt", folder / "server.key", folder / "tokens.key")
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    _write(keys.ca, ca.public_bytes(serialization.Encoding.PEM))
    certificate = _server_certificate(ca, ca_key, server_key.public_key())
    _write(keys.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    _write(keys.private_key, _pem(server_key))
    _write(keys.tokens, _pem(ec.generate_private_key(ec.SECP256R1())))
    return keys


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = _name("firebreak lab authority")
    return (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePublicKey
) -> x509.Certificate:
    # Python verifies strictly (X509_V_FLAG_X509_STRICT) since 3.13: the key identifiers are a must there.
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        _builder(_name("kube-apiserver"), ca.subject, key)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # SEC 1, "EC PRIVATE KEY": kube-apiserver reads the key of tokens in no other form of an elliptic curve's.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
