"""The collector's own certificates: made by our authority and renewed in time, or the operator's,
read again when their files change. Connections that are open do not notice."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from novacron_collector.tls.authority import Authority, key_pem, new_key
from novacron_contract.errors import ConfigError
from novacron_contract.private_file import write_private

log = logging.getLogger(__name__)

_LIFE = timedelta(days=90)
_PASSPHRASE = "a key with a pass phrase"


@dataclass
class Pair:
    """A certificate and its key as files, and contexts that serve it."""

    cert_file: Path
    key_file: Path
    _seen: object = None
    _contexts: list[ssl.SSLContext] = field(default_factory=list)

    def context(self, clients: Path | None = None) -> ssl.SSLContext:
        """For a server. `clients`: the authority of clients that may show a certificate.

        Raises:
            ConfigError: the files cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A ticket would tell who the client was when it was given; and takes memory of each.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_OPTIONAL
        self._seen = self.state()
        load_pair(context, self.cert_file, self.key_file)
        self._contexts.append(context)
        return context

    def read_again(self) -> bool:
        """Take up what changed; what cannot be used is told, and the one before stays."""
        state = self.state()
        if state == self._seen:
            return False
        self._seen = state
        try:
            self.require_usable()
            for context in self._contexts:
                load_pair(context, self.cert_file, self.key_file)
        except ConfigError as err:
            log.error("%s; the certificate before stays", err)
            return False
        log.info("%s: was read again, and takes effect", self.cert_file)
        return True

    def require_usable(self) -> None:
        """
        Raises:
            ConfigError: the files cannot be used.
        """
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.cert_file, self.key_file)

    def is_usable(self) -> bool:
        try:
            self.require_usable()
        except ConfigError:
            return False
        return True

    def content(self) -> tuple[bytes, bytes]:
        """Key and chain, as gRPC wants them."""
        return self.key_file.read_bytes(), self.cert_file.read_bytes()

    def state(self) -> object:
        try:
            found = [path.stat() for path in (self.cert_file, self.key_file)]
        except OSError:
            return None
        return [(one.st_mtime_ns, one.st_ino, one.st_size) for one in found]


@dataclass
class OwnCertificate:
    """Of this collector, by our authority: `keep` makes it anew when it is time."""

    authority: Authority
    names: Sequence[str]

    @property
    def pair(self) -> Pair:
        both = self.authority.folder / "server.pem"
        return Pair(both, both)

    def keep(self, now: datetime | None = None) -> None:
        """Make it where there is none, at two thirds of its life, and for other names.

        Raises:
            ConfigError: it cannot be written.
        """
        now = now or datetime.now(UTC)
        path = self.authority.folder / "server.pem"
        found = _found(path, self.authority, now)
        if found is not None and set(self.names) <= set(found):
            return
        # Another collector may have the folder, too: its names stay as long as the certificate
        names = [*self.names, *(found or ())]
        key = new_key()
        signed = self.authority.sign_server(key.public_key(), names, now, _LIFE)
        try:
            content = key_pem(key) + signed.pem.encode() + self.authority.certificate_pem.encode()
            write_private(path, content)
        except OSError as err:
            raise ConfigError(f"{path}: cannot be written: {err.strerror}") from err
        log.info("%s: made, for %s, until %s", path, ", ".join(self.names), signed.ends.date())


def load_pair(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    """
    Raises:
        ConfigError: the files cannot be used.
    """

    def refuse() -> str:
        raise ConfigError(f"{key_file}: {_PASSPHRASE} cannot be used")

    try:
        context.load_cert_chain(cert_file, key_file, password=refuse)
    except (OSError, ssl.SSLError) as err:
        reason = getattr(err, "reason", None) or err.strerror or "unreadable"
        raise ConfigError(f"{cert_file}, {key_file}: cannot be used: {reason}") from err


def _found(path: Path, authority: Authority, now: datetime) -> list[str] | None:
    """The names of the certificate that is there, unless it is to be made anew."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        found.verify_directly_issued_by(authority.certificate)
        told = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    begun, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if not begun <= now < begun + (ends - begun) * 2 / 3:
        return None
    return [str(name.value) for name in told]
