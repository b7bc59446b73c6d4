"""Our certificate authority: a key that never leaves its folder, and what it signs.

It signs agents (SAN `urn:novacron:agent:ID`, for clients alone) and this collector (names and
addresses, for servers alone), and nobody else: its path length is 0.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import ipaddress
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from novacron_contract.errors import BadMessage, ConfigError
from novacron_contract.private_file import write_private

AGENT_URN = "urn:novacron:agent:"
_AUTHORITY_LIFE = timedelta(days=3650)
_SKEW = timedelta(minutes=5)  # clocks of others may be so far behind
_PEM = serialization.Encoding.PEM
_FOR_SERVERS, _FOR_CLIENTS = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Signed:
    pem: str
    serial: str
    issued: datetime
    ends: datetime


@dataclass(frozen=True)
class Authority:
    """`certificate_pem` is what agents are given; `pin` says which it is."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(_PEM).decode()

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def pin(self) -> str:
        """SHA-256 of its public key, base64url."""
        key = self.certificate.public_key()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        digest = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, spki)).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def sign_agent(self, csr: str, agent_id: str, now: datetime, life: timedelta) -> Signed:
        """What the request says of its subject is left aside.

        Raises:
            BadMessage: it is no request, not signed by its own key, or of another kind of key.
        """
        names = [x509.UniformResourceIdentifier(AGENT_URN + agent_id)]
        return self._sign(_requested(csr), agent_id, names, _FOR_CLIENTS, now, life)

    def sign_server(
        self, key: ec.EllipticCurvePublicKey, names: Sequence[str], now: datetime, life: timedelta
    ) -> Signed:
        return self._sign(key, "novacron-collector", _alternatives(names), _FOR_SERVERS, now, life)

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: str,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        now: datetime,
        life: timedelta,
    ) -> Signed:
        serial = _new_serial()
        issued, ends = now - _SKEW, min(now + life, self.certificate.not_valid_after_utc)
        of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        built = (
            _builder(_named(subject), self.certificate.subject, key, serial, issued, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(of_authority, critical=False)
        )
        signed = built.sign(self.key, hashes.SHA256())
        return Signed(signed.public_bytes(_PEM).decode(), f"{serial:x}", now, ends)


def open_authority(folder: Path) -> Authority:
    """The authority of `folder`, made there the first time, by one process of several.

    Raises:
        ConfigError: the folder or its files cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder):
            if not (folder / "ca.pem").exists():
                _make(folder)
            key = load_key(folder / "ca.key")
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    except OSError as err:
        raise ConfigError(f"{err.filename or folder}: cannot be used: {err.strerror}") from err
    except ValueError as err:
        raise ConfigError(f"{folder}: holds no authority: ca.pem or ca.key is damaged") from err
    if certificate.public_key() != key.public_key():
        raise ConfigError(f"{folder}: ca.key is not the key of ca.pem")
    return Authority(folder, key, certificate)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: is no key of an elliptic curve")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path) -> None:
    """The certificate last: where it is, the key is."""
    key, now = new_key(), datetime.now(UTC)
    name = _named(f"NovaCron {secrets.token_hex(4)}")
    ends = now + _AUTHORITY_LIFE
    certificate = (
        _builder(name, name, key.public_key(), _new_serial(), now - _SKEW, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.key", key_pem(key))
    write_private(folder / "ca.pem", certificate.public_bytes(_PEM))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    issued: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(issued)
        .not_valid_after(ends)
    )


def _new_serial() -> int:
    return x509.random_serial_number()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _requested(csr: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(csr.encode("ascii"))
        if not request.is_signature_valid:
            raise BadMessage("csr: is not signed by its own key")
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as err:
        raise BadMessage("csr: expected a certificate request in PEM") from err
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadMessage("csr: expected a key of the curve P-256")
    return key
