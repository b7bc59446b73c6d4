"""A key, and the request for a certificate of it. Imported in short-lived processes alone."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class KeyAndRequest:
    key: bytes
    csr: str


def new_request(agent_id: str) -> KeyAndRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    form, locked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return KeyAndRequest(key.private_bytes(_PEM, form, locked), request.public_bytes(_PEM).decode())


def pin_of(certificate: bytes) -> str:
    """Of a certificate in DER: SHA-256 of its public key, base64url."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, spki)).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
